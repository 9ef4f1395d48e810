/** Strokes of a brush, as points in pixels of an image of a side of 28. */
const netinvInk = (function () {
  "use strict";
  const SIDE = 28, BOX = 20, RADIUS = 1.15, SOFT = 1.3;  // as the digits of MNIST have it
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

  /** Squared distance of (x, y) to the stretch from p to q. */
  function away(x, y, [px, py], [qx, qy]) {
    const dx = qx - px, dy = qy - py, length = dx * dx + dy * dy;
    const along = length ? ((x - px) * dx + (y - py) * dy) / length : 0;
    const t = Math.min(Math.max(along, 0), 1);
    return (x - px - t * dx) ** 2 + (y - py - t * dy) ** 2;
  }

  /** How much ink each pixel has, from 0 to 1. @param {number[][][]} strokes */
  function inked(strokes) {
    const ink = new Float32Array(SIDE * SIDE);
    for (let i = 0; i < ink.length; i++) {
      const x = i % SIDE + 0.5, y = Math.floor(i / SIDE) + 0.5;
      let least = Infinity;
      for (const points of strokes) {
        points.forEach((q, j) => {
          least = Math.min(least, away(x, y, points[Math.max(j - 1, 0)], q));
        });
      }
      ink[i] = Math.min(Math.max(0.5 + (RADIUS - Math.sqrt(least)) / SOFT, 0), 1);
    }
    return ink;
  }

  const moved = (strokes, f) => strokes.map((points) => points.map(f));

  /** The strokes as an image from −1 to 1: of the size of MNIST's, the centre of mass central. */
  function image(strokes) {
    const points = strokes.flat();
    if (!points.length) return new Float32Array(SIDE * SIDE).fill(-1);
    const [left, top] = [0, 1].map((axis) => Math.min(...points.map((p) => p[axis])));
    const sides = [0, 1].map((axis) => Math.max(...points.map((p) => p[axis])));
    const longest = Math.max(sides[0] - left, sides[1] - top);
    const factor = longest < 2 ? 1 : Math.min((BOX - 2 * RADIUS) / longest, 2);
    const edge = (SIDE - longest * factor) / 2;
    const scaled = moved(strokes, ([x, y]) => [
      edge + factor * (x - left), edge + factor * (y - top)]);
    const ink = inked(scaled), total = ink.reduce((a, b) => a + b, 0);
    const mean = (place) => ink.reduce((sum, p, i) => sum + p * place(i), 0) / total + 0.5;
    const dx = SIDE / 2 - mean((i) => i % SIDE);
    const dy = SIDE / 2 - mean((i) => Math.floor(i / SIDE));
    return inked(moved(scaled, ([x, y]) => [x + dx, y + dy])).map((p) => 2 * p - 1);
  }

  /** Two letters a point. @param {number[][][]} strokes */
  function written(strokes) {
    const letter = (x) => LETTERS[Math.min(Math.max(Math.round(x * 63 / SIDE), 0), 63)];
    return strokes.map((points) => points.flat().map(letter).join("")).join(".");
  }

  /** The strokes of a text, or null if it is none. @param {string} [text] */
  function parsed(text) {
    if (!text || text.length > 2000 || !/^([\w-]{2})+(\.([\w-]{2})+)*$/.test(text)) return null;
    const place = (letter) => LETTERS.indexOf(letter) * SIDE / 63;
    return text.split(".").map((part) => part.match(/../g).map((two) => [...two].map(place)));
  }

  /** Show the strokes as they are drawn. @param {HTMLCanvasElement} canvas */
  function show(canvas, strokes) {
    const side = canvas.width = canvas.height = 10 * SIDE, pen = canvas.getContext("2d");
    pen.scale(side / SIDE, side / SIDE);
    pen.strokeStyle = pen.shadowColor = "#fff";
    pen.shadowBlur = 10;
    pen.lineWidth = 2 * RADIUS;
    pen.lineCap = pen.lineJoin = "round";
    for (const [first, ...points] of strokes) {
      pen.beginPath();
      pen.moveTo(...first);
      for (const p of points.length ? points : [first]) pen.lineTo(...p);
      pen.stroke();
    }
  }

  return { SIDE, image, written, parsed, show };
})();
