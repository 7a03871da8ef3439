// Draws charts with plotly.js in the page's colours. plotly.js is loaded when the first chart is drawn. If it is missing,
// a message is shown instead of the chart. The caller decides what is drawn.
import { el, throttled } from "./dom.js";
import { colour } from "./colours.js";

let wanted = null;

function plotly() {
  wanted ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "/static/plotly.min.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      wanted = null;
      reject(new Error("The charts need plotly. Install it in the clone of charloom with pip install '.[web]', then reload this page."));
    });
    document.head.append(script);
  });
  return wanted;
}

/** Return the layout of an axis with a title, in the page's style. The properties in `more` are added or replaced. */
export function axis(title, more = {}) {
  return {
    title: { text: title, font: { size: 12 }, standoff: 6 },
    gridcolor: colour("line"),
    linecolor: colour("line"),
    zeroline: false,
    automargin: true,
    tickfont: { size: 11 },
    exponentformat: "e", // "power" would need inline styles, which the page refuses
    separatethousands: true,
    nticks: 7,
    ...more,
  };
}

/**
 * A chart in a box. It is drawn again when the width of the box or the colours of the page change, and when `again()` is
 * called.
 *
 * `figure(width)` returns the traces and the layout for plotly.js, or a sentence to show if there is nothing to draw.
 */
export class Chart {
  constructor(box, figure) {
    this.box = box;
    this.figure = figure;
    this.drawn = false;
    this.restarts = 0;
    this.endPause = () => {};
    this.again = throttled(350, () => this.#turn());
    this.note = el("p", { class: "empty-chart" });
    this.canvas = el("div", {});
    new ResizeObserver(() => this.again()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.again);
    document.addEventListener("visibilitychange", this.again);
    document.addEventListener("themechange", this.again);
  }

  /** Remove the curves immediately and draw new ones without a pause. Call this to show, for example, another run. */
  restart() {
    this.restarts += 1;
    this.#say("");
    this.endPause();
    this.#turn();
  }

  /** Draw once, then pause for as long as drawing took, so that a slow machine stays responsive. */
  async #turn() {
    if (this.drawing) {
      this.wanted = true;
      return;
    }
    this.drawing = true;
    this.wanted = false;
    const { restarts } = this;
    const began = performance.now();
    try {
      await this.#draw();
      if (restarts === this.restarts) await this.#pause(performance.now() - began);
    } finally {
      this.drawing = false;
      if (restarts !== this.restarts) this.#turn();
      else if (this.wanted) this.again();
    }
  }

  /** Wait for a number of milliseconds, or until `endPause` is called. */
  #pause(milliseconds) {
    return new Promise((done) => {
      this.endPause = done;
      setTimeout(done, milliseconds);
    });
  }

  async #draw() {
    // Do not draw an invisible chart.
    if (document.hidden || !this.box.clientWidth) return;
    const made = this.figure(this.box.clientWidth);
    if (typeof made === "string") {
      this.#say(made);
      return;
    }
    const { restarts } = this;
    try {
      const library = await plotly();
      if (restarts !== this.restarts) return; // what was to be drawn is no longer shown
      this.note.remove();
      if (!this.canvas.isConnected) this.box.append(this.canvas);
      await library.react(this.canvas, made.traces, this.#layout(made.layout), {
        displayModeBar: false,
        doubleClick: "reset",
        showTips: false,
      });
      this.drawn = true;
    } catch (error) {
      this.#say(error.message);
    }
  }

  #say(sentence) {
    this.note.textContent = sentence;
    if (!this.note.isConnected) this.box.append(this.note);
    this.canvas.remove();
  }

  #layout(layout) {
    const family = getComputedStyle(document.body).fontFamily;
    return {
      width: this.box.clientWidth,
      height: this.box.clientHeight,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family, size: 12, color: colour("soft") },
      hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("line"), font: { family, color: colour("ink") } },
      margin: { l: 56, r: 14, t: 26, b: 44 },
      dragmode: "zoom",
      hovermode: "x unified",
      ...layout,
    };
  }

  /** Reset the zoom. */
  async reset() {
    if (!this.drawn) return;
    const axes = Object.keys(this.canvas.layout).filter((name) => /^[xy]axis/.test(name));
    const changes = Object.fromEntries(axes.map((name) => [`${name}.autorange`, true]));
    await (await plotly()).relayout(this.canvas, changes);
  }

  /** Save the chart as a PNG file with the page's background. */
  async png(name) {
    if (!this.drawn) return;
    const library = await plotly();
    const url = await library.toImage(
      { data: this.canvas.data, layout: { ...this.canvas.layout, paper_bgcolor: colour("paper") } },
      { format: "png", scale: 2, width: this.box.clientWidth, height: this.box.clientHeight },
    );
    el("a", { href: url, download: `${name}.png` }).click();
  }
}

/** Return a curve as a trace for plotly.js. */
export const line = (x, y, name, ink, more = {}) => ({
  type: "scatter",
  mode: x.length === 1 ? "lines+markers" : "lines", // a single point makes no line
  x,
  y,
  name,
  line: { color: colour(ink), width: 2 },
  ...more,
});
