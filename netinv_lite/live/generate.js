/**
 * Generate: a trained generator draws for a conditioning vector v, which the reader moves over the
 * simplex, and networks read the image. Where a hot matrix M enters, it may name another class
 * than v, and where there are several generators, one is chosen. The settings stand in the address.
 */
netinvLive.define("generate", (figure) => {
  "use strict";
  const { element, percent, largest } = netinvLive;
  const { classes, networks, judge, base, target, generators } = JSON.parse(
    figure.dataset.settings);
  const classifier = networks[0].name, SLIDERS = 12;  // classes that have a slider each
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const changed = netinvLive.painting(figure, "New z", roll, stage);
  const select = (options) => element("select", {}, ...options.map(([value, label]) =>
    element("option", { value }, label)));
  const labelled = (text, control) =>
    element("label", {}, element("span", {}, text), control);
  const whole = (text, end) => /^\d+$/.test(text) && Number(text) < end;

  // ---- the vector -----------------------------------------------------------------------------

  const v = classes.map((_, k) => Number(k === target));
  const vector = classes.length <= SLIDERS ? sliders() : mixture();

  /** A slider a class; when one moves, the others share what is left. */
  function sliders() {
    const rows = classes.map((name, k) => {
      const slider = element("input", {
        type: "range", min: 0, max: 100, step: 1, "aria-label": "Share of class " + name,
      });
      const alone = "The vector of class " + name + " alone";
      const corner = element("button", {
        type: "button", class: "live-corner", "aria-label": alone,
      }, name);
      const output = element("output");
      slider.addEventListener("input", () => {
        share(k, Number(slider.value) / 100);
        showVector(slider);
      });
      slider.addEventListener("change", keep);
      corner.addEventListener("click", () => { share(k, 1); showVector(); keep(); });
      const row = element("div", { class: "live-share" }, corner, slider, output);
      return { slider, output, row };
    });
    const group = element("div", {
      class: "live-shares", role: "group", "aria-label": "The vector",
    }, ...rows.map(({ row }) => row));
    group.style.setProperty("--rows", String(Math.ceil(rows.length / 2)));
    const longest = Math.max(...classes.map((name) => name.length));
    if (longest > 3) group.style.setProperty("--name", Math.min(longest, 11) * 0.6 + 1 + "rem");
    return {
      controls: [group],
      show(held) {
        rows.forEach(({ slider, output }, k) => {
          if (slider !== held) slider.value = String(Math.round(100 * v[k]));
          output.value = percent(v[k]);
        });
      },
      text: () => v.map((p) => Math.round(1000 * p)).join("-"),
      /** What the address says, if it makes sense. */
      read(text) {
        const given = text.split("-").map(Number), sum = given.reduce((a, b) => a + b, 0);
        const sound = given.length === v.length && sum > 0 && given.every((p) => p >= 0);
        if (sound) given.forEach((p, k) => { v[k] = p / sum; });
        return sound;
      },
      corner() { v.forEach((_, k) => { v[k] = Number(k === target); }); },
    };
  }

  /** v_k becomes p; the others keep their proportions, or are equal if there was nothing. */
  function share(k, p) {
    const rest = 1 - v[k], others = v.length - 1;
    v.forEach((old, j) => { v[j] = rest > 1e-6 ? old * (1 - p) / rest : (1 - p) / others; });
    v[k] = p;
  }

  /** Of many classes two, and how much of the second. */
  function mixture() {
    const names = classes.map((name, k) => [k, name]);
    const first = select(names), second = select(names), output = element("output");
    const text = "Share of the second";
    const amount = element("input", {
      type: "range", min: 0, max: 100, step: 1, "aria-label": text,  // the label is the output's
    });
    const shown = labelled(text, amount);
    shown.firstChild.append(" ", output);
    function mix() {
      const p = Number(amount.value) / 100;
      v.fill(0);
      v[Number(first.value)] = 1 - p;
      v[Number(second.value)] += p;
      showVector();
    }
    for (const control of [first, second, amount]) {
      control.addEventListener("input", mix);
      control.addEventListener("change", keep);
    }
    function set(a, b, share) {
      [first.value, second.value, amount.value] = [a, b, share].map(String);
      mix();
    }
    return {
      controls: [labelled("First class", first), labelled("Second class", second), shown],
      show() { output.value = amount.value + "%"; },
      text: () => [first.value, second.value, amount.value].join("-"),
      read(text) {
        const given = text.split("-"), ends = [v.length, v.length, 101];
        const sound = given.length === 3 && given.every((t, i) => whole(t, ends[i]));
        if (sound) set(...given);
        return sound;
      },
      corner() { set(target, (target + 1) % v.length, 0); },
    };
  }

  /** Show v, and paint; the slider that the reader holds is left where it is. */
  function showVector(held = null) {
    vector.show(held);
    changed();
  }

  // ---- what else there is to choose -----------------------------------------------------------

  const seed = element("input", { type: "number", min: 1, max: 9999, step: 1, name: "seed" });
  const which = netinvLive.chips("The class enters as", generators.map(({ label }) => label));
  const matrix = select([["", "the vector's"], ...classes.map((name, k) => [k, name])]);
  const ofMatrix = labelled("Class of the matrix", matrix);
  const chosen = () => generators[Number(which.value)];

  function keep() {
    const state = { v: vector.text(), seed: seed.value };
    if (generators.length > 1) state.generator = which.value;
    if (chosen().matrix) state.matrix = matrix.value;
    netinvLive.keepState("generate", state);
  }

  function restore() {  // what the address says if it makes sense, else the default
    const said = netinvLive.stateOf("generate") ?? {};
    which.value = whole(said.generator ?? "", generators.length) ? said.generator : "0";
    matrix.value = whole(said.matrix ?? "", v.length) ? said.matrix : "";
    if (!vector.read(said.v ?? "")) vector.corner();
    seed.value = said.seed ?? "1";
    check();
    showVector();
  }

  function check() {
    if (!seed.checkValidity() || seed.value === "") seed.value = "1";
    ofMatrix.hidden = !chosen().matrix;
  }

  for (const control of [seed, which, matrix]) {
    control.addEventListener("change", () => { check(); keep(); changed(); });
  }

  function roll() {
    seed.value = String(Number(seed.value) % 9999 + 1);
    keep();
    changed();
  }

  // ---- the image ------------------------------------------------------------------------------

  /** Load what is needed; a function that paints what the controls say. */
  async function stage() {
    const engine = new netinvLive.Engine(), programs = {}, panels = {};
    for (const { name } of generators) programs[name] = await engine.want(name, base);
    const readers = [classifier, judge].filter(Boolean);
    for (const name of readers) await engine.want(name, base);
    panels[classifier] = netinvLive.bars(part("classifier"), "Classifier", classes);
    if (judge) panels[judge] = netinvLive.bars(part("judge"), "Judge", classes);
    return async () => {
      const { name, soft } = chosen(), program = programs[name], k = largest(v);
      const z = { seed: Number(seed.value), length: program.latent_dim };
      const row = [z, v.slice()];
      if (program.matrix) row.push(rowOfMatrix(soft));
      const { image, read } = await engine.ask("draw", {
        generator: name, parts: [...row, [program.strength]], readers,
      });
      netinvLive.draw(part("canvas"), image, program);
      for (const [who, panel] of Object.entries(panels)) panel(read[who], k);
      return summary(read[classifier], judge && read[judge]);
    };
  }

  /** What makes M: the one-hot of its class, or with soft targets v over its largest entry. */
  function rowOfMatrix(soft) {
    const k = matrix.value === "" ? largest(v) : Number(matrix.value);
    return soft && matrix.value === "" ? v.map((p) => p / v[k]) : v.map((_, j) => Number(j === k));
  }

  const says = (name, p) => name + " predicts " + classes[largest(p)] + " (" +
    percent(Math.max(...p)) + ")";

  /** What was asked for, and what each network predicts. */
  function summary(mine, read) {
    const order = [...v.keys()].filter((k) => v[k] >= 0.05).sort((i, j) => v[j] - v[i]);
    const asked = order.slice(0, 3).map((k) => percent(v[k]) + " " + classes[k]).join(", ");
    const more = order.length > 3 ? " and more" : "";
    const other = chosen().matrix && matrix.value !== "" && Number(matrix.value) !== largest(v);
    const against = other ? " by the vector, " + classes[Number(matrix.value)] + " by the matrix"
      : "";
    return "Asked for " + (asked || "a little of each class") + more + against + ": the " +
      says("classifier", mine) + (read ? ", the " + says("judge", read) : "") + ".";
  }

  if (generators.length > 1) part("controls").append(which);
  part("controls").append(...vector.controls, ofMatrix, labelled("Random number", seed));
  restore();
  addEventListener("hashchange", () => {
    if (netinvLive.stateOf("generate")) restore();
  });
  figure.classList.add("live-ready");
  if (netinvLive.stateOf("generate")) figure.scrollIntoView();
});
