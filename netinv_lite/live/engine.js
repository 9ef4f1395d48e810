/**
 * A network in the page: it reads a program and its weights, runs them forward and back to the
 * image, and climbs. A worker does it, whose source is the text of these functions: a page that
 * was opened from the disk may load no other.
 *
 * @typedef {Object} Program
 * @property {number[]} image_shape   (C, H, W)
 * @property {?number[]} input_shape  of what enters, where that is no image
 * @property {number[]} input_range   low and high end of the pixels
 * @property {string[]} classes
 * @property {ProgramNode[]} nodes    the last makes the logits
 * @typedef {Object} Tensor           where one lies among the weights
 * @property {number} at              its first byte
 * @property {number} length          how many numbers
 * @property {"float16"|"float32"} type
 */
function netinvEngine(layers) {
  "use strict";

  /** Numbers of 16 bits as numbers of 32. @param {Uint16Array} halves */
  function single(halves) {
    return Float32Array.from(halves, (bits) => {
      const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
      if (exponent === 0) return sign * part * 2 ** -24;
      if (exponent === 31) return part ? NaN : sign * Infinity;
      return sign * (1 + part / 1024) * 2 ** (exponent - 15);
    });
  }

  /** The bytes of a text in base64. @param {string} text */
  function decoded(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  /** A program with its weights, ready to run; its buffers are made once. */
  class Network {
    /** @param {Program} program @param {Uint8Array} bytes */
    constructor(program, bytes) {
      this.program = program;
      const tensor = (place) => {
        if (!place) return null;
        const { at, length, type } = place, start = bytes.byteOffset + at;
        return type === "float16" ? single(new Uint16Array(bytes.buffer, start, length))
          : new Float32Array(bytes.buffer, start, length);
      };
      const shapes = [program.input_shape ?? program.image_shape,
        ...program.nodes.map((node) => node.shape)];
      this.steps = program.nodes.map((node) => ({
        inputs: node.inputs,
        layer: layers[node.op](node, node.inputs.map((i) => shapes[i]), tensor),
      }));
      const buffers = () => shapes.map((s) => new Float32Array(s.reduce((a, b) => a * b, 1)));
      this.values = buffers();
      this.gradients = buffers();
    }

    /**
     * The logits of an image (C·H·W numbers); all values are kept for `backward`. A pass may also
     * begin with the value at another place, and end at an earlier one.
     * @param {ArrayLike<number>} image @returns {Float32Array}
     */
    forward(image, first = 0, last = this.steps.length) {
      const values = this.values;
      values[first].set(image);
      for (let i = first; i < last; i++) {
        const { inputs, layer } = this.steps[i];
        layer.forward(inputs.map((j) => values[j]), values[i + 1]);
      }
      return values[last];
    }

    /**
     * The gradient with respect to the last image, from that with respect to its logits.
     * @param {ArrayLike<number>} g @returns {Float32Array}
     */
    backward(g) {
      const { values, gradients, steps } = this;
      for (const gradient of gradients) gradient.fill(0);
      gradients[steps.length].set(g);
      for (let i = steps.length - 1; i >= 0; i--) {
        const { inputs, layer } = steps[i], of = (list) => inputs.map((j) => list[j]);
        layer.backward(of(values), values[i + 1], gradients[i + 1], of(gradients));
      }
      return gradients[0];
    }
  }

  /**
   * softmax, of all logits or of all but one.
   * @param {Float32Array} logits @returns {Float64Array}
   */
  function probabilities(logits, without = -1) {
    const top = logits.reduce((a, b, i) => (i === without ? a : Math.max(a, b)), -Infinity);
    const e = Float64Array.from(logits, (z, i) => (i === without ? 0 : Math.exp(z - top)));
    const sum = e.reduce((a, b) => a + b, 0);
    return e.map((value) => value / sum);
  }

  /**
   * The gradient of the log-odds of class k, logit_k − logsumexp(others), at the last image.
   * @param {Network} network @param {number} k
   */
  function climbing(network, k) {
    const logits = network.values[network.values.length - 1];
    const g = probabilities(logits, k).map((p) => -p);
    g[k] = 1;
    return network.backward(g);
  }

  /**
   * One step of pixel ascent: x ← clip(x + a g/‖g‖), where a is `length` times half the range.
   * `network.forward(x)` has been called; x is changed in place.
   * @param {Network} network @param {Float32Array} x @param {number} k @param {number} length
   */
  function ascend(network, x, k, length) {
    const g = climbing(network, k), [low, high] = network.program.input_range;
    const norm = Math.sqrt(g.reduce((sum, value) => sum + value * value, 0));
    if (!Number.isFinite(norm)) throw new Error("the gradient is not finite");
    const a = length * (high - low) / 2 / Math.max(norm, 1e-30);
    for (let i = 0; i < x.length; i++) x[i] = Math.min(high, Math.max(low, x[i] + a * g[i]));
  }

  /**
   * Random numbers in [0, 1), the same for the same seed (mulberry32).
   * @param {number} seed @returns {() => number}
   */
  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** Normal numbers from uniform ones, after Box and Muller. @param {() => number} random */
  function normals(random) {
    return () => {
      const radius = Math.sqrt(-2 * Math.log(1 - random()));
      return radius * Math.cos(2 * Math.PI * random());
    };
  }

  /**
   * What enters a generator: lists of numbers, and draws, `{seed, length}` normal numbers each.
   * @param {(number[]|{seed: number, length: number})[]} parts @returns {Float32Array}
   */
  function joined(parts) {
    return Float32Array.from(parts.flatMap((part) => {
      if (Array.isArray(part)) return part;
      const { seed, length } = part;
      return Array.from({ length }, normals(uniform(seed)));
    }));
  }

  /**
   * Where an ascent begins: "noise" over the whole range, or "black" with a little noise.
   * @param {Program} program @param {"noise"|"black"} start @param {number} seed
   */
  function beginning(program, start, seed) {
    const [low, high] = program.input_range, random = uniform(seed), normal = normals(random);
    const pixel = start === "noise" ? () => low + (high - low) * random()
      : () => Math.min(high, Math.max(low, low + 0.1 * normal() * (high - low) / 2));
    const length = program.image_shape.reduce((a, b) => a * b, 1);
    return Float32Array.from({ length }, pixel);
  }

  return { Network, decoded, probabilities, climbing, ascend, beginning, joined };
}

/**
 * What the worker does: it keeps networks and one image, and answers each message with one.
 * `load` takes a network, `begin` makes the first image, `step` goes one step up. `draw` runs a
 * generator once, and other networks on what it draws. A figure may bring answers of its own.
 */
function netinvWorker(engine, scope) {
  "use strict";
  const networks = {};
  let climb = null;

  /** What the page shows of the image: its pixels, and what each network says of it. */
  function state() {
    const read = (name) => Array.from(engine.probabilities(networks[name].forward(climb.image)));
    const judge = climb.judge ? read(climb.judge) : null;
    const { image, step, classifier } = climb;
    return { image: image.slice(), step, classifier: read(classifier), judge };
  }

  const answers = {
    load({ name, program, weights }) {
      networks[name] = new engine.Network(program, engine.decoded(weights));
    },
    begin(settings) {
      const { program } = networks[settings.classifier];
      climb = { ...settings, step: 0 };
      climb.image = engine.beginning(program, settings.start, settings.seed);
      return state();
    },
    step() {
      engine.ascend(networks[climb.classifier], climb.image, climb.target, climb.length);
      climb.step += 1;
      return state();
    },
    draw({ generator, parts, readers }) {
      const image = networks[generator].forward(engine.joined(parts)).slice();
      const read = (name) => Array.from(engine.probabilities(networks[name].forward(image)));
      return { image, read: Object.fromEntries(readers.map((name) => [name, read(name)])) };
    },
  };

  Object.assign(answers, engine.answers?.(networks));  // those of the figure itself

  scope.onmessage = ({ data: { id, kind, content } }) => {
    try {
      scope.postMessage({ id, result: answers[kind](content) });
    } catch (error) {
      scope.postMessage({ id, error: String(error) });
    }
  };
}
