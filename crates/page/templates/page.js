"use strict";
// Shows the stage that is clicked. The numbers come as texts from the page's data; here they are only drawn.
const DATA = JSON.parse(document.getElementById("data").textContent);
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
  if (step === 0) return `below ${power(DATA.first_step)} times the noise`;
  if (step === DATA.steps - 1) return `${power(DATA.first_step + (step - 1) / 2)} times the noise or more, or no number`;
  return `${power(DATA.first_step + (step - 1) / 2)} to ${power(DATA.first_step + step / 2)} times the noise`;
}
function power(exponent) {
  const value = 10 ** exponent;
  return exponent < -2 || exponent > 3 ? value.toExponential(0) : String(+value.toPrecision(1));
}
/** The colours of single values: right code is seldom ten times the noise off. From which step on, by DATA.first_step, and in words. */
const SHADES = [[0, "l0", "below .3"], [8, "l1", ".3 to 1"], [9, "l2", "1 to 3"], [10, "l3", "3 to 10"], [11, "l4", "10 to 100"],
  [13, "l5", "to 1000"], [15, "l6", "to 10⁵"], [19, "l7", "more, or no number"]];
function colour(letter) {
  if (letter === ".") return "url(#hatch)";
  if (letter === "-") return "var(--line)";
  return `var(--${SHADES.findLast(([from]) => letter.charCodeAt(0) - 97 >= from)[1]})`;
}
function shades() {
  return make("p", { class: "key" }, ...SHADES.map(([, shade, words]) => make("span", { class: shade }, words)), make("span", { class: "none" }, "not recorded"));
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
  const svg = make("svg", { viewBox: `0 0 ${columns * w} ${rows * h}`, preserveAspectRatio: "none", tabindex: 0, role: "application",
    "aria-label": `${stage.name}: residuals, ${stage.token[1]} in ${rows} rows by ${columns} columns; arrow keys move` });
  const say = (row, column) => {
    const letter = stage.cells[row][column];
    const [token, last] = [row * high, Math.min(stage.token[1], (row + 1) * high) - 1];
    const where = `${stage.token[0]} ${token}${last > token ? ` to ${last}` : ""}` +
      (stage.axes.length ? `, ${lanes(stage.axes, column * wide, Math.min(all, (column + 1) * wide) - 1)}` : "");
    const size = { ".": "not recorded", "-": "recorded, and not judged: the mask hides it" }[letter] ?? times(letter.charCodeAt(0) - 97);
    says.textContent = `${where}: ${size}`;
  };
  stage.cells.forEach((line, row) => [...line].forEach((letter, column) => {
    svg.append(make("rect", { x: column * w, y: row * h, width: w - (w > 6 ? 1 : 0), height: h - 1, fill: colour(letter) }));
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
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    go(Math.floor((event.clientY - box.top) / box.height * rows), Math.floor((event.clientX - box.left) / box.width * columns));
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
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
  const [w, h, foot] = [360, 120, 30];
  const share = (counts) => {
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    return counts.map((count) => count / total);
  };
  const [residual, noise] = [share(stage.residual), share(stage.noise)];
  const most = Math.max(...residual, ...noise) || 1;
  const step = w / DATA.steps, top = (value) => h - value / most * (h - 18); // room for the words above
  const svg = make("svg", { viewBox: `0 0 ${w} ${h + foot}`, role: "img",
    "aria-label": "share of the values by the size of their residual in units of the noise" });
  noise.forEach((value, at) => svg.append(make("rect",
    { class: "bar-noise", x: at * step, y: top(value), width: step - 1, height: h - top(value) })));
  residual.forEach((value, at) => value && svg.append(make("rect",
    { class: "bar-residual", x: at * step + 1, y: top(value), width: step - 3, height: h - top(value) },
    make("title", {}, `${times(at)}: ${stage.residual[at]} of yours, ${stage.noise[at]} of right code's five runs`))));
  const x = (exponent) => (1 + 2 * (exponent - DATA.first_step)) * step;
  svg.append(make("line", { class: "limit", x1: x(Math.log10(3)), x2: x(Math.log10(3)), y1: 0, y2: h }),
    make("text", { x: x(Math.log10(3)) + 3, y: 11 }, "3: limit of the whole"));
  for (let exponent = DATA.first_step; exponent < DATA.first_step + DATA.steps / 2; exponent += 2) {
    svg.append(make("text", { x: x(exponent), y: h + 13, "text-anchor": "middle" }, `10${superscript(exponent)}`));
  }
  svg.append(make("text", { x: w / 2, y: h + 26, "text-anchor": "middle" }, "residual, in units of the noise"));
  return svg;
}
function superscript(number) {
  return String(number).replace(/./g, (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);
}

/** The residuals against what a mistake changes: on the line where it was made. */
function scatter([of, says, points]) {
  const [w, h] = [360, 220], half = [w / 2, h / 2];
  const largest = Math.max(...points.flat().map(Math.abs)) || 1;
  const x = (value) => half[0] + value / largest * (half[0] - 12), y = (value) => half[1] - value / largest * (half[1] - 12);
  const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `your error against what ${of} changes: ${says}` },
    make("line", { class: "axis", x1: 0, x2: w, y1: half[1], y2: half[1] }), make("line", { class: "axis", x1: half[0], x2: half[0], y1: 0, y2: h }),
    make("line", { class: "slope", x1: x(-largest), y1: y(-largest), x2: x(largest), y2: y(largest) }));
  for (const [change, residual] of points) svg.append(make("circle", { class: "point", cx: x(change), cy: y(residual), r: 2.5 }));
  svg.append(make("text", { x: w - 4, y: half[1] - 4, "text-anchor": "end" }, `what ${of} changes`), make("text", { x: half[0] + 4, y: 12 }, "your error"),
    make("text", { x: w - 4, y: h - 6, "text-anchor": "end" }, `both to ±${largest.toPrecision(2)} times the noise`));
  return make("div", {}, make("h4", {}, `${of}: on the line where it was made, along the axis where not`), svg, make("p", { class: "says" }, says));
}

function worst(stage) {
  const head = make("tr", {}, ...["where", "yours", "Gemma's", "difference", "over the noise"].map((label) => make("th", { scope: "col" }, label)));
  const rows = stage.worst.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, text))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "the values that are furthest off" },
    make("table", { class: "worst" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

/** Shows stage number `at` of a run; without one, that `name` is not there. */
function show(run, at, name) {
  const stage = DATA.runs[+run.dataset.run][at], into = run.querySelector(".shown");
  run.querySelectorAll(".grid button").forEach((button) => button.setAttribute("aria-pressed", +button.dataset.stage === at));
  if (run.querySelector(".stage h3").textContent !== (stage?.name ?? name)) run.querySelector(".stage h3").textContent = stage?.name ?? name ?? "";
  if (!stage) return into.replaceChildren(make("p", {}, "not recorded here"));
  const lines = stage.lines.map(([label, text]) => make("div", {}, make("dt", {}, label), make("dd", {}, text)));
  const parts = [make("dl", {}, ...lines)];
  if (stage.cells) {
    const says = make("p", { class: "says", "aria-live": "polite" }, "Point at a cell or tap it, or use the arrow keys.");
    const across = stage.axes.map(([, , several]) => several).join(" and ") || "one value each";
    const where = make("div", {}, make("h4", {}, `Where: ${stage.token[2]} downwards, ${across} to the right`), cells(stage, says), says, shades());
    const how = make("div", {}, make("h4", {}, "How far: outlined yours, filled right code"), histogram(stage),
      make("p", { class: "says" }, "Noise is what rounding does to right code here, measured in five runs."));
    parts.push(make("div", { class: "charts" }, where, how));
  } else parts.push(make("p", {}, "Of this stage nothing can be drawn."));
  if (stage.regressions) parts.push(make("div", { class: "charts" }, ...stage.regressions.map(scatter)));
  if (stage.worst) parts.push(make("h4", {}, "Furthest off"), worst(stage));
  into.replaceChildren(...parts);
}

/** A cell is clicked: of two candidates side by side both show the stage. */
function showEverywhere(run, at) {
  const { name } = DATA.runs[+run.dataset.run][at];
  const beside = run.closest("details") ? [run] : document.querySelectorAll(".run");
  for (const other of beside) {
    if (other.querySelector(".stage")) show(other, DATA.runs[+other.dataset.run].findIndex((stage) => stage.name === name), name);
  }
}

/** One stop of the tab key for a table; arrows go from cell to cell. */
function byArrows(grid) {
  const buttons = [...grid.querySelectorAll("button")], rows = [...grid.rows].filter((row) => row.querySelector("button"));
  const stop = (button) => {
    buttons.forEach((other) => (other.tabIndex = -1));
    button.tabIndex = 0;
  };
  if (buttons.length) stop(buttons[0]);
  grid.addEventListener("focusin", (event) => event.target.matches("button") && stop(event.target));
  grid.addEventListener("keydown", (event) => {
    const button = event.target.closest("button"), cell = button?.closest("td");
    const step = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!button || !step) return;
    event.preventDefault();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") return buttons[buttons.indexOf(button) + step]?.focus();
    const row = rows[rows.indexOf(cell.parentElement) + step];
    (row?.cells[cell.cellIndex]?.querySelector("button") ?? row?.querySelector("button"))?.focus();
  });
}

// A cell of a matrix's table opens its run.
document.querySelector("main > .picture")?.addEventListener("click", (event) => {
  const button = event.target.closest(".grid button");
  if (!button) return;
  const run = document.querySelector(`.run[data-run="${button.dataset.run}"]`);
  run.closest("details").open = true;
  show(run, +button.dataset.stage);
  document.querySelectorAll("main > .picture button").forEach((other) => other.setAttribute("aria-pressed", other === button));
  run.querySelector(".stage").scrollIntoView({ block: "nearest" });
});
for (const run of document.querySelectorAll(".run")) {
  run.addEventListener("click", (event) => {
    const button = event.target.closest(".grid button");
    if (button) showEverywhere(run, +button.dataset.stage);
  });
  if (run.querySelector(".stage")) show(run, +run.dataset.first);
}
document.querySelectorAll(".grid").forEach(byArrows);
