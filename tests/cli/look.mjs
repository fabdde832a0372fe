// Opens pages in Chromium, clicks every control, and says what is wrong: node look.mjs FOLDER_FOR_SCREENSHOTS PAGE.html…
// It speaks the DevTools protocol through a pipe, so that it needs nothing but Node and Chromium.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [screenshots, ...pages] = process.argv.slice(2);
const LOOKS = [
  { name: "light", width: 1400, scheme: "light" },
  { name: "dark", width: 1400, scheme: "dark" },
  { name: "narrow", width: 400, scheme: "light" },
];

/** A browser whose protocol is on the file descriptors 3 (to it) and 4 (from it), messages ended by a zero byte. */
class Browser {
  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), "loupe-chromium-"));
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"];
    this.process = spawn("chromium", [...flags, `--user-data-dir=${this.profile}`], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.process.on("error", (error) => { throw error; });
    [this.next, this.waiting, this.heard, this.rest] = [1, new Map(), () => {}, ""];
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (this.rest + text).split("\0");
      this.rest = messages.pop();
      for (const message of messages.map((one) => JSON.parse(one))) {
        const { done, failed } = this.waiting.get(message.id) ?? {};
        if (message.error) failed?.(new Error(message.error.message));
        else if (message.id) done?.(message.result);
        else this.heard(message);
      }
    });
  }
  ask(method, params = {}, sessionId = undefined) {
    const id = this.next++;
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    return new Promise((done, failed) => this.waiting.set(id, { done, failed }));
  }
  async end() {
    const gone = new Promise((done) => this.process.on("exit", done));
    await this.ask("Browser.close").catch(() => {});
    await gone;
    rmSync(this.profile, { recursive: true, force: true });
  }
}

