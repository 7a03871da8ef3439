// The control of the view Playground that holds a hidden unit at a value while models write. It does not write texts.
import { byId, put, say } from "./dom.js";

const FIELDS = ["layer", "unit", "value"];

/** The unit that is held. `held` is the field `hold` of a request for texts: a layer, a unit and a value, or null. */
export class HeldUnit {
  constructor() {
    this.held = null;
    this.fields = Object.fromEntries(FIELDS.map((name) => [name, byId(`play-hold-${name}`)]));
    // The fields belong to a form of their own, so a wrong value in them does not keep the models from writing.
    byId("play-hold-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#hold();
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
