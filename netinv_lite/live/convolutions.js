/**
 * Convolutions and linear layers, forward and backward, on plain Float32Arrays of one image.
 *
 * A value is the numbers of a tensor (C,H,W) row by row. A layer is made from its node in the
 * program, and has `forward(inputs, out)`, which fills `out`, and `backward(inputs, out, g, gs)`,
 * which adds to each of `gs` the gradient with respect to that input; `g` is that of `out`.
 *
 * One function holds everything in a file, so that its source text can be handed to a worker.
 *
 * @typedef {Object} ProgramNode
 * @property {string} op
 * @property {number[]} inputs  places of the values that enter, 0 is the image
 * @property {number[]} shape   of what leaves it, without the batch
 * @typedef {Object} Layer
 * @property {(xs: Float32Array[], out: Float32Array) => void} forward
 * @property {(xs: Float32Array[], out: Float32Array, g: Float32Array,
 *   gs: Float32Array[]) => void} backward
 */
function netinvConvolutions() {
  "use strict";
  /** @param {number[]} shape @returns {number} how many numbers */
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  /**
   * (channels, height, width) of a shape that may have fewer sides.
   * @param {number[]} shape @returns {[number, number, number]}
   */
  const sides = (shape) => [shape[0], shape[1] ?? 1, shape[2] ?? 1];

  /**
   * out[i·n + j] = Σ_l a[i·k + l] · b[j·k + l]: four rows by two at a time, for their sums stay
   * in registers and each number that is read is used more than once.
   * @param {Float32Array} a @param {Float32Array} b @param {Float32Array} out
   * @param {number} m @param {number} n @param {number} k
   */
  function products(a, b, out, m, n, k) {
    let i = 0;
    for (; i + 4 <= m; i += 4) {
      const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
      let j = 0;
      for (; j + 2 <= n; j += 2) {
        const b0 = j * k, b1 = b0 + k;
        let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
        for (let l = 0; l < k; l++) {
          const p = b[b0 + l], q = b[b1 + l];
          let w = a[a0 + l];
          s00 += w * p; s01 += w * q;
          w = a[a1 + l];
          s10 += w * p; s11 += w * q;
          w = a[a2 + l];
          s20 += w * p; s21 += w * q;
          w = a[a3 + l];
          s30 += w * p; s31 += w * q;
        }
        const o = i * n + j;
        out[o] = s00; out[o + 1] = s01;
        out[o + n] = s10; out[o + n + 1] = s11;
        out[o + 2 * n] = s20; out[o + 2 * n + 1] = s21;
        out[o + 3 * n] = s30; out[o + 3 * n + 1] = s31;
      }
      for (; j < n; j++) {
        const b0 = j * k;
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (let l = 0; l < k; l++) {
          const p = b[b0 + l];
          s0 += a[a0 + l] * p; s1 += a[a1 + l] * p; s2 += a[a2 + l] * p; s3 += a[a3 + l] * p;
        }
        out[i * n + j] = s0; out[(i + 1) * n + j] = s1;
        out[(i + 2) * n + j] = s2; out[(i + 3) * n + j] = s3;
      }
    }
    for (; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let s = 0;
        for (let l = 0; l < k; l++) s += a[i * k + l] * b[j * k + l];
        out[i * n + j] = s;
      }
    }
  }

  /**
   * A matrix (rows × columns) with rows and columns exchanged.
   * @param {Float32Array} a @param {number} rows @param {number} columns
   */
  function transposed(a, rows, columns, out = new Float32Array(rows * columns)) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j];
    }
    return out;
  }

  /**
   * For each of oh × ow windows the places of its pixels in an image of h × w, −1 outside of it.
   * @returns {Int32Array} oh·ow rows of kernel[0]·kernel[1] places
   */
  function windows(h, w, oh, ow, { kernel, stride, padding, dilation = [1, 1] }) {
    const table = new Int32Array(oh * ow * kernel[0] * kernel[1]);
    let at = 0;
    for (let p = 0; p < oh * ow; p++) {
      for (let t = 0; t < kernel[0] * kernel[1]; t++) {
        const row = Math.floor(t / kernel[1]), column = t % kernel[1];
        const y = Math.floor(p / ow) * stride[0] - padding[0] + row * dilation[0];
        const x = (p % ow) * stride[1] - padding[1] + column * dilation[1];
        table[at++] = y >= 0 && y < h && x >= 0 && x < w ? y * w + x : -1;
      }
    }
    return table;
  }

  // ---- convolutions -------------------------------------------------------------------------

  /**
   * What a convolution and a transposed one share: `narrow` goes from the wide side, which has
   * windows, to the narrow one, where each window is a pixel, and `widen` the other way; each is
   * the other's gradient.
   * @param {any} node @param {number[]} wide @param {number[]} narrow shapes (C,H,W) of the sides
   * @param {Float32Array} weight
   */
  function kernels(node, wide, narrow, weight) {
    const [wideC, h, w] = wide, [narrowC, oh, ow] = narrow;
    const G = node.groups, pixels = oh * ow, area = node.kernel[0] * node.kernel[1];
    const C = wideC / G, M = narrowC / G, K = C * area;  // of one group
    const table = windows(h, w, oh, ow, node);
    const rows = new Float32Array(pixels * K), across = new Float32Array(pixels * M);
    const parts = [];
    for (let i = 0; i < G; i++) {
      const part = weight.subarray(i * M * K, (i + 1) * M * K);
      parts.push({ part, back: transposed(part, M, K) });
    }
    function gather(x, from) {
      let r = 0;
      for (let p = 0; p < pixels; p++) {
        for (let c = 0, base = from; c < C; c++, base += h * w) {
          for (let t = p * area, end = t + area; t < end; t++) {
            const s = table[t];
            rows[r++] = s < 0 ? 0 : x[base + s];
          }
        }
      }
    }
    function scatter(x, from) {
      let r = 0;
      for (let p = 0; p < pixels; p++) {
        for (let c = 0, base = from; c < C; c++, base += h * w) {
          for (let t = p * area, end = t + area; t < end; t++, r++) {
            const s = table[t];
            if (s >= 0) x[base + s] += rows[r];
          }
        }
      }
    }
    return {
      narrow(x, out) {
        parts.forEach(({ part }, i) => {
          gather(x, i * C * h * w);
          products(part, rows, out.subarray(i * M * pixels, (i + 1) * M * pixels), M, pixels, K);
        });
      },
      widen(x, out) {  // adds to out
        parts.forEach(({ back }, i) => {
          transposed(x.subarray(i * M * pixels, (i + 1) * M * pixels), M, pixels, across);
          products(across, back, rows, pixels, K, M);
          scatter(out, i * C * h * w);
        });
      },
    };
  }

  function addTo(sum, x) {
    for (let i = 0; i < x.length; i++) sum[i] += x[i];
  }

  function addBias(out, bias, each) {
    if (!bias) return;
    for (let c = 0, i = 0; c < bias.length; c++) {
      for (const end = i + each; i < end; i++) out[i] += bias[c];
    }
  }

  /**
   * The weight with the `scale` of batch norm; `channel` says whose each number is.
   * @param {Float32Array} weight @param {?Float32Array} scale
   * @param {(i: number) => number} channel
   */
  function scaled(weight, scale, channel) {
    return scale ? weight.map((value, i) => value * scale[channel(i)]) : weight;
  }

  function conv2d(node, [shape], tensor) {
    const each = tensor(node.weight).length / node.shape[0];
    const weight = scaled(tensor(node.weight), tensor(node.scale), (i) => Math.floor(i / each));
    const pass = kernels(node, sides(shape), sides(node.shape), weight);
    const bias = tensor(node.bias), pixels = node.shape[1] * node.shape[2];
    return {
      forward([x], out) { pass.narrow(x, out); addBias(out, bias, pixels); },
      backward(_, __, g, [gx]) { pass.widen(g, gx); },
    };
  }

  function conv_transpose2d(node, [shape], tensor) {
    const area = node.kernel[0] * node.kernel[1], M = node.shape[0] / node.groups;
    const each = M * area * shape[0] / node.groups;  // weights of a group
    const owner = (i) => Math.floor(i / each) * M + Math.floor(i / area) % M;
    const weight = scaled(tensor(node.weight), tensor(node.scale), owner);
    const pass = kernels(node, sides(node.shape), sides(shape), weight);
    const bias = tensor(node.bias), pixels = node.shape[1] * node.shape[2];
    const own = new Float32Array(size(shape));
    return {
      forward([x], out) { out.fill(0); pass.widen(x, out); addBias(out, bias, pixels); },
      backward(_, __, g, [gx]) { pass.narrow(g, own); addTo(gx, own); },
    };
  }

  function linear(node, [shape], tensor) {
    const n = size(shape), m = node.shape[0];
    const weight = scaled(tensor(node.weight), tensor(node.scale), (i) => Math.floor(i / n));
    const back = transposed(weight, m, n), bias = tensor(node.bias), own = new Float32Array(n);
    return {
      forward([x], out) { products(weight, x, out, m, 1, n); addBias(out, bias, 1); },
      backward(_, __, g, [gx]) { products(back, g, own, n, 1, m); addTo(gx, own); },
    };
  }

  return { size, sides, windows, addTo, layers: { conv2d, conv_transpose2d, linear } };
}
