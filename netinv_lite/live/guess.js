/**
 * Guess: forty images without a label; the reader says which digit each shows. In the end their
 * count stands beside those of two networks, method by method, with a line of CSV to hand in.
 */
netinvLive.define("guess", (figure) => {
  "use strict";
  const { element } = netinvLive;
  const { classes, base, gallery } = JSON.parse(figure.dataset.settings);
  /** @returns {any} the element of the figure with the class `live-name` */
  const part = (name) => figure.querySelector(".live-" + name);
  const button = part("start"), verdict = part("verdict"), canvas = part("canvas");
  const result = part("classifier");
  let shown = null, answers = [];  // the gallery, once it is there; a class for each image, or −1

  const names = [...classes, "no digit"];
  const choices = names.map((name, k) => {
    const choice = element("button", { type: "button", disabled: "" }, name);
    choice.addEventListener("click", () => answer(k < classes.length ? k : -1));
    return choice;
  });
  const group = { class: "live-choices", role: "group", "aria-label": "What do you see?" };
  part("controls").append(element("div", group, ...choices));
  result.setAttribute("aria-label", "Result");
  const running = () => shown && answers.length < shown.images.length;

  function answer(k) {
    if (!running()) return;
    answers.push(k);
    if (running()) show(); else finish();
  }

  function show() {
    const place = "Image " + (answers.length + 1) + " of " + shown.images.length;
    part("status").textContent = place;
    canvas.setAttribute("aria-label", place + ", without a label");
    const [low, high] = shown.input_range, { pixels } = shown.images[answers.length];
    const image = Float32Array.from(pixels, (byte) => low + (high - low) * byte / 255);
    netinvLive.draw(canvas, image, shown);
  }

  /** For each method: how many images, and in how many each reader sees the target class. */
  function counts() {
    const rows = new Map(shown.methods.map((name) => [name, [0, 0, 0, 0]]));
    shown.images.forEach(({ method, target, judge, referee }, i) => {
      const row = rows.get(shown.methods[method]);
      row[0] += 1;
      [answers[i], judge, referee].forEach((k, j) => { row[j + 1] += Number(k === target); });
    });
    return rows;
  }

  /** One line: each method with its counts, then the answers in their order, - for no digit. */
  function line(rows) {
    const fields = [...rows].flatMap(([name, [all, ...right]]) => [name, ...right, all]);
    return [...fields, answers.map((k) => (k < 0 ? "-" : classes[k])).join(" ")].join(",");
  }

  function finish() {
    const rows = counts(), total = [1, 2, 3].map((j) =>
      [...rows.values()].reduce((sum, row) => sum + row[j], 0));
    const cells = (tag, texts) => element("tr", {}, ...texts.map((text, j) =>
      element(j ? tag : "th", {}, String(text))));
    const table = element("table", { class: "live-table" },
      element("thead", {}, cells("th", ["Images", "you", "judge", "referee", "of"])),
      element("tbody", {}, ...[...rows].map(([name, [all, ...right]]) =>
        cells("td", [name, ...right, all]))));
    const text = element("input", { readonly: "", "aria-label": "Your answers as CSV" });
    text.value = line(rows);
    const copy = element("button", { type: "button", class: "live-corner" }, "Copy");
    copy.addEventListener("click", async () => {
      text.select();
      try {
        await navigator.clipboard.writeText(text.value);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Selected";  // where a page may not write: the keyboard copies it
      }
    });
    result.replaceChildren(table, element("div", { class: "live-line" }, text, copy));
    choices.forEach((choice) => { choice.disabled = true; });
    button.textContent = "Start again";
    button.hidden = false;
    part("status").textContent = "";
    verdict.textContent = "Of " + answers.length + " images you see the target class in " +
      total[0] + "; the judge predicts it in " + total[1] + ", the referee in " + total[2] + ".";
    button.focus();
  }

  button.addEventListener("click", async () => {
    part("status").textContent = "Loading the images \u2026";
    try {
      shown = /** @type {any} */ (await netinvLive.load(gallery, base)).program;
    } catch (error) {
      part("status").textContent = "";
      verdict.textContent = "This did not work: " + error.message + ".";
      return;
    }
    answers = [];
    verdict.textContent = "";
    result.replaceChildren();
    figure.classList.add("live-on");
    choices.forEach((choice) => { choice.disabled = false; });
    button.hidden = true;
    show();
    choices[0].focus({ preventScroll: true });
  });
  figure.addEventListener("keydown", (event) => {
    const k = classes.indexOf(event.key);
    if (k >= 0 && running()) answer(k);
  });
  figure.classList.add("live-ready");
});
