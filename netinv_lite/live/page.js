/**
 * What the live figures of a page share: networks, which are loaded when they are first wanted, the
 * worker that runs them, bars of probabilities, a picture, and the state in the address.
 *
 * A figure is `<figure data-live="name">`; `netinvLive.define(name, begin)` says what it does.
 */
const netinvLive = (function () {
  "use strict";
  const registered = {}, arriving = {}, figures = {};

  /** Called by the file of a network. @param {string} name @param {string} weights in base64 */
  function register(name, program, weights) {
    registered[name] = { program, weights };
  }

  /**
   * A network by name, from the page itself or from a file in the folder `base`.
   * @param {string} name @param {string} base
   * @returns {Promise<{program: Program, weights: string}>}
   */
  function load(name, base) {
    arriving[name] ??= new Promise((resolve, reject) => {
      if (registered[name]) { resolve(registered[name]); return; }
      const script = document.createElement("script");  // fetch is refused on file://
      script.src = base + name + ".js";
      script.onload = () => resolve(registered[name]);
      script.onerror = () => {
        delete arriving[name];  // the next press of the button tries again
        reject(new Error("the network " + name + " could not be loaded"));
      };
      document.head.append(script);
    });
    return arriving[name];
  }

  /** Networks in a worker; `ask` sends a message and awaits the answer. */
  class Engine {
    /** @param {Function[]} more  what the worker needs besides the engine, as `netinvReturning` */
    constructor(more = []) {
      this.waiting = new Map();
      this.known = new Set();
      this.send = netinvRunning(more, (data) => {
        const { resolve, reject } = this.waiting.get(data.id);
        this.waiting.delete(data.id);
        if (data.error) reject(new Error(data.error)); else resolve(data.result);
      }, (message) => {
        for (const { reject } of this.waiting.values()) reject(new Error(message));
        this.waiting.clear();
      });
    }

    /** @param {string} kind @param {Object} [content] @returns {Promise<any>} */
    ask(kind, content) {
      return new Promise((resolve, reject) => {
        const id = (this.last = (this.last ?? 0) + 1);
        this.waiting.set(id, { resolve, reject });
        this.send({ id, kind, content });
      });
    }

    /**
     * Load a network into the page and hand it to the worker, once.
     * @param {string} name @param {string} base @returns {Promise<Program>}
     */
    async want(name, base) {
      const network = await load(name, base);
      if (!this.known.has(name)) {
        await this.ask("load", { name, ...network });
        this.known.add(name);
      }
      return network.program;
    }
  }

  // ---- elements -------------------------------------------------------------------------------

  /**
   * A new element; texts are texts, never markup.
   * @param {string} tag @param {Object<string, any>} attributes
   * @param {...(globalThis.Node|string)} children @returns {any}
   */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  let groups = 0;
  /**
   * A choice among few: a group of radio buttons that has a `value`, as a <select> has.
   * @param {string} label @param {string[]} names  the values are their places
   */
  function chips(label, names) {
    const name = "live-" + (groups += 1);
    const buttons = names.map((_, value) => element("input", { type: "radio", name, value }));
    const group = element("fieldset", { class: "live-chips" }, element("legend", {}, label),
      ...names.map((text, i) => element("label", {}, buttons[i], element("span", {}, text))));
    Object.defineProperty(group, "value", {
      get: () => buttons.find((button) => button.checked)?.value ?? "",
      set: (value) => {
        const button = buttons.find((b) => b.value === String(value));
        if (button) button.checked = true;
      },
    });
    return group;
  }

  const percent = (p) => (100 * p).toFixed(0) + "%";
  const largest = (p) => p.reduce((best, value, i) => (value > p[best] ? i : best), 0);

  /**
   * Bars of probabilities in `panel`: of all classes, or of the likeliest and the target class.
   * @param {HTMLElement} panel @param {string} title @param {string[]} classes
   * @returns {(p: number[], target: number) => void}
   */
  function bars(panel, title, classes) {
    const shown = Math.min(classes.length, 10);
    const rows = Array.from({ length: shown }, () => {
      const [name, bar, number] = ["name", "bar", "number"].map((kind) =>
        element("span", { class: "live-" + kind }));
      bar.append(element("span"));
      return { row: element("li", {}, name, bar, number), name, fill: bar.firstChild, number };
    });
    const list = element("ol", {}, ...rows.map(({ row }) => row));
    panel.replaceChildren(element("strong", {}, title), list);
    return (p, target) => {
      const order = Array.from(p.keys());
      if (p.length > shown) {
        order.sort((i, j) => p[j] - p[i]);
        if (order.indexOf(target) >= shown) order[shown - 1] = target;
      }
      rows.forEach(({ row, name, fill, number }, i) => {
        const k = order[i];
        row.classList.toggle("live-target", k === target);
        name.textContent = (k === target ? "\u25b8 " : "") + classes[k];
        fill.style.width = 100 * p[k] + "%";
        number.textContent = percent(p[k]);
      });
      panel.dataset.probability = p[target].toFixed(6);
      panel.dataset.predicted = classes[largest(p)];
    };
  }

  /**
   * Show an image (C·H·W numbers of the program's range) on a canvas, a pixel a pixel.
   * @param {HTMLCanvasElement} canvas @param {Float32Array} image
   */
  function draw(canvas, image, { image_shape: [C, H, W], input_range: [low, high] }) {
    canvas.width = W;
    canvas.height = H;
    const picture = new ImageData(W, H), area = H * W;
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) {
        const value = image[(C >= 3 ? c : 0) * area + i];
        picture.data[4 * i + c] = Math.round((255 * (value - low)) / (high - low));
      }
      picture.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  // ---- the address ----------------------------------------------------------------------------

  /**
   * What the address says of a figure, `#name:key=value&…`; null if it says nothing of it.
   * @param {string} name @returns {?Object<string, string>}
   */
  function stateOf(name) {
    const said = decodeURIComponent(location.hash).match(/^#([\w-]+):(.*)$/s);
    return said && said[1] === name ? Object.fromEntries(new URLSearchParams(said[2])) : null;
  }

  /**
   * Put the state of a figure into the address, in place of what is there.
   * @param {string} name @param {Object<string, string>} state
   */
  function keepState(name, state) {
    if (location.protocol === "about:") return;  // in a notebook's frame, which has no address
    history.replaceState(null, "", "#" + name + ":" + new URLSearchParams(state));
  }

  // ---- figures --------------------------------------------------------------------------------

  /** Say what a figure does. @param {string} name @param {(figure: HTMLElement) => void} begin */
  function define(name, begin) {
    figures[name] = begin;
  }

  document.addEventListener("DOMContentLoaded", () => {
    /** @type {NodeListOf<HTMLElement>} */
    const all = document.querySelectorAll("figure[data-live]");
    for (const figure of all) {
      figures[figure.dataset.live]?.(figure);
    }
  });

  /**
   * Paint a figure when its button is pressed and, from then on, after every change; what changes
   * while it paints is painted once more. Then the button has another label, and does `more`.
   * @param {HTMLElement} figure @param {string} label @param {() => void} more
   * @param {() => Promise<() => Promise<string>>} stage  loads, and returns what paints and tells
   * @returns {() => void} to be called after a change
   */
  function painting(figure, label, more, stage) {
    const [button, status, verdict, canvas] = ["start", "status", "verdict", "canvas"].map(
      (name) => /** @type {HTMLElement} */ (figure.querySelector(".live-" + name)));
    let paint = null, busy = false, again = false;
    async function run() {
      again = true;
      if (busy) return;
      busy = true;
      try {
        paint ??= await stage();
        figure.classList.add("live-on");
        while (again) {
          again = false;
          const text = await paint();
          if (again) continue;
          verdict.textContent = text;
          canvas.setAttribute("aria-label", text);
        }
        button.textContent = label;
      } catch (error) {
        verdict.textContent = "This did not work: " + error.message + ".";
      }
      status.textContent = "";
      busy = false;
    }
    button.addEventListener("click", () => {
      if (paint) { more(); return; }
      status.textContent = "Loading the networks \u2026";
      run();
    });
    return () => { if (paint) run(); };
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  return {
    register, define, Engine, element, chips, percent, largest, bars, draw, stateOf, keepState,
    painting, load, calm,
  };
})();
