// The model that a new run starts from: its menu in the form, and the settings that the run would have.
import { get, path } from "./api.js";
import { counted, put } from "./dom.js";

/** The menu of models in the form that starts a run. Its first option begins with random weights. */
export class StartModel {
  /**
   * @param {HTMLSelectElement} select the menu.
   * @param {HTMLElement} about the element that describes the selected model.
   * @param {Models} models the models of the server.
   * @param {() => void} changed called when another model is selected, and again when its settings have arrived.
   * @param {(message: string) => void} problem called if the model cannot be read, and with "" when another is selected.
   */
  constructor(select, about, models, changed, problem) {
    Object.assign(this, { select, about, models, changed, problem });
    this.key = "";
    this.settings = null; // of a run that starts from the selected model; null until they have arrived
    models.fill(select, "random weights", "open its run, and press Train on another text");
    select.addEventListener("change", () => this.#read());
  }

  /** Select a model by its key; "" selects random weights. */
  choose(key) {
    this.models.choose(this.select, key);
    this.#read();
  }

  /** Request the settings of the selected model. If another model is selected meanwhile, ignore the response. */
  async #read() {
    const key = (this.key = this.select.value);
    this.settings = null;
    this.minutes = null; // how long such a run trains if no end is given; null if a number of epochs ends it
    this.problem("");
    put(this.about, key ? "Reading the model …" : "");
    this.changed();
    if (!key) return;
    try {
      const model = await get`/api/models/${key}`;
      if (this.key !== key) return;
      this.settings = model.settings;
      this.minutes = model.minutes;
      put(this.about, described(model));
      this.changed();
    } catch (error) {
      if (this.key !== key) return;
      put(this.about, "");
      this.problem(error.message);
    }
  }
}

function described({ cell, layers, hidden_size, vocabulary, tokens }) {
  const known = counted([...vocabulary].length, tokens === "bytes" ? "byte" : "character");
  return `${cell.toUpperCase()} ${layers} × ${hidden_size}. The new run has this network. It can read and write only the ${known} that the model knows.`;
}
