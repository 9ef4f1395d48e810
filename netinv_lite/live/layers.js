/**
 * All layers that a page knows: those of `convolutions`, and here those without weights.
 * A layer is made of its node, the shapes that enter it, and `tensor`, which reads a weight.
 */
function netinvLayers(convolutions) {
  "use strict";
  const { size, sides, windows, addTo, layers } = convolutions;

  // ---- pixel by pixel -------------------------------------------------------------------------

  /** a x + b with an a and a b for each channel: batch norm, or the scaling of the input. */
  function affine(node, [shape], tensor) {
    const scale = tensor(node.scale), shift = tensor(node.shift);
    const each = size(shape) / scale.length;
    return {
      forward([x], out) {
        for (let c = 0, i = 0; c < scale.length; c++) {
          for (const end = i + each; i < end; i++) out[i] = scale[c] * x[i] + shift[c];
        }
      },
      backward(_, __, g, [gx]) {
        for (let c = 0, i = 0; c < scale.length; c++) {
          for (const end = i + each; i < end; i++) gx[i] += scale[c] * g[i];
        }
      },
    };
  }

  /** ReLU, with `slope` below zero. */
  function leaky_relu({ slope }) {
    return {
      forward([x], out) {
        for (let i = 0; i < x.length; i++) out[i] = x[i] > 0 ? x[i] : slope * x[i];
      },
      backward([x], _, g, [gx]) {
        for (let i = 0; i < x.length; i++) gx[i] += x[i] > 0 ? g[i] : slope * g[i];
      },
    };
  }

  /** All below `low` becomes low, all above `high` high. */
  function clamp({ low, high }) {
    return {
      forward([x], out) {
        for (let i = 0; i < x.length; i++) out[i] = Math.min(Math.max(x[i], low), high);
      },
      backward([x], _, g, [gx]) {
        for (let i = 0; i < x.length; i++) gx[i] += x[i] > low && x[i] < high ? g[i] : 0;
      },
    };
  }

  /** A function of each number whose derivative follows from its value. */
  const pointwise = (f, derivative) => () => ({
    forward([x], out) {
      for (let i = 0; i < x.length; i++) out[i] = f(x[i]);
    },
    backward(_, out, g, [gx]) {
      for (let i = 0; i < g.length; i++) gx[i] += g[i] * derivative(out[i]);
    },
  });
  const sigmoid = pointwise((x) => 1 / (1 + Math.exp(-x)), (y) => y * (1 - y));
  const tanh = pointwise(Math.tanh, (y) => 1 - y * y);

  function add() {
    return {
      forward([x, y], out) {
        for (let i = 0; i < x.length; i++) out[i] = x[i] + y[i];
      },
      backward(_, __, g, [gx, gy]) { addTo(gx, g); addTo(gy, g); },
    };
  }

  /** The same numbers under another shape. */
  function reshape() {
    return {
      forward([x], out) { out.set(x); },
      backward(_, __, g, [gx]) { addTo(gx, g); },
    };
  }

  // ---- from pixels to pixels ------------------------------------------------------------------

  function max_pool2d(node, [shape]) {
    const [C, h, w] = sides(shape), [, oh, ow] = sides(node.shape), pixels = oh * ow;
    const table = windows(h, w, oh, ow, node), area = node.kernel[0] * node.kernel[1];
    const from = new Int32Array(C * pixels);  // where the largest was, the first if there are two
    return {
      forward([x], out) {
        for (let o = 0; o < out.length; o++) {
          const base = Math.floor(o / pixels) * h * w, first = (o % pixels) * area;
          let best = -1;
          for (let t = first; t < first + area; t++) {
            const s = table[t];
            if (s >= 0 && (best < 0 || x[base + s] > x[best])) best = base + s;
          }
          from[o] = best;
          out[o] = x[best];
        }
      },
      backward(_, __, g, [gx]) {
        for (let o = 0; o < g.length; o++) gx[from[o]] += g[o];
      },
    };
  }

  /**
   * Each pixel a weighted sum of some of its channel; `table` and `weights` say of which.
   * @param {number[]} shape @param {number[]} outShape
   * @param {Int32Array} table @param {Float32Array} weights @returns {Layer}
   */
  function resampling(shape, outShape, table, weights) {
    const each = size(shape) / shape[0], pixels = size(outShape) / shape[0];
    const area = table.length / pixels;
    return {
      forward([x], out) {
        for (let o = 0; o < out.length; o++) {
          const base = Math.floor(o / pixels) * each, first = (o % pixels) * area;
          let sum = 0;
          for (let t = first; t < first + area; t++) {
            if (table[t] >= 0) sum += weights[t] * x[base + table[t]];
          }
          out[o] = sum;
        }
      },
      backward(_, __, g, [gx]) {
        for (let o = 0; o < g.length; o++) {
          const base = Math.floor(o / pixels) * each, first = (o % pixels) * area;
          for (let t = first; t < first + area; t++) {
            if (table[t] >= 0) gx[base + table[t]] += weights[t] * g[o];
          }
        }
      },
    };
  }

  /** Means of windows; what lies outside of the image counts as zero, or not at all. */
  function avg_pool2d(node, [shape]) {
    const [, h, w] = sides(shape), [, oh, ow] = sides(node.shape);
    const table = windows(h, w, oh, ow, node), area = node.kernel[0] * node.kernel[1];
    const weights = new Float32Array(table.length);
    for (let first = 0; first < table.length; first += area) {
      const inside = table.subarray(first, first + area).filter((s) => s >= 0).length;
      weights.fill(1 / (node.outside ? area : inside), first, first + area);
    }
    return resampling(shape, node.shape, table, weights);
  }

  /**
   * The rows (or columns) that make each of n out of `length`: pairs of place and weight.
   * @param {number} length @param {number} n
   * @param {string} mode  "mean" of the stretch that belongs to it, "nearest", "bilinear" or
   *   "bicubic"
   * @param {number} step  rows from one to the next, as the factor of the enlargement has it
   * @param {boolean} corners  whether the first and the last stay where they are
   * @returns {number[][][]}
   */
  function line(length, n, mode, step, corners) {
    return Array.from({ length: n }, (_, i) => {
      if (mode === "mean") {
        const first = Math.floor(i * length / n), end = Math.ceil((i + 1) * length / n);
        return Array.from({ length: end - first }, (_, t) => [first + t, 1 / (end - first)]);
      }
      if (mode === "nearest") return [[Math.min(Math.floor(i * step), length - 1), 1]];
      const cubic = mode === "bicubic", least = cubic ? -Infinity : 0;
      const along = corners ? i * (n > 1 ? (length - 1) / (n - 1) : 0)
        : Math.max((i + 0.5) * step - 0.5, least);
      if (cubic) return spline(along, length);
      const low = Math.min(Math.floor(along), length - 1), high = Math.min(low + 1, length - 1);
      return [[low, 1 - (along - low)], [high, along - low]];
    });
  }

  /**
   * The four rows that make what lies `along`, with the weights of cubic convolution (a = −3/4);
   * beyond the rim its own rows go on.
   * @param {number} along @param {number} length @returns {number[][]}
   */
  function spline(along, length) {
    const first = Math.floor(along), a = -0.75;
    const weight = (t) => (t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1
      : ((a * t - 5 * a) * t + 8 * a) * t - 4 * a);
    return [-1, 0, 1, 2].map((i) => [
      Math.min(Math.max(first + i, 0), length - 1), weight(Math.abs(along - first - i)),
    ]);
  }

  /** Adaptive mean pooling, and enlargement: rows and columns apart. */
  function interpolate(node, [shape]) {
    const [, h, w] = sides(shape), [, oh, ow] = sides(node.shape), step = node.step ?? [1, 1];
    const ys = line(h, oh, node.mode, step[0], node.corners);
    const xs = line(w, ow, node.mode, step[1], node.corners);
    const longest = (rows) => Math.max(...rows.map((row) => row.length));
    const area = longest(ys) * longest(xs);
    const table = new Int32Array(oh * ow * area).fill(-1);
    const weights = new Float32Array(table.length);
    ys.forEach((row, i) => xs.forEach((column, j) => {
      let t = (i * ow + j) * area;
      for (const [y, a] of row) {
        for (const [x, b] of column) { table[t] = y * w + x; weights[t++] = a * b; }
      }
    }));
    return resampling(shape, node.shape, table, weights);
  }

  /** (C r², H, W) to (C, H r, W r). */
  function pixel_shuffle({ shape: [C, H, W], factor: r }) {
    const from = new Int32Array(C * H * W), h = H / r, w = W / r;
    for (let o = 0; o < from.length; o++) {
      const c = Math.floor(o / (H * W)), y = Math.floor(o / W) % H, x = o % W;
      const channel = (c * r + y % r) * r + x % r;
      from[o] = (channel * h + Math.floor(y / r)) * w + Math.floor(x / r);
    }
    return {
      forward([x], out) { for (let o = 0; o < out.length; o++) out[o] = x[from[o]]; },
      backward(_, __, g, [gx]) { for (let o = 0; o < g.length; o++) gx[from[o]] += g[o]; },
    };
  }

  return {
    ...layers, affine, leaky_relu, clamp, sigmoid, tanh, add, reshape,
    max_pool2d, avg_pool2d, interpolate, pixel_shuffle,
  };
}
