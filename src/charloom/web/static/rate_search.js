// Shows the search for the learning rate of a run: the chosen rate, and the loss of each trial by its rate. The server
// chooses the ranges of the axes, so that the chart shows the same part as the picture in the run's report.
import { Chart, axis, line } from "./charts.js";
import { colour } from "./colours.js";
import { byId, counted, fixed, put } from "./dom.js";

const INKS = ["amber", "blue", "accent"]; // the colours of the rounds

/** The part of the view Learning that shows a search. */
export class RateSearch {
  constructor() {
    this.search = null;
    this.one = "character"; // the unit of prediction
    this.chart = new Chart(byId("search-chart"), (width) => this.#figure(width));
  }

  /** Show a search as the server sends it; if it is null, hide this part. `one` is "character" or "byte". */
  show(search, one = "character") {
    if (JSON.stringify([search, one]) === JSON.stringify([this.search, this.one])) return;
    this.search = search;
    this.one = one;
    byId("search").hidden = search === null;
    if (search === null) return;
    put(byId("search-result"), this.#result());
    put(byId("search-left-out"), leftOut(search.plot.left_out));
    this.chart.restart();
  }

  #result() {
    const { learning_rate: rate, rounds } = this.search;
    const { updates, learning_rates: rates, losses } = rounds.at(-1);
    const loss = losses[rates.indexOf(rate)] ?? null;
    const lowest = loss === null ? "" : `: ${fixed(loss, 3)} nats per ${this.one}`;
    return `The learning rate ${rateText(rate)} was chosen by short trials before training. After ${counted(updates, "update")}, its training loss was the lowest${lowest}.`;
  }

  #figure(width) {
    const { learning_rate: rate, rounds, plot } = this.search;
    const curves = rounds.map(({ updates, learning_rates, losses }, n) => {
      const ink = INKS[n % INKS.length];
      return line(learning_rates, losses, `after ${counted(updates, "update")}`, ink, { mode: "lines+markers", hovertemplate: "%{y:.3f}" });
    });
    const chosen = line([rate, rate], plot.losses, `chosen: ${rateText(rate)}`, "ink", { mode: "lines", line: { color: colour("ink"), width: 1.5, dash: "dash" }, hoverinfo: "skip" });
    return {
      traces: [...curves, chosen],
      layout: {
        showlegend: true,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { color: colour("ink") } },
        xaxis: axis("Learning rate", { type: "log", range: plot.learning_rates.map(Math.log10), ...ticks(plot.learning_rates, width) }),
        yaxis: axis(`Nats per ${this.one}`, { range: plot.losses }),
      },
    };
  }
}

/** Return the ticks of the axis as properties for plotly.js: powers of ten, or plotly's choice if there are not two. */
function ticks([low, high], width) {
  const first = Math.ceil(Math.log10(low));
  const count = Math.floor(Math.log10(high)) - first + 1;
  if (count < 2) return {};
  const step = Math.ceil(count / (width < 560 ? 4 : 12));
  const tickvals = Array.from({ length: Math.ceil(count / step) }, (_, n) => 10 ** (first + n * step));
  return { tickvals, ticktext: tickvals.map(rateText) };
}

/** Return a sentence about the rates that the chart does not show; "" if it shows all. */
function leftOut(rates) {
  if (!rates.length) return "";
  if (rates.length === 1) return `The rate ${rateText(rates[0])} is not shown: its loss is too large, or the trial diverged.`;
  return `The rates ${rateText(rates[0])} to ${rateText(rates.at(-1))} are not shown: their losses are too large, or the trials diverged.`;
}

/** Return a learning rate as text. */
const rateText = (rate) => String(Number(rate.toPrecision(6)));
