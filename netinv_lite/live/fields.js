/**
 * What a generator needs besides the layers of a classifier: values cut out, put side by side and
 * scaled by one another, the hot matrix, a smooth random field, and images bent by it.
 */
function netinvFields(layers) {
  "use strict";

  /** A stretch of the numbers, from `first` on. */
  function slice({ first }) {
    return {
      forward([x], out) { out.set(x.subarray(first, first + out.length)); },
      backward(_, __, g, [gx]) { for (let i = 0; i < g.length; i++) gx[first + i] += g[i]; },
    };
  }

  /** All numbers of the first value, then all of the next. */
  function concat() {
    return {
      forward(xs, out) {
        let at = 0;
        for (const x of xs) { out.set(x, at); at += x.length; }
      },
      backward(_, __, g, gs) {
        let at = 0;
        for (const gx of gs) for (let i = 0; i < gx.length; i++) gx[i] += g[at++];
      },
    };
  }

  /** (C,H,W) seen through a window that may reach beyond the rim, where the rim goes on. */
  function frame({ shape: [C, H, W], top, left }, [[, h, w]]) {
    const from = new Int32Array(C * H * W);
    for (let o = 0; o < from.length; o++) {
      const c = Math.floor(o / (H * W)), y = Math.floor(o / W) % H, x = o % W;
      const row = Math.min(Math.max(y + top, 0), h - 1);
      from[o] = (c * h + row) * w + Math.min(Math.max(x + left, 0), w - 1);
    }
    return {
      forward([x], out) { for (let o = 0; o < out.length; o++) out[o] = x[from[o]]; },
      backward(_, __, g, [gx]) { for (let o = 0; o < g.length; o++) gx[from[o]] += g[o]; },
    };
  }

  /** Columns become rows, channel by channel: (C,W,H) to (C,H,W). */
  function transpose({ shape: [C, H, W] }) {
    const from = new Int32Array(C * H * W);
    for (let o = 0; o < from.length; o++) {
      const c = Math.floor(o / (H * W)), y = Math.floor(o / W) % H, x = o % W;
      from[o] = (c * W + x) * H + y;
    }
    return {
      forward([x], out) { for (let o = 0; o < out.length; o++) out[o] = x[from[o]]; },
      backward(_, __, g, [gx]) { for (let o = 0; o < g.length; o++) gx[from[o]] += g[o]; },
    };
  }

  /** Two values, number by number. */
  function multiply() {
    return {
      forward([x, y], out) { for (let i = 0; i < x.length; i++) out[i] = x[i] * y[i]; },
      backward([x, y], _, g, [gx, gy]) {
        for (let i = 0; i < g.length; i++) { gx[i] += y[i] * g[i]; gy[i] += x[i] * g[i]; }
      },
    };
  }

  /** The hot matrix of r: each cell the larger of r at its row and r at its column, stretched. */
  function hot({ shape: [, H, W] }, [[length]]) {
    const along = (n) => Int32Array.from({ length: n }, (_, i) =>
      Math.floor((i + 0.5) * length / n));
    const rows = along(H), columns = along(W);
    return {
      forward([r], out) {
        for (let o = 0; o < out.length; o++) {
          out[o] = Math.max(r[rows[Math.floor(o / W)]], r[columns[o % W]]);
        }
      },
      backward([r], _, g, [gr]) {
        for (let o = 0; o < g.length; o++) {
          const y = rows[Math.floor(o / W)], x = columns[o % W];
          const share = r[y] === r[x] ? 0.5 : Number(r[y] > r[x]);
          gr[y] += share * g[o];
          gr[x] += (1 - share) * g[o];
        }
      },
    };
  }

  /** Each channel of h (C,H,W) scaled and shifted: of 2C numbers C are scales, then C shifts. */
  function modulate({ shape: [C] }) {
    return {
      forward([h, s], out) {
        const each = h.length / C;
        for (let c = 0, i = 0; c < C; c++) {
          for (const end = i + each; i < end; i++) out[i] = s[c] * h[i] + s[C + c];
        }
      },
      backward([h, s], _, g, [gh, gs]) {
        const each = h.length / C;
        for (let c = 0, i = 0; c < C; c++) {
          for (const end = i + each; i < end; i++) {
            gh[i] += s[c] * g[i];
            gs[c] += h[i] * g[i];
            gs[C + c] += g[i];
          }
        }
      },
    };
  }

  /** erf to within 2e-7: Abramowitz and Stegun, 7.1.26. @param {number} x */
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    return Math.sign(x) * (1 - series.reduce((sum, a) => (sum + a) * t, 0) * Math.exp(-x * x));
  }

  /** A standard normal number -> a uniform one of variance 1, through its distribution function. */
  function uniform() {
    return {
      forward([z], out) {
        for (let i = 0; i < z.length; i++) out[i] = Math.sqrt(3) * erf(z[i] / Math.SQRT2);
      },
      backward([z], _, g, [gz]) {
        const most = Math.sqrt(6 / Math.PI);
        for (let i = 0; i < z.length; i++) gz[i] += most * Math.exp(-z[i] * z[i] / 2) * g[i];
      },
    };
  }

  /**
   * An image (C,H,W) read off, bilinearly, where a field u (2,H,W) points to: d·u away from each
   * pixel, in halves of the sides, across and down. Beyond the rim its own pixels go on.
   */
  function deform({ shape: [C, H, W] }) {
    const area = H * W;
    /** Along one axis: the two places, the share of the second, how fast that grows with d·u. */
    function place(at, length) {
      const inside = at > 0 && at < length - 1;
      const where = Math.min(Math.max(at, 0), length - 1);
      const low = Math.min(Math.floor(where), Math.max(length - 2, 0));
      return [low, Math.min(low + 1, length - 1), where - low, inside ? length / 2 : 0];
    }
    const spot = (u, d, i) => [
      place(Math.floor(i / W) + d * u[area + i] * H / 2, H), place(i % W + d * u[i] * W / 2, W),
    ];
    return {
      forward([x, u, [d]], out) {
        for (let i = 0; i < area; i++) {
          const [[y0, y1, fy], [x0, x1, fx]] = spot(u, d, i);
          for (let c = 0, base = 0; c < C; c++, base += area) {
            const above = x[base + y0 * W + x0] * (1 - fx) + x[base + y0 * W + x1] * fx;
            const below = x[base + y1 * W + x0] * (1 - fx) + x[base + y1 * W + x1] * fx;
            out[base + i] = above * (1 - fy) + below * fy;
          }
        }
      },
      backward([x, u, [d]], _, g, [gx, gu, gd]) {
        for (let i = 0; i < area; i++) {
          const [[y0, y1, fy, ry], [x0, x1, fx, rx]] = spot(u, d, i);
          let down = 0, across = 0;
          for (let c = 0, base = 0; c < C; c++, base += area) {
            const [a, b, e, f] = [y0 * W + x0, y0 * W + x1, y1 * W + x0, y1 * W + x1];
            const of = g[base + i];
            gx[base + a] += of * (1 - fy) * (1 - fx);
            gx[base + b] += of * (1 - fy) * fx;
            gx[base + e] += of * fy * (1 - fx);
            gx[base + f] += of * fy * fx;
            const left = x[base + a] * (1 - fy) + x[base + e] * fy;
            across += of * rx * (x[base + b] * (1 - fy) + x[base + f] * fy - left);
            const above = x[base + a] * (1 - fx) + x[base + b] * fx;
            down += of * ry * (x[base + e] * (1 - fx) + x[base + f] * fx - above);
          }
          gu[i] += d * across;
          gu[area + i] += d * down;
          gd[0] += u[i] * across + u[area + i] * down;
        }
      },
    };
  }

  return {
    ...layers, slice, concat, frame, transpose, multiply, hot, modulate, uniform, deform,
  };
}
