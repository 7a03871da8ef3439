// The control of the view Playground that holds a hidden unit at a value while models write. It does not write texts.
import { get } from "./api.js";
import { byId, put, say } from "./dom.js";
import { FieldProblem } from "./field_problem.js";

const FIELDS = ["layer", "unit", "value"];

/** The unit that is held. `held` is the field `hold` of a request for texts: a layer, a unit and a value, or null. */
export class HeldUnit {
  /** @param {() => string[]} models returns the ids of the models that write. */
  constructor(models) {
    this.held = null;
    this.models = models;
    this.problem = new FieldProblem(byId("play-hold-problem"));
    this.fields = Object.fromEntries(FIELDS.map((name) => [name, byId(`play-hold-${name}`)]));
    // The fields belong to a form of their own, so a wrong value in them does not keep the models from writing.
    byId("play-hold-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#holdIfThere();
    });
    byId("play-release").addEventListener("click", () => {
      this.#release();
      byId("play-hold").open = true;
      byId("play-hold-go").focus(); // the button that had the focus is hidden now
      say("Released");
    });
  }

  /** The setting of a link, such as "0,20,-0.9"; an empty string if no unit is held. */
  get setting() {
    return this.held ? FIELDS.map((name) => this.held[name]).join(",") : "";
  }

  /** Restore the setting of a link. Without a valid one, hold no unit. */
  restore(setting = "") {
    const values = setting.split(",");
    this.#release();
    if (!setting || values.length !== FIELDS.length) return;
    FIELDS.forEach((name, n) => (this.fields[name].value = values[n]));
    byId("play-hold").open = true;
    if (byId("play-hold-form").checkValidity()) this.#hold();
  }

  /** Hold the unit of the fields if each model has it; otherwise say what the models have. */
  async #holdIfThere() {
    const [layer, unit] = ["layer", "unit"].map((name) => this.fields[name].valueAsNumber);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let sizes = [];
    try {
      sizes = await Promise.all(this.models().map((id) => get`/api/models/${id}`));
    } catch {
      // A model that cannot be opened is reported when it writes.
    }
    if (turn !== this.turn) return; // the user has asked again
    for (const { layers, hidden_size: units } of sizes) {
      if (layer >= layers) return this.problem.show(`The model has layers 0 to ${layers - 1}.`, [this.fields.layer]);
      if (unit >= units) return this.problem.show(`The model has units 0 to ${units - 1}.`, [this.fields.unit]);
    }
    this.problem.show("");
    this.#hold();
  }

  #hold() {
    this.held = Object.fromEntries(FIELDS.map((name) => [name, this.fields[name].valueAsNumber]));
    const { layer, unit, value } = this.held;
    const sentence = `Unit ${unit} of layer ${layer} is held at ${value}.`;
    put(byId("play-held-note"), `${sentence} This counts for every text that you write from now on.`);
    byId("play-held").hidden = false;
    say(sentence);
  }

  #release() {
    this.held = null;
    byId("play-held").hidden = true;
  }
}
