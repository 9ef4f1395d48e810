/**
 * Generate: a trained generator draws for a conditioning vector v, which the reader moves over the
 * simplex, and two networks read the image. The settings stand in the address.
 */
netinvLive.define("generate", (figure) => {
  "use strict";
  const { element, percent, largest } = netinvLive;
  const { classes, networks, judge, base, target, generator } = JSON.parse(
    figure.dataset.settings);
  const classifier = networks[0].name;
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const changed = netinvLive.painting(figure, "New z", roll, stage);

  // ---- the vector: a slider a class; when one moves, the others share what is left ------------

  const v = classes.map((_, k) => Number(k === target));
  const rows = classes.map((name, k) => {
    const slider = element("input", {
      type: "range", min: 0, max: 100, step: 1, "aria-label": "Share of class " + name,
    });
    const corner = element("button", {
      type: "button", class: "live-corner", "aria-label": "The vector of class " + name + " alone",
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
  const seed = element("input", { type: "number", min: 1, max: 9999, step: 1, name: "seed" });

  /** v_k becomes p; the others keep their proportions, or are equal if there was nothing. */
  function share(k, p) {
    const rest = 1 - v[k], others = v.length - 1;
    v.forEach((old, j) => { v[j] = rest > 1e-6 ? old * (1 - p) / rest : (1 - p) / others; });
    v[k] = p;
  }

  /** Show v, and paint; the slider that the reader holds is left where it is. */
  function showVector(held = null) {
    rows.forEach(({ slider, output }, k) => {
      if (slider !== held) slider.value = String(Math.round(100 * v[k]));
      output.value = percent(v[k]);
    });
    changed();
  }

  function keep() {
    const thousandths = v.map((p) => Math.round(1000 * p)).join("-");
    netinvLive.keepState("generate", { v: thousandths, seed: seed.value });
  }

  function restore() {  // what the address says if it makes sense, else the default
    const said = netinvLive.stateOf("generate") ?? {};
    const given = (said.v ?? "").split("-").map(Number), sum = given.reduce((a, b) => a + b, 0);
    const sound = given.length === v.length && sum > 0 && given.every((p) => p >= 0);
    v.forEach((_, k) => { v[k] = sound ? given[k] / sum : Number(k === target); });
    seed.value = said.seed ?? "1";
    checkSeed();
    showVector();
  }

  function checkSeed() {
    if (!seed.checkValidity() || seed.value === "") seed.value = "1";
  }

  seed.addEventListener("change", () => { checkSeed(); keep(); changed(); });

  function roll() {
    seed.value = String(Number(seed.value) % 9999 + 1);
    keep();
    changed();
  }

  // ---- the image ------------------------------------------------------------------------------

  /** Load what is needed; a function that paints what the controls say. */
  async function stage() {
    const engine = new netinvLive.Engine(), program = await engine.want(generator, base);
    await engine.want(classifier, base);
    await engine.want(judge, base);
    const panels = {
      [classifier]: netinvLive.bars(part("classifier"), "Classifier", classes),
      [judge]: netinvLive.bars(part("judge"), "Judge", classes),
    };
    return async () => {
      const k = largest(v), z = { seed: Number(seed.value), length: program.latent_dim };
      const { image, read } = await engine.ask("draw", {
        generator, parts: [z, v.slice(), [program.strength]], readers: [classifier, judge],
      });
      netinvLive.draw(part("canvas"), image, program);
      for (const [name, panel] of Object.entries(panels)) panel(read[name], k);
      return summary(read[classifier], read[judge]);
    };
  }

  const says = (name, p) => name + " predicts " + classes[largest(p)] + " (" +
    percent(Math.max(...p)) + ")";

  /** What was asked for, and what each network predicts. */
  function summary(mine, read) {
    const order = [...v.keys()].filter((k) => v[k] >= 0.05).sort((i, j) => v[j] - v[i]);
    const asked = order.slice(0, 3).map((k) => percent(v[k]) + " " + classes[k]).join(", ");
    const more = order.length > 3 ? " and more" : "";
    return "Asked for " + (asked || "a little of each class") + more + ": the " +
      says("classifier", mine) + ", the " + says("judge", read) + ".";
  }

  const label = element("label", {}, element("span", {}, "Random number"), seed);
  const group = { class: "live-shares", role: "group", "aria-label": "The vector" };
  part("controls").append(element("div", group, ...rows.map(({ row }) => row)), label);
  restore();
  addEventListener("hashchange", () => {
    if (netinvLive.stateOf("generate")) restore();
  });
  figure.classList.add("live-ready");
  if (netinvLive.stateOf("generate")) figure.scrollIntoView();
});
