// The table below the comparison chart: the settings that differ between the selected runs, their bits and their seconds.
// The server decides which columns there are.
import { path, get } from "./api.js";
import { byId, el, throttled } from "./dom.js";

const PAUSE = 4000; // milliseconds between two requests while runs train

/** The table, with notes about runs that cannot be compared. */
export class ComparisonTable {
  constructor() {
    this.section = byId("compared");
    this.keys = [];
    this.names = new Map();
    this.state = "";
    this.request = throttled(PAUSE, () => this.#load());
  }

  /** Show the runs with these keys. `list` is the list of runs, which has their names and states. */
  show(keys, list) {
    const runs = list.filter((run) => keys.includes(run.key));
    this.names = new Map(runs.map((run) => [run.key, run.name]));
    const chosen = keys.join("\n") !== this.keys.join("\n");
    if (chosen) this.keys = [...keys];
    const state = JSON.stringify(runs.map(({ key, name, state, update }) => [key, name, state, update]));
    if (chosen) this.#load();
    else if (state !== this.state) this.request();
    this.state = state;
  }

  async #load() {
    const { keys } = this;
    this.section.hidden = keys.length < 2;
    if (this.section.hidden) return;
    try {
      const query = keys.map((key) => path`run=${key}`).join("&");
      const found = await get([`/api/comparison?${query}`]);
      if (keys === this.keys) this.#draw(found);
    } catch (error) {
      if (keys === this.keys) byId("compared-problem").textContent = error.message;
    }
  }

  /** Draw the table, with a column for each run: first the rows with figures, then those with settings. */
  #draw({ heads, rows, settings, best, notes }) {
    byId("compared-problem").textContent = "";
    const column = (run) => (best.includes(run) ? "best" : null);
    const row = (n) => el(
      "tr",
      {},
      el("th", { scope: "row" }, heads[n]),
      rows.map(({ run, cells }) => el("td", { class: column(run) }, cells[n])),
    );
    const numbers = heads.map((_, n) => n).slice(1);
    const [inputs, figures] = [numbers.slice(0, settings), numbers.slice(settings)];
    const names = rows.map(({ run, cells }) => el("th", { scope: "col", class: column(run) }, this.names.get(run) ?? cells[0]));
    byId("compared-table").replaceChildren(el(
      "table",
      { class: "compared" },
      el("thead", {}, el("tr", {}, el("td", {}), names)),
      el("tbody", {}, figures.map(row)),
      el("tbody", {}, inputs.map(row)),
    ));
    byId("compared-notes").replaceChildren(...notes.map((note) => el("p", { class: "aside" }, note)));
  }
}
