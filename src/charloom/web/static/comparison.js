// Shows curves of several selected runs in one chart, and below it a table of what differs. The server's limit for one
// stream also limits how many runs can be selected.
import { Chart, axis, line } from "./charts.js";
import { colour } from "./colours.js";
import { ComparisonTable } from "./comparison_table.js";
import { byId, counted, el, put, toast } from "./dom.js";
import { spread } from "./journal.js";

const POINTS = 1000; // largest number of points of a curve
const INKS = ["accent", "amber", "blue", "red", "violet", "high", "soft"];
const WHAT = {
  smooth: ["Smooth bits per character", (record, run) => record.smooth_loss / (run.seq_length || 1) / Math.LN2],
  train: ["Training bits per character", (record) => record.train_nats / Math.LN2],
  validation: ["Validation bits per character", (record) => (record.validation_nats === null ? null : record.validation_nats / Math.LN2)],
  rate: ["Learning rate", (record) => record.learning_rate],
  norm: ["Gradient norm", (record) => record.gradient_norm],
  speed: ["Characters per second", (record) => record.characters_per_second],
};
const OVER = {
  characters: ["Characters read", (record) => record.characters],
  update: ["Updates", (record) => record.update],
  epoch: ["Epochs", (record) => record.epoch],
  seconds: ["Seconds", (record) => record.seconds],
};

/** The comparison chart below the list of runs. */
export class Comparison {
  constructor(live, journals) {
    this.live = live;
    this.journals = journals;
    this.chosen = [];
    this.list = [];
    this.inks = new Map();
    this.shown = false;
    this.table = new ComparisonTable();
    this.chart = new Chart(byId("compare-chart"), () => this.#figure());
    journals.on((key) => this.chosen.includes(key) && this.chart.again());
    this.what = byId("compare-what");
    this.over = byId("compare-over");
    const options = (of) => Object.entries(of).map(([value, [label]]) => el("option", { value }, label));
    this.what.append(...options(WHAT));
    this.over.append(...options(OVER));
    for (const input of [this.what, this.over, byId("compare-log")]) input.addEventListener("change", () => this.chart.again());
    const section = byId("comparison");
    byId("compare-go").addEventListener("click", () => {
      section.scrollIntoView();
      byId("title-comparison").focus({ preventScroll: true });
    });
    this.inView = false;
    new IntersectionObserver((changes) => {
      this.inView = changes.at(-1).isIntersecting;
      this.#bar();
    }).observe(section);
    byId("compare-zoom").addEventListener("click", () => this.chart.reset());
    byId("compare-png").addEventListener("click", () => this.chart.png("charloom-comparison"));
  }

  /** Start to follow the selected runs. */
  show() {
    this.shown = true;
    this.#follow();
  }

  /** Stop following runs. */
  hide() {
    this.shown = false;
    this.live.follow("comparison", []);
  }

  /** Store the current list of runs. */
  runs(list) {
    this.list = list;
    this.#follow();
  }

  /**
   * If `on` is true, add a run to the chart, unless the chart has too many; otherwise remove it. Return true if the run
   * is in the chart now.
   */
  choose(key, on) {
    const others = this.chosen.filter((other) => other !== key);
    const most = this.live.mostFollowed - 1; // one more run may be followed by the view Learning
    const full = on && others.length >= most;
    if (full) toast(`At most ${counted(most, "run")} can be compared. Deselect one first.`);
    this.chosen = on && !full ? [...others, key] : others;
    byId("comparison").hidden = this.chosen.length === 0;
    this.#bar();
    this.#follow();
    this.chart.again();
    return this.chosen.includes(key);
  }

  /**
   * While the chart is out of sight, show how many runs are selected, and a button that scrolls to the chart. In a large
   * window, the style sheet keeps the chart in view.
   */
  #bar() {
    put(byId("compare-count"), `${counted(this.chosen.length, "run")} selected`);
    byId("compare-bar").hidden = this.chosen.length === 0 || this.inView;
  }

  #follow() {
    if (!this.shown) return;
    this.table.show(this.chosen, this.list);
    const there = this.list.filter((run) => run.state !== "starting").map((run) => run.key);
    this.live.follow("comparison", this.chosen.filter((key) => there.includes(key)));
  }

  #figure() {
    const [title, of] = WHAT[this.what.value];
    const [base, at] = OVER[this.over.value];
    const traces = this.chosen.flatMap((key) => {
      const run = this.list.find((other) => other.key === key);
      if (!run) return [];
      const waiting = this.#waits(run);
      const measured = this.journals.of(key).records.filter((record) => of(record, run) !== null);
      const records = spread(measured, POINTS);
      return [line(records.map(at), records.map((record) => of(record, run)), waiting ? `${run.name} (loading)` : run.name, this.#ink(key), { hovertemplate: "%{y:.4g}" })];
    });
    const waiting = this.list.some((run) => this.chosen.includes(run.key) && this.#waits(run));
    if (!traces.some((trace) => trace.x.length) && waiting) return "Loading the curves…";
    if (!traces.some((trace) => trace.x.length)) return "None of the selected runs has values for this curve yet.";
    return {
      traces,
      layout: {
        uirevision: `${this.what.value} ${this.over.value}`,
        showlegend: true,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { color: colour("ink") } },
        xaxis: axis(base, { exponentformat: "SI" }),
        yaxis: axis(title, { type: byId("compare-log").checked ? "log" : "linear" }),
      },
    };
  }

  /** Return true if a run has records that have not arrived yet. */
  #waits(run) {
    return Boolean(run.update) && !this.journals.of(run.key).known;
  }

  /** Return the colour of a run, which stays the same while the page is open. */
  #ink(key) {
    if (!this.inks.has(key)) this.inks.set(key, INKS[this.inks.size % INKS.length]);
    return this.inks.get(key);
  }
}
