// Lists of models to choose from, kept as runs save new ones. What is chosen stays chosen.
import { get } from "./api.js";
import { Choices, rest } from "./choices.js";
import { el, seldom, whole } from "./dom.js";

/** Fills selects with the models there are. */
export class Models {
  constructor(live) {
    this.selects = new Map();
    this.models = [];
    this.known = false;
    this.asked = this.answered = 0;
    this.listeners = [];
    const again = seldom(1500, () => this.load());
    live.on("runs", ({ runs }) => {
      const stamp = runs.map((run) => [run.key, run.latest, run.best, run.checkpoints.length]).join();
      if (stamp !== this.stamp) {
        this.stamp = stamp;
        again();
      }
    });
    // Files of models come and go without a word: whoever comes back to the page may have made one.
    addEventListener("focus", again);
  }

  /** Fill a select from now on; `none` names the choice of no model. */
  fill(select, none = null) {
    this.selects.set(select, { none, choices: new Choices(select) });
    this.#draw(select);
  }

  /** Call `listener` whenever the list was read. */
  on(listener) {
    this.listeners.push(listener);
    if (this.known) listener(this.models);
  }

  /** Read the list. */
  async load() {
    const turn = ++this.asked;
    let told;
    try {
      told = await get`/api/models`;
    } catch {
      this.stamp = null; // the next change of the runs asks again
      return;
    }
    if (turn < this.answered) return; // a later question has the newer list
    this.answered = turn;
    this.models = told.models;
    this.left = told.total - told.models.length;
    this.known = true;
    for (const select of this.selects.keys()) this.#draw(select);
    for (const listener of this.listeners) listener(this.models);
  }

  /** Choose a model, or with "" the first choice; one that is not in the list is named, so that asking for it says why. */
  choose(select, id) {
    select.dataset.wanted = id;
    this.#draw(select);
  }

  /** What a model is called. */
  name(id) {
    return this.models.find((model) => model.id === id)?.name ?? id;
  }

  /** The id under which the list has a model: a run's own model is there under the run's key alone. */
  #listed(id) {
    return this.models.find((model) => `${model.run}@${model.which}` === id)?.id ?? id;
  }

  #draw(select) {
    const { none, choices } = this.selects.get(select);
    const wanted = this.#listed(select.dataset.wanted ?? null);
    const chosen = wanted ?? select.value;
    const groups = new Map();
    const names = new Map(this.models.map((model) => [model.id, model.name]));
    for (const model of this.models) {
      const title = model.run === null ? "Model files" : names.get(model.run) ?? model.run;
      if (!groups.has(title)) groups.set(title, []);
      groups.get(title).push(model);
    }
    const options = [...groups].map(([title, models]) =>
      el("optgroup", { label: title }, models.map((model) => el("option", { value: model.id }, label(model)))),
    );
    if (none !== null) options.unshift(el("option", { value: "" }, none));
    if (chosen && !this.models.some((model) => model.id === chosen)) {
      options.push(el("option", { value: chosen }, this.known ? `${chosen} (not found)` : chosen));
    }
    if (this.left) options.push(rest(`… ${whole(this.left)} more models: choose Write in the list of runs`));
    choices.show(options, wanted);
    if (this.known) delete select.dataset.wanted;
  }
}

function label(model) {
  if (model.which !== "latest" && model.which !== "best") return model.name;
  const name = model.name.replace(/, (latest|best)$/, "");
  return `${name} – ${model.which} (update ${whole(model.update)})`;
}
