/**
 * Bend: an image is deformed by a smooth random field, as strongly as the reader wants, and two
 * networks read it: one that a generator drew, or a real one. The settings stand in the address.
 */
netinvLive.define("bend", (figure) => {
  "use strict";
  const { element, percent, largest } = netinvLive;
  const { classes, networks, judge, base, target, generator, bender } = JSON.parse(
    figure.dataset.settings);
  const classifier = networks[0].name, FIELD = 18;  // numbers that make a field
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const changed = netinvLive.painting(figure, "New field", roll, stage);

  const choice = (options) => element("select", {}, ...options.map(([value, label]) =>
    element("option", { value }, label)));
  const number = (type, min, max, step) => element("input", { type, min, max, step });
  const settings = {  // name: value at first, label, control
    target: [target, "Class", netinvLive.chips("Class", classes)],
    image: ["generated", "Image", choice([["generated", "generated"], ["real", "real digit"]])],
    strength: [0.2, "Strength", number("range", 0, 1, 0.02)],
    seed: [1, "Random number", number("number", 1, 9999, 1)],
  };
  const value = (name) => settings[name][2].value;
  const output = element("output");

  /** A setting that makes no sense becomes what it was at first. */
  function check(name) {
    const [first, , control] = settings[name];
    if (!control.checkValidity() || control.value === "") control.value = first;
    output.value = Number(value("strength")).toFixed(2);
  }

  function restore() {  // what the address says if it makes sense, else the default
    const said = netinvLive.stateOf("bend") ?? {};
    for (const [name, [first, , control]] of Object.entries(settings)) {
      control.value = said[name] ?? first;
      if (name in said && control.value !== said[name]) control.value = first;  // as 9 becomes 1
      check(name);
    }
    changed();
  }

  function keep() {
    const state = Object.keys(settings).map((name) => [name, value(name)]);
    netinvLive.keepState("bend", Object.fromEntries(state));
    changed();
  }

  for (const [name, [, label, control]] of Object.entries(settings)) {
    control.name = name;
    const shown = control.localName === "fieldset" ? control
      : element("label", {}, element("span", {}, label), control);
    if (name === "strength") {
      shown.firstChild.append(" ", output);
      control.setAttribute("aria-label", label);  // the <label> is the output's
      control.addEventListener("input", () => { check(name); changed(); });
    }
    control.addEventListener("change", () => { check(name); keep(); });
    part("controls").append(shown);
  }
  function roll() {
    settings.seed[2].value = String(Number(value("seed")) % 9999 + 1);
    keep();
  }

  /** Load what is needed; a function that paints what the controls say. */
  async function stage() {
    const engine = new netinvLive.Engine(), drawing = await engine.want(generator, base);
    const bending = /** @type {any} */ (await engine.want(bender, base));
    await engine.want(classifier, base);
    await engine.want(judge, base);
    const panels = {
      [classifier]: netinvLive.bars(part("classifier"), "Classifier", classes),
      [judge]: netinvLive.bars(part("judge"), "Judge", classes),
    };
    const [low, high] = bending.input_range;
    /** The first image of class k: what enters the program that bends it, but for its field. */
    function begun(k) {
      if (value("image") === "real") {
        return [bending.images[k].map((byte) => low + (high - low) * byte / 255)];
      }
      return [{ seed: k + 1, length: drawing.latent_dim - FIELD }];
    }
    return async () => {
      const k = Number(value("target")), real = value("image") === "real";
      const field = { seed: Number(value("seed")), length: FIELD };
      const corner = classes.map((_, j) => Number(j === k)), strength = Number(value("strength"));
      const parts = [...begun(k), field, ...(real ? [] : [corner]), [strength]];
      const { image, read } = await engine.ask("draw", {
        generator: real ? bender : generator, parts, readers: [classifier, judge],
      });
      netinvLive.draw(part("canvas"), image, bending);
      for (const [name, panel] of Object.entries(panels)) panel(read[name], k);
      return "A " + (real ? "real " : "generated ") + classes[k] + ", bent by " + output.value +
        ": the " + says("classifier", read[classifier]) + ", the " + says("judge", read[judge]) +
        ".";
    };
  }

  const says = (name, p) => name + " predicts " + classes[largest(p)] + " (" +
    percent(Math.max(...p)) + ")";

  restore();
  addEventListener("hashchange", () => {
    if (netinvLive.stateOf("bend")) restore();
  });
  figure.classList.add("live-ready");
  if (netinvLive.stateOf("bend")) figure.scrollIntoView();
});
