// The view Learning: the state, curves and samples of one run, live. The server reads them from the run's files, so any
// process may train the run.
import { get } from "./api.js";
import { Chart, axis, line } from "./charts.js";
import { Choices, rest } from "./choices.js";
import { colour } from "./colours.js";
import { byId, counted, duration, el, fixed, put, short, integer, isErrorState, isGoing } from "./dom.js";
import { spread } from "./journal.js";
import { RateSearch } from "./rate_search.js";
import { bitsOf, findingOf, networkOf, reasonOf } from "./run_summary.js";
import { RunButtons, shownState } from "./run_buttons.js";
import { Timeline } from "./timeline.js";

// Limits for one chart: more points look the same and make the browser slow.
const POINTS = 1500;
const CROSSES = 20;
// The least distance between two marks, as a factor of their size. Closer marks hide the curve below them.
const LEAST_GAP = 1.5;
const MARGINS = 54; // width of the space left and right of the curves

const FIGURES = [
  ["Bits", (run) => fixed(bitsOf(run)[0], 3)],
  ["Training loss, bits", (run) => fixed(run.train_bits, 3)],
  ["Last validation loss, bits", (run) => fixed(run.validation_bits, 3)],
  ["Smooth loss", (run) => fixed(run.smooth_loss, 2)],
  ["Learning rate", (run) => short(run.learning_rate)],
  ["Gradient norm", (run) => short(run.gradient_norm)],
  ["Characters / s", (run) => integer(run.characters_per_second)],
  ["Time left", (run) => (run.seconds_left === null ? "–" : duration(run.seconds_left))],
];

const NORM = FIGURES.findIndex(([name]) => name === "Gradient norm");

/**
 * Return the entry of a run in the list, with the gradient norm. While the run trains, its smooth loss, its learning rate and
 * `update` are those of the last record too, so that all are of the same moment.
 */
export function atOneMoment(run, last) {
  if (!last) return run;
  const { update, smooth_loss, learning_rate, gradient_norm } = last;
  return run.state === "training" ? { ...run, update, smooth_loss, learning_rate, gradient_norm } : { ...run, gradient_norm };
}

/** Return sentences with the update of the figures, and with the updates of the validation losses if they are earlier. */
export function moments(run, records) {
  if (!run.update) return "";
  const judged = records.findLast((record) => record.validation_nats !== null)?.update;
  const others = [["Last", judged], ["Best", run.validation_bits === null || run.best_bits === null ? null : run.best]];
  const earlier = others.filter(([, update]) => update && update !== run.update);
  return [`Figures after update ${integer(run.update)}.`, ...earlier.map(([which, update]) => `${which} validation loss after update ${integer(update)}.`)].join(" ");
}

