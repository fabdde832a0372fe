"use strict";
// Shows the stage that is clicked. The numbers come as texts from the page's data; here they are only drawn.
const DATA = JSON.parse(document.getElementById("data").textContent);
const STEPS = 24;
const SVG = "http://www.w3.org/2000/svg";

/** An element with these attributes; children are elements or text, which is never read as HTML. */
function make(name, attributes, ...children) {
  const is_svg = /^(svg|g|rect|path|line|circle|text|title)$/.test(name);
  const element = is_svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** What a step of the scale means, in units of the noise. */
function times(step) {
  if (step === 0) return `below ${power(DATA.first_step)}`;
  return `${power(DATA.first_step + (step - 1) / 2)} to ${power(DATA.first_step + step / 2)}`;
}
function power(exponent) {
  const value = 10 ** exponent;
  return exponent < -2 || exponent > 3 ? value.toExponential(0) : String(+value.toPrecision(1));
}
/** The colour of a step: within three times the noise it is the limit's greens, beyond them its reds. */
function colour(step) {
  const limit = 10; // the first step that is wholly beyond three times the noise
  const at = step < limit ? Math.max(0, Math.floor((step - 6))) : 4 + Math.floor((step - limit) / 3);
  return `var(--l${Math.min(step < limit ? 3 : 7, at)})`;
}

/** `head 2, lanes 128 to 131`: lanes `from` to `to` by the axes they are made of. */
function lanes(axes, from, to) {
  const place = (lane) => {
    const parts = [];
    for (const [name, length] of [...axes].reverse()) {
      parts.unshift([name, lane % length]);
      lane = Math.floor(lane / length);
    }
    return parts;
  };
  const words = (parts) => parts.map(([name, at]) => `${name} ${at}`).join(", ");
  const first = place(from), last = place(to);
  return from === to ? words(first) : `${words(first)} to ${words(last)}`;
}

/** Tokens × lanes. */
function cells(stage, says) {
  const rows = stage.cells.length, columns = stage.cells[0].length;
  const all = stage.axes.reduce((product, [, length]) => product * length, 1);
  const high = Math.ceil(stage.token[1] / rows), wide = Math.ceil(all / columns);
  const [w, h] = [Math.max(4, Math.floor(640 / columns)), 14];
  const svg = make("svg", { viewBox: `0 0 ${columns * w} ${rows * h}`, preserveAspectRatio: "none", tabindex: 0, role: "img",
    "aria-label": `${stage.name}: residuals, ${rows} rows of ${stage.token[0]}s by ${columns} columns; arrow keys move` });
  const say = (row, column) => {
    const letter = stage.cells[row][column];
    const [token, last] = [row * high, Math.min(stage.token[1], (row + 1) * high) - 1];
    const where = `${stage.token[0]} ${token}${last > token ? ` to ${last}` : ""}` +
      (stage.axes.length ? `, ${lanes(stage.axes, column * wide, Math.min(all, (column + 1) * wide) - 1)}` : "");
    const size = letter === "." ? "not recorded" : `${times(letter.charCodeAt(0) - 97)} times the noise`;
    says.textContent = `${where}: ${size}`;
  };
  stage.cells.forEach((line, row) => [...line].forEach((letter, column) => {
    const fill = letter === "." ? "transparent" : colour(letter.charCodeAt(0) - 97);
    svg.append(make("rect", { x: column * w, y: row * h, width: w - (w > 6 ? 1 : 0), height: h - 1, fill }));
  }));
  const cursor = make("rect", { width: w, height: h, fill: "none", stroke: "var(--ink)", "stroke-width": 2, visibility: "hidden" });
  svg.append(cursor);
  let at = [0, 0];
  const go = (row, column) => {
    at = [Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column))];
    cursor.setAttribute("x", at[1] * w);
    cursor.setAttribute("y", at[0] * h);
    cursor.setAttribute("visibility", "visible");
    say(...at);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    go(Math.floor((event.clientY - box.top) / box.height * rows), Math.floor((event.clientX - box.left) / box.width * columns));
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    go(at[0] + step[0], at[1] + step[1]);
  });
  svg.addEventListener("focus", () => go(...at));
  return svg;
}

