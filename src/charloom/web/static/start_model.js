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
   * @param {(message: string) => void} problem called if the model cannot be read.
   */
  constructor(select, about, models, changed, problem) {
    Object.assign(this, { select, about, models, changed, problem });
    this.key = "";
    this.settings = null; // of a run that starts from the selected model; null until they have arrived
    models.fill(select, "random weights");
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
    put(this.about, key ? "Reading the model …" : "");
    this.changed();
    if (!key) return;
    try {
      const model = await get`/api/models/${key}`;
      if (this.key !== key) return;
      this.settings = model.settings;
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
  const known = tokens === "bytes" ? "all 256 bytes" : counted([...vocabulary].length, "character");
  return `${cell.toUpperCase()} ${layers} × ${hidden_size}. The run keeps this network, and knows only its ${known}.`;
}