/** The view of one run. */
export class Learning {
  constructor(live, journals, go) {
    this.live = live;
    this.journals = journals;
    this.runs = null; // until the first list arrives
    this.key = null;
    this.run = null; // the last known state of the run
    this.inList = false; // whether the list has had the run with the key `key` since the view shows it
    this.absent = null; // {run, sentence} for a key that is not in the list: the run, or why there is no run
    this.shown = false;
    this.chart = new Chart(byId("learning-chart"), (width) => this.#figure(width));
    this.timeline = new Timeline();
    this.search = new RateSearch();
    this.detailed = null; // the key of the run whose details were requested last
    this.buttons = new RunButtons(byId("learning-buttons"), (text) => this.#trouble(text), () => this.#state(), true);
    this.names = FIGURES.map(([name]) => el("dt", {}, name));
    this.values = FIGURES.map(() => el("dd", {}, "–"));
    byId("learning-figures").append(
      ...FIGURES.map((_, n) => el("div", {}, this.names[n], this.values[n])),
    );
    this.select = byId("learning-run");
    this.choices = new Choices(this.select);
    this.select.addEventListener("change", () => go("learning", { run: this.select.value }));
    for (const id of ["learning-log-x", "learning-log-y"]) byId(id).addEventListener("change", () => this.chart.again());
    byId("learning-zoom").addEventListener("click", () => this.chart.reset());
    byId("learning-png").addEventListener("click", () => this.chart.png(`charloom-${this.key}`));
    journals.on((key, kind) => key === this.key && this.#journalChanged(kind));
    live.on("runs", ({ runs, total }) => this.#list(runs, total));
  }

  /** Pass the server's limits to the buttons of the run. */
  about(server) {
    this.buttons.about(server);
  }

  /** Show a run; without a key, the run that changed last. */
  show({ run }) {
    this.shown = true;
    this.wanted = run ?? null;
    this.#choose();
  }

  /** Stop receiving the records and samples of runs. */
  hide() {
    this.shown = false;
    this.live.follow("learning", []);
  }

  #list(runs, total) {
    this.runs = runs;
    const stamp = JSON.stringify([total, ...runs.map((run) => [run.key, run.name])]);
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      const options = runs.map((run) => el("option", { value: run.key }, run.name));
      if (total > runs.length) options.push(rest(`… ${counted(total - runs.length, "more run")}: see the list of runs`));
      this.choices.show(options);
    }
    if (this.shown) this.#choose();
  }

  #choose() {
    const listed = (key) => this.runs?.find((run) => run.key === key);
    const key = this.wanted ?? (listed(this.key) ?? this.runs?.[0])?.key ?? null;
    if (key !== this.key) {
      this.key = key;
      this.inList = false;
      this.absent = null;
      this.buttons.problem("");
      this.#journalChanged("samples");
      this.chart.restart();
    }
    if (this.runs === null) return;
    this.select.hidden = this.runs.length === 0;
    const run = listed(key);
    if (run) {
      this.inList = true;
      this.absent = null;
      this.select.value = key;
    } else {
      this.select.selectedIndex = -1;
      // A run that has left the list was removed, renamed or dismissed: a request would only get the status 404.
      if (this.inList) this.absent = { run: null, sentence: this.#noRun(key) };
      else if (key !== null) this.#seek(key);
    }
    this.#run(run ?? this.absent?.run ?? null);
    // A run that is starting has no directory yet, so there are no records and samples to receive.
    const follows = run && (run.state !== "starting" || this.journals.of(key).known);
    this.live.follow("learning", follows ? [key] : []);
  }

  /** Request a run that the list does not have, because it may have just been started. */
  async #seek(key) {
    if (this.absent && !this.absent.run) return; // a request is under way, or has failed
    const absent = (this.absent = { run: this.absent?.run ?? null, sentence: "" });
    try {
      absent.run = (await get`/api/runs/${key}`).run;
    } catch (error) {
      absent.run = null;
      absent.sentence = error.status === 404 ? this.#noRun(key) : error.message;
    }
    if (this.absent === absent) this.#run(absent.run);
  }

  /** Return the sentence that there is no run with this key. */
  #noRun(key) {
    return `There is no run ${key} here${this.runs.length ? "; choose another one above" : ""}.`;
  }