/** How the residuals are distributed, and how those of right code are. */
function histogram(stage) {
  const [w, h, foot] = [480, 150, 30];
  const share = (counts) => {
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    return counts.map((count) => count / total);
  };
  const [residual, noise] = [share(stage.residual), share(stage.noise)];
  const most = Math.max(...residual, ...noise) || 1;
  const step = w / STEPS, top = (value) => h - value / most * (h - 10);
  const svg = make("svg", { viewBox: `0 0 ${w} ${h + foot}`, role: "img",
    "aria-label": "share of the values by the size of their residual in units of the noise" });
  noise.forEach((value, at) => svg.append(make("rect",
    { class: "bar-noise", x: at * step, y: top(value), width: step - 1, height: h - top(value) })));
  residual.forEach((value, at) => value && svg.append(make("rect",
    { class: "bar-residual", x: at * step + 1, y: top(value), width: step - 3, height: h - top(value) },
    make("title", {}, `${times(at)} times the noise: ${stage.residual[at]} of yours, ${stage.noise[at]} of right code's five runs`))));
  const x = (exponent) => (1 + 2 * (exponent - DATA.first_step)) * step;
  svg.append(make("line", { class: "limit", x1: x(Math.log10(3)), x2: x(Math.log10(3)), y1: 0, y2: h }));
  for (let exponent = DATA.first_step; exponent < DATA.first_step + STEPS / 2; exponent += 2) {
    svg.append(make("text", { x: x(exponent), y: h + 13, "text-anchor": "middle" }, `10${superscript(exponent)}`));
  }
  svg.append(make("text", { x: w / 2, y: h + 26, "text-anchor": "middle" }, "difference, in units of the noise"));
  return svg;
}
function superscript(number) {
  return String(number).replace(/./g, (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);
}

/** The residuals against what a mistake changes: on the line where it was made. */
function scatter([of, says, points]) {
  const [w, h] = [480, 260], half = [w / 2, h / 2];
  const largest = Math.max(...points.flat().map(Math.abs)) || 1;
  const x = (value) => half[0] + value / largest * (half[0] - 12), y = (value) => half[1] - value / largest * (half[1] - 12);
  const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `your error against what ${of} changes: ${says}` },
    make("line", { class: "axis", x1: 0, x2: w, y1: half[1], y2: half[1] }), make("line", { class: "axis", x1: half[0], x2: half[0], y1: 0, y2: h }),
    make("line", { class: "slope", x1: x(-largest), y1: y(-largest), x2: x(largest), y2: y(largest) }));
  for (const [change, residual] of points) svg.append(make("circle", { class: "point", cx: x(change), cy: y(residual), r: 2.5 }));
  svg.append(make("text", { x: w - 4, y: half[1] - 4, "text-anchor": "end" }, `what ${of} changes`), make("text", { x: half[0] + 4, y: 12 }, "your error"),
    make("text", { x: w - 4, y: h - 6, "text-anchor": "end" }, `up to ${largest.toPrecision(2)} times the noise`));
  return make("div", {}, make("h4", {}, `${of}: on the line where it was made, along the axis where not`), svg, make("p", { class: "says" }, says));
}

function worst(stage) {
  const head = make("tr", {}, ...["where", "yours", "Gemma's", "difference", "over the noise"].map((label) => make("th", { scope: "col" }, label)));
  const rows = stage.worst.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, text))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "the values that are furthest off" },
    make("table", { class: "worst" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** Shows the stage called `name` in every run that has it, so that two candidates are seen side by side. */
function showEverywhere(name) {
  for (const run of document.querySelectorAll(".run")) {
    const at = DATA.runs[+run.dataset.run].findIndex((stage) => stage.name === name);
    if (at >= 0) show(run, at);
  }
}

function show(run, at) {
  const stage = DATA.runs[+run.dataset.run][at], into = run.querySelector(".stage");
  run.querySelectorAll(".grid button").forEach((button) => button.setAttribute("aria-pressed", +button.dataset.stage === at));
  const lines = stage.lines.map(([label, text]) => make("div", {}, make("dt", {}, label), make("dd", {}, text)));
  const parts = [make("h3", {}, stage.name), make("dl", {}, ...lines)];
  if (stage.cells) {
    const says = make("p", { class: "says", "aria-live": "polite" }, "Point at a cell, or use the arrow keys.");
    const where = make("div", {}, make("h4", {}, `Where: ${stage.token[0]}s downwards, ${stage.axes.map(([name]) => name + "s").join(" and ") || "one value each"} to the right`), cells(stage, says), says);
    const how = make("div", {}, make("h4", {}, "How far: outlined yours, filled right code"), histogram(stage));
    parts.push(make("div", { class: "charts" }, where, how));
  }
  if (stage.regressions) parts.push(make("div", { class: "charts" }, ...stage.regressions.map(scatter)));
  if (stage.worst) parts.push(make("h4", {}, "Furthest off"), worst(stage));
  into.replaceChildren(...parts);
}

// A cell of a matrix's table opens its run.
document.querySelector("main > .picture")?.addEventListener("click", (event) => {
  const button = event.target.closest(".grid button");
  if (!button) return;
  const run = document.querySelector(`.run[data-run="${button.dataset.run}"]`);
  run.closest("details").open = true;
  show(run, +button.dataset.stage);
  run.querySelector(".stage").scrollIntoView({ block: "nearest" });
});
for (const run of document.querySelectorAll(".run")) {
  run.addEventListener("click", (event) => {
    const button = event.target.closest(".grid button");
    if (button) showEverywhere(DATA.runs[+run.dataset.run][+button.dataset.stage].name);
  });
  if (run.querySelector(".stage")) show(run, +run.dataset.first);
}
