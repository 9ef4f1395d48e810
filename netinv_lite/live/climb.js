/**
 * Climb: an image forms by gradient ascent on the classifier, and a judge that had no part in it
 * reads it as well. The settings stand in the address, so that they can be linked to.
 */
netinvLive.define("climb", (figure) => {
  "use strict";
  const { element, percent } = netinvLive;
  const { classes, networks, judge, base, target } = JSON.parse(figure.dataset.settings);
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const button = part("start"), verdict = part("verdict"), canvas = part("canvas");
  let engine = null, current = null;  // the run that may still draw

  // ---- settings: each has a control, and a place in the address --------------------------------

  const choice = (options) => element("select", {}, ...options.map(([value, label]) =>
    element("option", { value }, label)));
  const number = (type, min, max, step) => element("input", { type, min, max, step });
  const few = classes.length <= 10 && classes.every((name) => name.length <= 12);
  const settings = {  // name: value at first, label, control
    target: [target, "Target class", few ? netinvLive.chips("Target class", classes)
      : choice(classes.map((name, k) => [k, name]))],
    network: [networks[0].name, "Network", choice(networks.map((n) => [n.name, n.label]))],
    start: ["noise", "Start", choice([["noise", "noise"], ["black", "black"]])],
    length: [0.5, "Step length", number("range", 0.1, 2, 0.1)],
    steps: [80, "Steps", number("range", 5, 200, 5)],
    seed: [1, "Random number", number("number", 1, 9999, 1)],
  };
  const value = (name) => settings[name][2].value;

  /** Set every control: to what the address says if it makes sense, else to the default. */
  function restore() {
    const said = netinvLive.stateOf("climb") ?? {};
    for (const [name, [first, , control]] of Object.entries(settings)) {
      control.value = said[name] ?? first;
      const altered = name in said && control.value !== said[name];  // as -3 becomes the least
      if (altered || !control.checkValidity()) control.value = first;
      control.dispatchEvent(new Event("input"));
    }
  }

  function keep() {
    const state = Object.keys(settings).map((name) => [name, value(name)]);
    netinvLive.keepState("climb", Object.fromEntries(state));
  }

  for (const [name, [first, label, control]] of Object.entries(settings)) {
    control.name = name;
    const shown = control.localName === "fieldset" ? control
      : element("label", {}, element("span", {}, label), control);
    if (name === "network" && networks.length === 1) shown.hidden = true;
    if (control.type === "range") {
      const output = element("output");
      shown.firstChild.append(" ", output);
      control.setAttribute("aria-label", label);  // the <label> is the output's
      control.addEventListener("input", () => { output.value = control.value; });
    }
    control.addEventListener("change", () => {
      if (!control.checkValidity() || control.value === "") control.value = first;
      keep();
      if (engine) climb();
    });
    part("controls").append(shown);
  }

  // ---- the climb -------------------------------------------------------------------------------

  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const says = (name, p) => name + " predicts " + classes[netinvLive.largest(p)] + " (" +
    percent(Math.max(...p)) + ")";

  function summary({ step, classifier, judge: read }, k) {
    const steps = step === 1 ? " step" : " steps";
    const first = "After " + step + steps + " the " + says("classifier", classifier);
    if (!read) return first + ".";
    const agrees = netinvLive.largest(read) === k;
    const second = agrees ? ", too." : ": to it the image shows something else.";
    return first + ", the " + says("judge", read) + second;
  }

  /** Load what is needed; a function that shows a state of the climb. */
  async function stage(name, k, steps) {
    engine ??= new netinvLive.Engine();
    const program = await engine.want(name, base);
    if (judge) await engine.want(judge, base);
    figure.classList.add("live-on");
    const panels = { classifier: netinvLive.bars(part("classifier"), "Classifier", classes) };
    if (judge) panels.judge = netinvLive.bars(part("judge"), "Judge", classes);
    return (state) => {
      netinvLive.draw(canvas, state.image, program);
      for (const [who, panel] of Object.entries(panels)) panel(state[who], k);
      part("status").textContent = "Step " + state.step + " of " + steps;
    };
  }

  /** From the first image to the last, unless a later run takes over or the button stops it. */
  async function ascend(mine) {
    const name = value("network"), k = Number(value("target")), steps = Number(value("steps"));
    const show = await stage(name, k, steps);
    if (mine !== current) return;
    let state = await engine.ask("begin", {
      classifier: name, judge, target: k, length: Number(value("length")),
      start: value("start"), seed: Number(value("seed")),
    });
    while (mine === current && !mine.stopped && state.step < steps) {
      const next = engine.ask("step");  // the worker climbs while the page draws
      if (!netinvLive.calm()) {  // with reduced motion only the last image is shown
        show(state);
        await frame();  // a tab that sleeps gets none: the climb goes on where it was
      }
      state = await next;
    }
    if (mine !== current) return;
    show(state);
    const text = summary(state, k);
    verdict.textContent = text;
    canvas.setAttribute("aria-label", "Image of target class " + classes[k] + ". " + text);
  }

  async function climb() {
    const mine = (current = { stopped: false });
    button.textContent = "Stop";
    verdict.textContent = "";
    part("status").textContent = "Loading the networks \u2026";
    figure.setAttribute("aria-busy", "true");
    try {
      await ascend(mine);
    } catch (error) {
      if (mine === current) verdict.textContent = "This did not work: " + error.message + ".";
    }
    if (mine !== current) return;
    current = null;
    button.textContent = "Start again";
    figure.removeAttribute("aria-busy");
  }

  button.addEventListener("click", () => {
    if (current) { current.stopped = true; return; }
    keep();
    climb();
  });
  restore();
  addEventListener("hashchange", () => {
    if (!netinvLive.stateOf("climb")) return;  // a link to another part of the page
    restore();
    if (engine) climb();
  });
  figure.classList.add("live-ready");
  if (netinvLive.stateOf("climb")) figure.scrollIntoView();
});
