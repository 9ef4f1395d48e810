/**
 * Back: the reader draws a digit, and a direct inverse returns it from each depth of a network, in
 * one pass and corrected. The digit, or the drawing, stands in the address.
 */

netinvLive.define("back", (figure) => {
  "use strict";
  const { element, largest } = netinvLive, { SIDE } = netinvInk;
  const { classes, networks, judge, base, target, inverse } = JSON.parse(figure.dataset.settings);
  const classifier = networks[0].name, readers = [classifier, judge];
  const WHO = ["dB", "classifier ", "judge "];  // the lines below an image
  const WAYS = [["One pass", 0], ["Corrected", 8]];  // and how many steps that takes
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const changed = netinvLive.painting(figure, "Clear", clear, stage);
  const chips = netinvLive.chips("A real digit, or draw your own", classes);
  const canvas = part("canvas");
  let strokes = null, version = 0;  // what is drawn, or null: the digit of the chips
  part("controls").append(chips);

  // ---- what goes in: a digit, or strokes --------------------------------------------------------

  function update() {
    version += 1;
    changed();
  }

  function choose(k) {
    strokes = null;
    chips.value = k;
    update();
  }

  function draw(given) {
    strokes = given;
    for (const button of chips.querySelectorAll("input")) button.checked = false;
    update();
  }

  function clear() {
    draw([]);
    keep();
  }

  function keep() {
    netinvLive.keepState("back",
      strokes ? { ink: netinvInk.written(strokes) } : { digit: chips.value });
  }

  function restore() {  // what the address says if it makes sense, else the default
    const said = netinvLive.stateOf("back") ?? {}, ink = netinvInk.parsed(said.ink);
    const known = classes.some((_, k) => String(k) === said.digit);
    if (ink) draw(ink); else choose(known ? said.digit : target);
  }

  chips.addEventListener("change", () => { choose(chips.value); keep(); });
  let pointer = null;
  /** @param {PointerEvent} event */
  function point(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * SIDE / box.width,
      (event.clientY - box.top) * SIDE / box.height];
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    event.preventDefault();
    draw([...(strokes ?? []), [point(event)]]);
    netinvInk.show(canvas, strokes);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const points = strokes[strokes.length - 1], [x, y] = point(event);
    const [before, above] = points[points.length - 1];
    if (Math.hypot(x - before, y - above) < 0.7) return;
    points.push([x, y]);
    netinvInk.show(canvas, strokes);
    update();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      keep();
    });
  }

  // ---- what comes back --------------------------------------------------------------------------

  let chosen = null;  // the cell whose probabilities are shown
  /** A button with an image and what is said of it, which `show` fills in; null: it is old. */
  function cell(label) {
    const picture = element("canvas"), lines = WHO.map(() => element("span"));
    const button = element("button", { type: "button", class: "live-cell" }, picture, ...lines);
    const made = { label, button, result: null, show };
    function show(result, program, k) {
      button.classList.toggle("live-old", !result);
      if (!result) return;
      made.result = result;
      netinvLive.draw(picture, result.image, program);
      const says = result.read.map((p) => classes[largest(p)]);
      const db = Number.isFinite(result.psnr) ? result.psnr.toFixed(1) + " dB" : label;
      const texts = [db, WHO[1] + says[0], WHO[2] + says[1]];
      lines.forEach((line, i) => {
        line.textContent = texts[i];
        line.classList.toggle("live-wrong", i > 0 && says[i - 1] !== classes[k]);
      });
      button.dataset.psnr = result.psnr.toFixed(4);
      button.setAttribute("aria-label", label + ": " + texts.join(", "));
    }
    return made;
  }

  /** Load what is needed; a function that paints what goes in and what comes back. */
  async function stage() {
    const engine = new netinvLive.Engine([netinvReturning]);
    const program = /** @type {any} */ (await engine.want(inverse, base));
    const network = await engine.want(classifier, base);
    await engine.want(judge, base);
    const depths = program.ends.map((_, i) => i + 1), [low, high] = program.input_range;
    const entering = cell("What goes in");
    const rows = WAYS.map(([name, steps]) => ({
      name, steps, cells: depths.map((depth) => cell("Depth " + depth + ", " + name.toLowerCase())),
    }));
    const heads = depths.map((depth, i) => {
      const numbers = network.nodes[program.ends[i] - 1].shape.reduce((a, b) => a * b, 1);
      return element("span", { class: "live-head" }, element("strong", {}, "Depth " + depth),
        element("span", {}, numbers.toLocaleString("en") + " numbers"));
    });
    const title = element("p", { class: "live-chosen" });
    part("stage").prepend(
      element("div", { class: "live-pad" },
        element("span", {}, "Draw here, with finger or mouse"), canvas, entering.button),
      element("div", { class: "live-returns" }, element("span", { class: "live-way" }), ...heads,
        ...rows.flatMap(({ name, cells }) => [element("span", { class: "live-way" }, name),
          ...cells.map(({ button }) => button)])),
      title,
    );
    const panels = [netinvLive.bars(part("classifier"), "Classifier", classes),
      netinvLive.bars(part("judge"), "Judge", classes)];
    const all = [entering, ...rows.flatMap(({ cells }) => cells)];
    let k = 0;  // the class that is there to be seen

    function probabilities() {
      for (const { button } of all) {
        button.setAttribute("aria-pressed", String(button === chosen.button));
      }
      title.textContent = "Read in the framed image: " + chosen.label.toLowerCase();
      panels.forEach((panel, i) => { if (chosen.result) panel(chosen.result.read[i], k); });
    }
    chosen = rows[1].cells[depths.length - 1];
    for (const one of all) {
      one.button.addEventListener("click", () => { chosen = one; probabilities(); });
    }

    /** The image that goes in: a real digit, or what is drawn, as the digits of MNIST lie. */
    function given() {
      if (strokes) { netinvInk.show(canvas, strokes); return netinvInk.image(strokes); }
      const image = Float32Array.from(program.images[chips.value],
        (byte) => low + (high - low) * byte / 255);
      netinvLive.draw(canvas, image, program);
      return image;
    }

    async function paint() {
      const mine = version, image = given(), own = strokes;
      for (const { show } of rows[1].cells) show(null);
      figure.classList.toggle("live-empty", own?.length === 0);
      if (own?.length === 0) return "Draw a digit in the black square, or choose a real one.";
      const back = (depth, steps) => engine.ask("back", {
        classifier, inverse, readers, image, depth, steps,
      });
      const first = await back(0, 0);
      k = own ? largest(first.read[0]) : Number(chips.value);
      entering.show(first, program, k);
      for (const { steps, cells } of rows) {
        for (const depth of depths) {
          const result = await back(depth, steps);
          if (mine !== version) return "";  // what came back is of an image that is gone
          cells[depth - 1].show(result, program, k);
          if (cells[depth - 1] === chosen || entering === chosen) probabilities();
        }
      }
      probabilities();
      return summary(own, rows, k);
    }
    return paint;
  }

  function summary(own, rows, k) {
    const far = (list) => list.map(({ result }) => result.psnr.toFixed(0)).join(", ");
    const [once, corrected] = rows.map(({ cells }) => cells);
    const seen = corrected.filter(({ result }) => largest(result.read[1]) === k).length;
    const what = own ? "Your drawing, which the classifier reads as " + classes[k] + ","
      : "A real " + classes[k];
    return what + " comes back from depths 1 to " + once.length + " with " + far(once) +
      " dB in one pass, " + far(corrected) + " dB corrected. The judge reads " + classes[k] +
      " in " + seen + " of the " + corrected.length + " corrected images.";
  }

  restore();
  addEventListener("hashchange", () => {
    if (netinvLive.stateOf("back")) restore();
  });
  figure.classList.add("live-ready");
  if (netinvLive.stateOf("back")) figure.scrollIntoView();
});
