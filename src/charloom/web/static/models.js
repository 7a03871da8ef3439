// Fills select elements with the list of models. The options change when runs save new models; the selected model stays
// selected.
import { get } from "./api.js";
import { Choices, rest } from "./choices.js";
import { counted, el, throttled, integer } from "./dom.js";

/** Fills select elements with the models of the server. */
export class Models {
  constructor(live) {
    this.selects = new Map();
    this.models = [];
    this.known = false;
    this.asked = this.answered = 0;
    this.listeners = [];
    const again = throttled(1500, () => this.load());
    live.on("runs", ({ runs }) => {
      const stamp = runs.map((run) => [run.key, run.latest, run.best, run.checkpoints.length]).join();
      if (stamp !== this.stamp) {
        this.stamp = stamp;
        again();
      }
    });
    // No event reports new model files. A user who returns to the page may have saved a model file.
    addEventListener("focus", again);
  }

  /**
   * Fill a select element, now and after each change of the list. `none` is the text of an option for "no model"; without
   * it, there is no such option. `elsewhere` says what to do to use a model that is not listed.
   */
  fill(select, none = null, elsewhere = "press Write beside its run in the list of runs") {
    this.selects.set(select, { none, elsewhere, choices: new Choices(select) });
    this.#draw(select);
  }

  /** Call `listener` each time the list has been read. */
  on(listener) {
    this.listeners.push(listener);
    if (this.known) listener(this.models);
  }

  /** Request the list of models. */
  async load() {
    const turn = ++this.asked;
    let answer;
    try {
      answer = await get`/api/models`;
    } catch {
      this.stamp = null; // try again at the next change of the runs
      return;
    }
    if (turn < this.answered) return; // a later request has returned a newer list
    this.answered = turn;
    this.models = answer.models;
    this.left = answer.total - answer.models.length;
    this.known = true;
    for (const select of this.selects.keys()) this.#draw(select);
    for (const listener of this.listeners) listener(this.models);
  }

  /**
   * Select a model; "" selects the first option. If the model is not in the list, add it; the error then appears when
   * the user uses it.
   */
  choose(select, id) {
    select.dataset.wanted = id;
    this.#draw(select);
  }

  /** Return the name of a model. */
  name(id) {
    return this.models.find((model) => model.id === id)?.name ?? id;
  }

  /**
   * Return the id that a model has in the list. There, the id of a run's default model is the key of the run, without
   * @latest or @best.
   */
  #listed(id) {
    return this.models.find((model) => `${model.run}@${model.which}` === id)?.id ?? id;
  }

  #draw(select) {
    const { none, elsewhere, choices } = this.selects.get(select);
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
      el("optgroup", { label: title }, inOrder(models, chosen).map((model) => el("option", { value: model.id }, label(model)))),
    );
    if (none !== null) options.unshift(el("option", { value: "" }, none));
    if (chosen && !this.models.some((model) => model.id === chosen)) {
      options.push(el("option", { value: chosen }, this.known ? `${chosen} (not found)` : chosen));
    }
    if (this.left) options.push(rest(`… ${counted(this.left, "more model")}: to use one, ${elsewhere}`));
    choices.show(options, wanted);
    if (this.known) delete select.dataset.wanted;
  }
}

const isNamed = (model) => model.which === "latest" || model.which === "best";

/**
 * Return the models of a run, or the model files, in the order of the menu: the latest and the best first, as the server
 * sorts them, then the other checkpoints, the newest first. Leave out a checkpoint that is the latest or the best, unless
 * its id is `chosen`.
 */
function inOrder(models, chosen) {
  const named = models.filter(isNamed);
  const others = models.filter((model) => !isNamed(model) && (model.id === chosen || !named.some(({ update }) => update === model.update)));
  return [...named, ...others.sort((a, b) => b.update - a.update)];
}

function label(model) {
  if (!isNamed(model)) return model.name;
  const name = model.name.replace(/, (latest|best)$/, "");
  return `${name} – ${model.which} (update ${integer(model.update)})`;
}