/** Runs in the page: clicks all that can be clicked, and returns how much of it there was and what is wrong. */
function clickThrough() {
  const problems = [], wrong = (what) => problems.length < 20 && problems.push(what);
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const readable = (element) => {
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((x, y) => y - x);
    // WCAG 2.2, level AA.
    if ((a + 0.05) / (b + 0.05) < 4.5) wrong(`contrast of "${element.textContent.trim().slice(0, 30)}": ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  };
  const fits = (when) => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return;
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > clientWidth + 1 && !one.closest(".scroll"));
    wrong(`${when}: the page is ${scrollWidth} wide in a window of ${clientWidth}: ${wide.at(-1)?.outerHTML.slice(0, 150)}`);
  };
  const counts = { stages: 0, switches: 0, details: 0 };
  fits("at first");
  for (const run of document.querySelectorAll(".run")) {
    for (const button of run.querySelectorAll(".grid button")) {
      button.click();
      counts.stages += 1;
      const name = run.querySelector(".stage h3")?.textContent;
      if (!button.getAttribute("aria-label").startsWith(`${name}:`)) wrong(`${button.getAttribute("aria-label")} shows ${name}`);
      if (button.getAttribute("aria-pressed") !== "true") wrong(`${name} is not marked`);
      for (const text of run.querySelectorAll(".stage svg text, .stage dd, .stage td")) if (/NaN|undefined|Infinity/.test(text.textContent)) wrong(`${name}: ${text.textContent}`);
      for (const shape of run.querySelectorAll(".stage svg *")) for (const { name: key, value } of shape.attributes) if (/NaN|undefined/.test(value)) wrong(`${name}: ${key}="${value}"`);
    }
    fits("with a stage");
    const first = run.querySelector(".grid button");
    for (const input of [...run.querySelectorAll("input"), run.querySelector("input")].filter(Boolean)) {
      input.click();
      counts.switches += 1;
      if (first) {
        const shown = ["span", "i"].filter((name) => getComputedStyle(first.querySelector(name)).display !== "none");
        if (shown.join() !== (input.className === "pick-whole" ? "i" : "span")) wrong(`after ${input.className} a cell shows ${shown}`);
        run.querySelectorAll(".grid button, .key span").forEach((one) => one.offsetParent && readable(one));
      }
    }
  }
  for (const button of document.querySelectorAll("main > .picture .grid button")) {
    button.click();
    counts.stages += 1;
    const run = document.querySelector(`.run[data-run="${button.dataset.run}"]`), name = run.querySelector(".stage h3").textContent;
    if (!run.closest("details").open || !button.getAttribute("aria-label").startsWith(`${name} in `)) wrong(`${button.getAttribute("aria-label")} opens ${name}`);
  }
  document.querySelectorAll(".one").forEach((one) => (one.open = false));
  for (const summary of document.querySelectorAll("summary")) {
    summary.click();
    counts.details += 1;
    if (!summary.parentElement.open) wrong(`"${summary.textContent}" does not open`);
  }
  fits("opened");
  document.querySelectorAll("h1, h2, h3, h4, p, dt, dd, th, td, summary, legend, label").forEach(readable);
  const nameless = [...document.querySelectorAll("button, input, svg:not([aria-hidden]), [tabindex]")].filter((one) => !(one.getAttribute("aria-label") || one.labels?.length));
  if (nameless.length) wrong(`${nameless.length} controls without a name, such as ${nameless[0].outerHTML.slice(0, 100)}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size < ids.length) wrong("an id stands twice");
  scrollTo(0, 0);
  return { ...counts, problems };
}

const browser = new Browser();
// A browser that hangs must not hold the tests for ever; ten minutes are many times what a slow machine needs.
setTimeout(() => {
  console.error("Chromium does not answer");
  browser.process.kill("SIGKILL");
  process.exit(2);
}, 600_000).unref();
const outcome = [];
try {
  const { targetId } = await browser.ask("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await browser.ask("Target.attachToTarget", { targetId, flatten: true });
  const ask = (method, params) => browser.ask(method, params, sessionId);
  for (const domain of ["Page", "Runtime", "Log", "Network"]) await ask(`${domain}.enable`);
  for (const page of pages) for (const { name, width, scheme } of LOOKS) {
    const url = pathToFileURL(resolve(page)).href, heard = [];
    let loaded;
    const load = new Promise((done) => (loaded = done));
    browser.heard = ({ method, params }) => {
      if (method === "Page.loadEventFired") loaded();
      if (method === "Runtime.exceptionThrown") heard.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
      if (method === "Runtime.consoleAPICalled") heard.push(`console: ${params.args.map((one) => one.value).join(" ")}`);
      if (method === "Log.entryAdded") heard.push(`log: ${params.entry.text}`);
      if (method === "Network.requestWillBeSent" && params.request.url !== url) heard.push(`request: ${params.request.url}`);
    };
    await ask("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });
    await ask("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    await ask("Page.navigate", { url });
    await load;
    const shoot = async (what) => {
      const { data } = await ask("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
      writeFileSync(join(screenshots, `${basename(page, ".html")}-${name}${what}.png`), Buffer.from(data, "base64"));
    };
    await shoot("");
    const { result, exceptionDetails } = await ask("Runtime.evaluate", { expression: `(${clickThrough})()`, returnByValue: true });
    if (exceptionDetails) heard.push(`clicking: ${exceptionDetails.exception?.description}`);
    // By keyboard: a cell of the grid, then the cells of its tensor.
    const keyboard = await ask("Runtime.evaluate", { expression: `document.querySelector(".grid button")?.focus(); !!document.querySelector(".grid button")`, returnByValue: true });
    if (keyboard.result.value) {
      const press = async (key, text) => {
        await ask("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, text });
        await ask("Input.dispatchKeyEvent", { type: "keyUp", key, code: key });
      };
      // From cell to cell, and back to the first.
      const places = [];
      for (const key of ["ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"]) {
        await press(key);
        const { result: at } = await ask("Runtime.evaluate", { expression: `document.activeElement.getAttribute("aria-label")`, returnByValue: true });
        places.push(at.value);
      }
      const { result: start } = await ask("Runtime.evaluate", { expression: `document.querySelector(".grid button").focus(); document.activeElement.getAttribute("aria-label")`, returnByValue: true });
      if (places.some((place) => !place) || places[0] === start.value || places[1] === places[0]) heard.push(`arrow keys go to ${places}`);
      await press("Enter", "\r");
      const said = await ask("Runtime.evaluate", { expression: `
        const run = document.querySelector(".run"), button = run.querySelector(".grid button"), svg = run.querySelector(".stage svg[tabindex]");
        svg?.focus();
        [button.getAttribute("aria-pressed"), !!svg]`, returnByValue: true });
      const [pressed, drawn] = said.result.value;
      if (pressed !== "true") heard.push("Enter on a cell of the grid does nothing");
      if (drawn) {
        await press("ArrowDown");
        await press("ArrowRight");
        const { result: moved } = await ask("Runtime.evaluate", { expression: `document.querySelector(".stage .says").textContent`, returnByValue: true });
        if (!/noise|not recorded/.test(moved.value)) heard.push(`arrow keys say ${moved.value}`);
      }
    }
    await shoot("-after");
    // What is not the page's own neither runs nor loads: the browser says so in its log, which is not listened to here.
    browser.heard = () => {};
    const { result: intruder } = await ask("Runtime.evaluate", { awaitPromise: true, returnByValue: true, expression: `
      document.body.append(Object.assign(document.createElement("script"), { textContent: "window.intruder = true" }));
      fetch("data:,x").then(() => "loads", () => (window.intruder ? "runs" : "neither"))` });
    if (intruder.value !== "neither") heard.push(`what is not the page's own ${intruder.value}`);
    outcome.push({ page: basename(page), look: name, ...result.value, problems: [...(result.value?.problems ?? []), ...heard] });
  }
} finally {
  await browser.end();
}
console.log(JSON.stringify(outcome, null, 1));
process.exitCode = outcome.some(({ problems }) => problems.length) ? 1 : 0;
