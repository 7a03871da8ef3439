// The view Inside: a text coloured by the values of a unit, a map of all units over the text, and the units that follow a
// property best. For a model with n-grams, it also shows how much they count. The server computes the values. A link can open the view with a certain unit.
import { events, get, post } from "./api.js";
import { valueStep } from "./colours.js";
import { byId, counted, el, fixed, put, say, visible, integer } from "./dom.js";
import { copyLink } from "./links.js";
import { UnitSearch } from "./unit_search.js";
import { ColouredText } from "./coloured_text.js";
import { NGrams } from "./ngrams.js";
import { UnitMap } from "./unitmap.js";

const WRITTEN = 1500; // characters that the model writes

/** The view. */
export class Inside {
  constructor(models) {
    this.models = models;
    this.limits = new Promise((resolve) => (this.setLimits = resolve));
    for (const name of ["model", "text", "layer", "unit", "what"]) this[name] = byId(`inside-${name}`);
    this.coloured = new ColouredText(byId("inside-coloured"), { pointed: (index) => this.#read(index) });
    this.coloured.box.classList.add("of-value", "coloured");
    this.search = new UnitSearch(
      {
        asked: () => this.#looked(),
        marks: (spans) => this.coloured.mark(spans),
        selected: () => this.coloured.selected(),
        pressed: () => this.#press(),
      },
      (layer, unit, what) => this.#choose(layer, unit, what),
    );
    this.ngrams = new NGrams();
    this.map = new UnitMap({
      pointed: (unit, character, value) => this.#readMap(unit, character, value),
      chosen: (unit) => this.#choose(this.layer.valueAsNumber, unit, this.what.value),
    });
    models.fill(this.model);
    models.on((list) => {
      byId("inside-empty").hidden = list.length > 0;
      byId("inside-body").hidden = list.length === 0;
      if (this.model.value && this.model.value !== this.detail?.id) this.#detail();
    });
    byId("inside").addEventListener("submit", (event) => {
      event.preventDefault();
      this.look();
    });
    this.model.addEventListener("change", () => this.#detail().then(() => this.text.value && this.look()));
    for (const input of [this.layer, this.unit, this.what]) input.addEventListener("change", () => this.text.value && this.look());
    byId("inside-write").addEventListener("click", () => this.#write());
    byId("inside-link").addEventListener("click", () => this.#copyLink());
  }

  /** Store the server's limits: the longest text that a model reads, and the longest text of a map. */
  about({ limits }) {
    this.text.maxLength = limits.read;
    this.setLimits(limits);
  }

  /** Restore the settings of a link, and read its text. */
  async show(settings, again) {
    this.models.load();
    if (again) return;
    for (const name of ["text", "layer", "unit"]) if (name in settings) this[name].value = settings[name];
    if (!("model" in settings)) return;
    this.models.choose(this.model, settings.model);
    await this.#detail();
    if ("what" in settings) this.what.value = settings.what;
    if (this.text.value) this.look();
  }

  /** Do nothing, because this view follows no runs. */
  hide() {}

  /** Let the model read the text, and show the values of the unit and the map. Return true if there was no error. */
  look() {
    this.looking = this.#look();
    return this.looking;
  }

  async #look() {
    const asked = this.#asked();
    if (!asked || !byId("inside").reportValidity()) return false;
    this.turn?.abort();
    const turn = (this.turn = new AbortController());
    this.#problem("");
    await this.#detail(); // fits the layer, the unit and the quantity to the model
    if (turn.signal.aborted) return this.looking; // a newer request has replaced this one
    const layer = this.layer.valueAsNumber;
    const unit = this.unit.valueAsNumber;
    const what = this.what.value;
    try {
      const shown = await post("/api/inside/unit", { ...asked, layer, unit, what }, turn.signal);
      this.#paint(asked, shown);
      say(`Unit ${unit} of layer ${layer}`);
      this.#press();
      // Request the map again if the update differs: a model that is being trained changes with each checkpoint.
      const stamp = ({ update }) => JSON.stringify([asked, layer, what, update]);
      if (stamp(shown) !== this.mapped) {
        this.mapped = stamp(await this.#map(asked, layer, what, turn.signal));
      }
      // The weights of the n-grams do not depend on the unit.
      const reading = JSON.stringify([asked, shown.update]);
      if (reading !== this.reading) {
        await this.ngrams.look(asked, this.detail, turn.signal);
        this.reading = reading;
      }
      this.map.mark(unit);
      return true;
    } catch (error) {
      if (error.name === "AbortError") return this.looking;
      this.#problem(error.message);
      return false;
    }
  }

  /**
   * Return the model and the text in the form, after showing them if the view does not show them yet. Return null if
   * there is no text or an error.
   */
  async #looked() {
    const asked = this.#asked();
    if (!asked || JSON.stringify(asked) === JSON.stringify(this.seen)) return asked;
    return (await this.look()) ? asked : null;
  }

  #asked() {
    if (!this.text.value) {
      this.#problem("There is no text to read yet. Paste one, or let the model write one.");
      return null;
    }
    return { model: this.model.value, text: this.text.value };
  }

  async #detail() {
    const id = this.model.value;
    if (!id || this.detail?.id === id) return;
    try {
      const detail = await get`/api/models/${id}`;
      if (this.model.value !== id) return;
      this.detail = detail;
      const chosen = this.what.value;
      const names = { h: "h", cell: "cell", i: "gate i", f: "gate f", g: "gate g", o: "gate o", r: "gate r", z: "gate z", n: "gate n" };
      this.what.replaceChildren(...detail.whats.map((what) => el("option", { value: what }, names[what] ?? what)));
      if (detail.whats.includes(chosen)) this.what.value = chosen;
      this.layer.max = detail.layers - 1;
      this.unit.max = detail.hidden_size - 1;
      this.layer.value = Math.min(this.layer.valueAsNumber || 0, detail.layers - 1);
      this.unit.value = Math.min(this.unit.valueAsNumber || 0, detail.hidden_size - 1);
    } catch (error) {
      this.#problem(error.message);
    }
  }

  #paint(asked, { characters, values, low, high, update }) {
    if (asked.text !== this.seen?.text) this.search.clear();
    this.seen = asked;
    Object.assign(this, { values, low, high });
    this.coloured.show(characters, values.map((value) => valueStep(value, low, high)));
    byId("inside-legend").hidden = false;
    put(byId("inside-low"), fixed(low, 2));
    put(byId("inside-high"), fixed(high, 2));
    const [least, most] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const of = update === undefined || update === null ? "" : `, after update ${integer(update)}`;
    this.summary = `Layer ${this.layer.value}, unit ${this.unit.value}, ${this.what.value}${of}: from ${fixed(least, 2)} to ${fixed(most, 2)} over ${counted(values.length, "character")}.`;
    this.#read(null);
  }

  #read(index) {
    if (index === null || !this.values) {
      if (this.summary) put(byId("inside-readout"), this.summary);
      return;
    }
    const sentence = `${visible(this.coloured.characters[index])} at character ${integer(index + 1)}: ${fixed(this.values[index], 3)}`;
    put(byId("inside-readout"), sentence);
    if (document.activeElement === this.coloured.box) say(sentence);
  }