  /** Show the current state of a run; if `run` is null, show no run. */
  #run(run) {
    this.run = run;
    const sought = this.absent !== null && !this.absent.sentence;
    byId("learning-empty").hidden = run !== null || sought || this.runs.length > 0;
    const badge = byId("learning-state");
    badge.hidden = byId("learning-buttons").hidden = run === null;
    // A run whose settings cannot be read, or a start that failed or was stopped, has nothing to show.
    byId("learning-body").hidden = run === null || (!isGoing(run.state) && run.cell === null);
    this.reason = run ? reasonOf(run) : "";
    put(byId("learning-finding"), run ? findingOf(run) : "");
    this.#say();
    const seen = JSON.stringify([run?.key, run?.state, run?.reason]);
    if (seen !== this.seen) {
      this.#details(run);
      // Draw the samples and curves again even if there are none: they say whether the run can still get some.
      this.#journalChanged("samples");
      this.chart.again();
    }
    this.seen = seen;
    if (run === null) return;
    this.#state();
    const progress = byId("learning-progress");
    progress.max = run.updates || 1;
    progress.value = run.updates ? run.update ?? 0 : 0;
    const parts = [
      run.updates ? `update ${integer(run.update)} of ${integer(run.updates)}` : run.update !== null && `update ${integer(run.update)}`,
      run.epoch === null ? null : `${fixed(run.epoch, 2)} epochs of ${run.text ?? "the text"}`,
      run.seconds === null ? null : `${duration(run.seconds)} of training`,
      networkOf(run),
      run.recipe && `recipe ${run.recipe}`,
    ];
    put(byId("learning-done"), parts.filter(Boolean).join(" · "));
    this.#numbers();
    this.buttons.show(run);
  }

  #state() {
    const badge = byId("learning-state");
    badge.className = "state";
    badge.dataset.state = shownState(this.run);
    put(badge, badge.dataset.state);
  }

  /**
   * Request the details of a run. Show the search for its learning rate, and the sentences about damaged files that the
   * shown reason does not have.
   */
  async #details(run) {
    const box = byId("learning-damage");
    box.replaceChildren();
    if (run?.key !== this.detailed) this.search.show(null);
    this.detailed = run?.key;
    if (!run) return;
    try {
      const { damage, search, settings } = await get`/api/runs/${run.key}`;
      if (this.run?.key !== run.key) return;
      this.search.show(search, settings.tokens === "bytes" ? "byte" : "character");
      const others = damage.filter((sentence) => !this.reason.includes(sentence));
      box.replaceChildren(...others.map((sentence) => el("li", {}, sentence)));
    } catch {
      // The list of runs shows why the run cannot be read.
    }
  }

  #trouble(text) {
    this.trouble = text;
    this.#say();
  }

  #say() {
    const trouble = this.absent?.sentence || this.trouble;
    const box = byId("learning-reason");
    box.className = trouble || isErrorState(this.run?.state) ? "problem" : "aside reason";
    put(box, trouble || this.reason || "");
  }

  #journalChanged(kind) {
    if (!this.key) return;
    const journal = this.journals.of(this.key);
    if (kind === "samples") this.timeline.show(this.key, journal.samples, isGoing(this.run?.state));
    else {
      this.chart.again();
      this.#numbers();
    }
  }

  /** Show the figures of the run and of its last record. */
  #numbers() {
    const { records, total } = this.journals.of(this.key);
    const last = records.at(-1);
    const drawn = Math.min(POINTS, records.length);
    put(byId("learning-drawn"), total > drawn ? `The curves show ${integer(drawn)} of ${integer(total)} records.` : "");
    const { judged_characters: judged = null, held_out: held = null } = this.run ?? {};
    put(byId("learning-judged"), judged === held ? "" : `The validation loss is computed on ${counted(judged, "character")}, spread evenly over the ${counted(held, "character")} of the validation part.`);
    if (!this.run) return;
    const kind = bitsOf(this.run)[1];
    put(this.names[0], kind[0].toUpperCase() + kind.slice(1));
    const shown = atOneMoment(this.run, last);
    const earlier = last && last.update !== shown.update;
    put(this.names[NORM], earlier ? `Gradient norm at update ${integer(last.update)}` : "Gradient norm");
    FIGURES.forEach(([, value], n) => put(this.values[n], value(shown)));
    put(byId("learning-moment"), moments(shown, records));
  }

  #figure(width) {
    const { records: all, known } = this.key ? this.journals.of(this.key) : { records: [], known: false };
    if (!all.length && !known && this.run?.state !== "starting") return "Reading the run …";
    if (!all.length) return isGoing(this.run?.state) ? "The first record comes after the first update." : "This run has no records.";
    const records = spread(all, POINTS);
    const ends = spread(all.filter((record) => record.end), CROSSES);
    const judged = spread(all.filter((record) => record.validation_nats !== null), POINTS);
    const of = (name) => records.map((record) => record[name]);
    const x = of("update");
    const distance = (marks) => (width - MARGINS) / Math.max(1, marks.length);
    const cross = Math.min(9, distance(ends) / LEAST_GAP);
    const traces = [
      line(x, of("smooth_loss"), "smooth loss", "accent", { hovertemplate: "%{y:.3f} nats" }),
      {
        type: "scatter",
        mode: "markers",
        name: "end of an epoch",
        x: ends.map((record) => record.update),
        y: ends.map((record) => record.smooth_loss),
        marker: { symbol: "x-thin", size: cross, line: { color: colour("red"), width: (2.2 * cross) / 9 } },
        text: ends.map((record) => `epoch ${integer(record.epoch)}`),
        hovertemplate: "%{text}<extra></extra>",
      },
      line(x, records.map((record) => record.train_nats / Math.LN2), "training bits", "blue", { yaxis: "y2", xaxis: "x2", line: { color: colour("blue"), width: 1.3 }, hovertemplate: "%{y:.3f}" }),
      {
        ...line(judged.map((record) => record.update), judged.map((record) => record.validation_nats / Math.LN2), "validation bits", "amber"),
        mode: distance(judged) >= LEAST_GAP * 5 ? "lines+markers" : "lines",
        marker: { size: 5 },
        yaxis: "y2",
        xaxis: "x2",
        hovertemplate: "%{y:.3f}",
      },
      ...[
        ["learning_rate", "learning rate", "violet", 3],
        ["gradient_norm", "gradient norm", "violet", 4],
        ["characters_per_second", "characters per second", "violet", 5],
      ].map(([name, label, ink, n]) =>
        line(x, of(name), label, ink, { xaxis: `x${n}`, yaxis: `y${n}`, line: { color: colour(ink), width: 1.3 }, hovertemplate: "%{y:.4s}" }),
      ),
    ];
    return { traces, layout: this.#layout(width, judged.length > 0) };
  }

  #layout(width, judged) {
    const log = (id) => (byId(id).checked ? "log" : "linear");
    const [logX, logY] = [log("learning-log-x"), log("learning-log-y")];
    const narrow = width < 560;
    const rows = narrow
      ? [[0.74, 1], [0.51, 0.68], [0.34, 0.45], [0.17, 0.28], [0, 0.11]]
      : [[0.61, 1], [0.295, 0.515], [0, 0.175], [0, 0.175], [0, 0.175]];
    const columns = narrow ? Array(5).fill([0, 1]) : [[0, 1], [0, 1], [0, 0.28], [0.36, 0.64], [0.72, 1]];
    const names = ["Smooth loss, nats per window", narrow ? "Bits" : "Bits per character", "Learning rate", "Gradient norm", "Characters per second"];
    const layout = { showlegend: false, annotations: [], uirevision: `${this.key} ${logX} ${logY}` };
    names.forEach((name, n) => {
      const id = n ? n + 1 : "";
      layout[`xaxis${id}`] = axis("", { domain: columns[n], anchor: `y${id}`, type: logX, exponentformat: "SI", nticks: n > 1 && !narrow ? 4 : 8, ...(n ? { matches: "x" } : {}) });
      layout[`yaxis${id}`] = axis("", { domain: rows[n], anchor: `x${id}`, type: n < 2 || n === 3 ? logY : "linear", nticks: n > 1 ? 4 : 7, ...(n !== 2 && { exponentformat: "SI" }), rangemode: n === 4 || n === 2 ? "tozero" : "normal" });
      layout.annotations.push({
        text: name, x: columns[n][0], y: rows[n][1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
        showarrow: false, font: { size: 12.5, color: colour("ink") }, yshift: 3,
      });
    });
    [["training", "blue"], ...(judged ? [["validation", "amber"]] : [])].forEach(([text, ink], n) => {
      layout.annotations.push({
        text: `— ${text}`, x: columns[1][0], y: rows[1][1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
        showarrow: false, font: { size: 12.5, color: colour(ink) }, xshift: (narrow ? 40 : 118) + 80 * n, yshift: 3,
      });
    });
    layout.margin = { l: 44, r: 10, t: 22, b: 24 };
    return layout;
  }
}
