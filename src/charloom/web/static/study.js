// The view Study: progress, curves with bands and table of one study. It is requested again every two seconds.
import { get, path } from "./api.js";
import { Chart, axis, line } from "./charts.js";
import { colour } from "./colours.js";
import { byId, counted, el, fixed, integer, put } from "./dom.js";
import { repeating, showProgress } from "./study_progress.js";

const ROWS = 100; // rows of the table at first
const MOST_ROWS = 1000;
const INKS = ["accent", "amber", "blue", "red", "violet", "high", "soft"];
const FIGURES = ["runs", "mean bits", "deviation", "95 % interval", "seconds"];

/** The view. */
export class Study {
  constructor() {
    this.key = "";
    this.shown = "";
    this.found = null;
    this.rows = ROWS;
    this.requests = repeating((wanted) => this.#load(wanted));
    this.chart = new Chart(byId("study-chart"), () => this.#figure());
    for (const id of ["study-log-x", "study-log-y"]) byId(id).addEventListener("change", () => this.chart.again());
    byId("study-zoom").addEventListener("click", () => this.chart.reset());
    byId("study-png").addEventListener("click", () => this.chart.png("charloom-study"));
    byId("study-more").addEventListener("click", () => {
      this.rows = MOST_ROWS;
      this.requests.start();
    });
  }

  /** Show the study with the key `name`, and keep it up to date. */
  show({ name = this.key }) {
    if (name !== this.key) this.#clear(name);
    byId("study-none").hidden = Boolean(name);
    if (name) this.requests.start();
  }

  /** Stop requesting the study. */
  hide() {
    this.requests.stop();
  }

  #clear(key) {
    this.key = key;
    this.rows = ROWS;
    this.found = null;
    this.shown = "";
    for (const id of ["study-name", "study-problem", "study-reason", "study-damage"]) put(byId(id), "");
    for (const id of ["study-body", "study-state", "study-report"]) byId(id).hidden = true;
    this.chart.restart();
  }

  /** Request the study once. Return true if the server has not read all results yet. */
  async #load(wanted) {
    try {
      const found = await get`/api/studies/${this.key}?rows=${this.rows}`;
      if (!wanted()) return false;
      put(byId("study-problem"), "");
      this.#draw(found);
      return found.study.reading;
    } catch (error) {
      if (wanted() && error.status) put(byId("study-problem"), error.message);
      return false;
    }
  }

  #draw(found) {
    const { study } = found;
    put(byId("study-name"), study.name);
    put(byId("study-reason"), study.reason ?? "");
    put(byId("study-damage"), study.damage ?? "");
    byId("study-body").hidden = study.reason !== null;
    showProgress(study, byId("study-progress"), byId("study-done"), byId("study-state"));
    const report = byId("study-report");
    report.hidden = !study.finished || study.reason !== null;
    report.href = path`/api/studies/${study.key}/report`;
    const { study: _, ...rest } = found;
    const text = JSON.stringify(rest);
    if (text === this.shown) return; // a table that is drawn again would lose a selection
    const first = this.shown === "";
    this.shown = text;
    this.found = found;
    this.#table(found);
    this.#failures(found);
    if (first) this.chart.restart();
    else this.chart.again();
  }

  #table({ heads, groups, total, validated, caution, study }) {
    const head = (name, kind) => el("th", { scope: "col", class: kind }, name);
    byId("study-table").replaceChildren(el(
      "table",
      { class: "study-table" },
      el("thead", {}, el("tr", {}, heads.map((name) => head(name, "of-setting")), FIGURES.map((name) => head(name)))),
      el("tbody", {}, groups.map((group, n) => row(group, n === 0 && group.finished > 0))),
    ));
    put(byId("study-rows"), total > groups.length ? `${integer(groups.length)} of ${counted(total, "row")}` : "");
    byId("study-more").hidden = total <= groups.length || this.rows === MOST_ROWS;
    const loss = validated ? "the lowest validation loss" : "the training loss over the updates of the last record";
    put(byId("study-about"), `Bits per ${study.unit}, ${loss}: the mean and the standard deviation over the seeds, and the 95 % interval of the mean (Student’s t). The seconds are those of one run on one core. ${caution}`);
  }

  #failures({ failures, study }) {
    byId("study-failed").hidden = failures.length === 0;
    byId("study-failures").replaceChildren(...failures.map(({ run, settings, seed, reason }) =>
      el("li", {}, el("span", { class: "aside" }, `run ${integer(run)}: ${[...settings, `seed ${seed}`].join(", ")} `), reason)));
    byId("study-failures-rest").hidden = study.failed <= failures.length;
    put(byId("study-failures-rest"), `${counted(study.failed - failures.length, "more run")} failed; charloom study export has all of them.`);
  }

  #figure() {
    const { curves = [], study, validated } = this.found ?? {};
    if (!curves.length) return "No finished run has a curve yet.";
    const traces = curves.flatMap((curve, n) => lines(curve, INKS[n % INKS.length]));
    const log = (id) => (byId(id).checked ? "log" : "linear");
    return {
      traces,
      layout: {
        uirevision: `${this.key} ${log("study-log-x")} ${log("study-log-y")}`,
        showlegend: true,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { color: colour("ink") } },
        xaxis: axis("Updates", { exponentformat: "SI", type: log("study-log-x") }),
        yaxis: axis(`${validated ? "Validation" : "Training"} bits per ${study.unit}`, { type: log("study-log-y") }),
      },
    };
  }
}

/** Return the traces of a curve: its band, which has no entry in the legend, and its mean. */
function lines({ name, updates, mean, low, high }, ink) {
  const band = colour(ink).replace("rgb(", "rgba(").replace(")", ", 0.18)");
  const edge = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: name };
  return [
    { ...edge, x: updates, y: low },
    { ...edge, x: updates, y: high, fill: "tonexty", fillcolor: band },
    line(updates, mean, name, ink, { legendgroup: name, hovertemplate: "%{y:.4f}" }),
  ];
}

/** Return a row of the table. */
function row(group, best) {
  const whole = group.finished === group.runs;
  const runs = [whole ? integer(group.finished) : `${integer(group.finished)} of ${integer(group.runs)}`];
  if (group.pruned) runs.push(`${integer(group.pruned)} pruned`);
  if (group.failed) runs.push(`${integer(group.failed)} failed`);
  const interval = group.interval === null ? "–" : `${fixed(group.interval[0], 4)} to ${fixed(group.interval[1], 4)}`;
  const figures = [runs.join(", "), fixed(group.mean, 4), fixed(group.deviation, 4), interval, fixed(group.seconds, 2)];
  return el(
    "tr",
    { class: best ? "best" : group.finished ? null : "none" },
    group.settings.map((value) => el("th", { scope: "row", class: "of-setting" }, value)),
    figures.map((value) => el("td", {}, value)),
  );
}
