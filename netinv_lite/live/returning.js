/** What the worker needs besides the engine: the way there and back. @param {any} engine */
function netinvReturning(engine) {
  "use strict";

  /** The mean |a|. @param {Float32Array} a */
  const size = (a) => a.reduce((sum, value) => sum + Math.abs(value), 0) / a.length;

  /**
   * What comes back from the representation a = f(x) at a depth, as `LayerwiseInverse.corrected`
   * has it: g(b) after b ← b + η (a − f(g(b))), from b = a and η = 1/2 on; g(a) with 0 steps.
   * @param {any} f  the network @param {any} g  its inverse
   * @param {ArrayLike<number>} x @param {number} depth @param {number} steps
   */
  function returned(f, g, x, depth, steps) {
    const { ends, entries } = g.program, there = ends[depth - 1], entry = entries[depth - 1];
    const through = (image) => f.forward(image, 0, there).slice();
    const a = through(x), missing = (image) => through(image).map((value, i) => a[i] - value);
    let b = a, rate = 0.5, made = g.forward(b, entry).slice();
    let off = steps ? missing(made) : null;
    for (let t = 0; t < steps; t++) {
      const asked = b.map((value, i) => value + rate * off[i]);
      const drawn = g.forward(asked, entry).slice(), left = missing(drawn);
      if (size(left) < size(off)) [b, made, off] = [asked, drawn, left]; else rate /= 2;
    }
    return made;
  }

  /** In dB, of two images of a range. */
  function psnr(x, y, [low, high]) {
    const squares = x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0);
    return 10 * Math.log10((high - low) ** 2 * x.length / squares);
  }

  const answers = (networks) => ({
    back({ classifier, inverse, readers, image, depth, steps }) {
      const f = networks[classifier], g = networks[inverse];
      const made = depth ? returned(f, g, image, depth, steps) : image;
      const read = (name) => Array.from(engine.probabilities(networks[name].forward(made)));
      const near = psnr(image, made, g.program.input_range);
      return { image: made, psnr: near, read: readers.map(read) };
    },
  });
  return { ...engine, returned, psnr, answers };
}