  async #map(asked, layer, what, signal) {
    const characters = [...asked.text];
    const longest = (await this.limits).map;
    const text = characters.slice(0, longest).join("");
    const map = await post("/api/inside/map", { ...asked, text, layer, what }, signal);
    const values = Uint8Array.from(atob(map.values), (byte) => byte.charCodeAt(0));
    this.mapOf = map;
    this.map.show(map.units, map.characters.length, values);
    const cut = characters.length > longest ? ", only the beginning of the text" : "";
    put(byId("map-size"), `${counted(map.units, "unit")} × ${counted(map.characters.length, "character")}${cut}`);
    return map;
  }

  #readMap(unit, character, value) {
    const { characters, low, high } = this.mapOf;
    const around = characters.slice(Math.max(0, character - 12), character).join("").replaceAll("\n", "⏎");
    const sentence = `Unit ${unit}: ${fixed(low + (value / 255) * (high - low), 2)} at …${around}${visible(characters[character])}`;
    put(byId("map-readout"), sentence);
    if (document.activeElement === this.map.box) say(sentence);
  }

  #choose(layer, unit, what) {
    this.layer.value = layer;
    this.unit.value = unit;
    this.what.value = what;
    this.look();
  }

  #press() {
    this.search.press(this.layer.value, this.unit.value, this.what.value);
  }

  async #write() {
    this.#problem("");
    byId("inside-write").disabled = true;
    const seed = Math.floor(Math.random() * 1e6);
    try {
      let text = "";
      const asked = { model: this.model.value, length: WRITTEN, temperature: 0.8, seed };
      for await (const [name, data] of events("/api/generate", asked)) {
        if (name === "mistake") throw new Error(data.error.message);
        if (name === "text") text += data.text;
      }
      this.text.value = text;
      await this.look();
    } catch (error) {
      this.#problem(error.message);
    } finally {
      byId("inside-write").disabled = false;
    }
  }

  #copyLink() {
    const [model, layer, unit, what, text] = ["model", "layer", "unit", "what", "text"].map((name) => this[name].value);
    return copyLink("inside", { model, layer, unit, what, text }, { text: "text" });
  }

  #problem(text) {
    put(byId("inside-problem"), text);
  }
}
