// The view Playground: one or two models write with the same seed, or one model writes a table of texts by temperature and
// top-p, and their predictions are shown. A link to the view only restores the settings; it does not start the writing.
import { events } from "./api.js";
import { byId, copy, el, put, reveal, save, say, textFileName } from "./dom.js";
import { cellName, gridTable, numbersIn } from "./grid.js";
import { HeldUnit } from "./held_unit.js";
import { copyLink } from "./links.js";
import { ModelDownload } from "./model_download.js";
import { Output } from "./output.js";
import { showHint, predictionInWords, showPrediction } from "./prediction.js";

const FIELDS = ["prompt", "start", "temperature", "top-k", "top-p", "min-p", "length", "seed", "samples", "stop-strings", "temperatures", "top-ps", "grid-length"];

const OF_TABLE = ["temperatures", "top-ps", "grid-length"];

/** Set a field to `value`. If there is no value, or if the field is a list without it, set it to its initial value. */
function restore(field, value) {
  field.value = value ?? field.defaultValue;
  if (field.options && field.selectedIndex < 0) field.value = field.querySelector("[selected]").value;
}

/** The view. */
export class Playground {
  constructor(models, go) {
    this.models = models;
    this.go = go;
    this.form = byId("play");
    this.fields = Object.fromEntries(FIELDS.map((name) => [name, byId(`play-${name}`)]));
    this.model = byId("play-model");
    this.other = byId("play-other");
    this.hold = new HeldUnit(() => this.#models());
    this.outputs = [];
    this.writing = null;
    this.mostValues = 0; // of each list for a table; 0 until the server's limits are known
    models.fill(this.model);
    models.fill(this.other, "no other model");
    models.on((list) => {
      byId("play-empty").hidden = list.length > 0;
      byId("play-body").hidden = list.length === 0;
      if (!this.outputs.length) this.#outputs();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.write();
    });
    for (const input of [this.model, this.other, this.fields.samples]) input.addEventListener("change", () => this.#outputs());
    byId("play-grid-go").addEventListener("click", () => this.writeGrid());
    for (const name of OF_TABLE) {
      this.fields[name].addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
        event.preventDefault(); // Enter would submit the form, and so write without a table
        this.writeGrid();
      });
    }
    byId("play-stop").addEventListener("click", () => this.stop());
    document.addEventListener("keydown", (event) => this.#key(event));
    const [range, number] = [byId("play-temperature-range"), this.fields.temperature];
    range.addEventListener("input", () => (number.value = range.value));
    number.addEventListener("input", () => (range.value = number.value));
    byId("play-dice").addEventListener("click", () => (this.fields.seed.value = Math.floor(Math.random() * 1e6)));
    byId("play-colour").addEventListener("change", () => this.#colour());
    byId("play-copy").addEventListener("click", () => copy(this.#all(), "Text"));
    byId("play-save").addEventListener("click", () => save(this.#all(), textFileName(this.#models().map((id) => this.models.name(id)).join(" "))));
    byId("play-link").addEventListener("click", () => this.#copyLink());
    byId("play-inside").addEventListener("click", () => {
      const { prompt = "", text } = this.outputs[0];
      go("inside", { model: this.outputs[0].id, text: (prompt + text).slice(0, 4000) });
    });
    this.download = new ModelDownload(() => this.model.value);
    showHint(byId("play-prediction"));
  }

  /** Store the server's limits: the longest prompt, the longest text to write, and the number of texts. */
  about({ limits }) {
    this.fields.prompt.maxLength = limits.prompt;
    this.fields.length.max = this.fields["grid-length"].max = limits.length;
    this.fields.samples.max = limits.samples;
    this.mostValues = limits.grid;
    byId("play-grid-go").disabled = false;
  }

  /** Restore the settings of a link. A setting that is not in the link gets its default. */
  show(settings, again) {
    this.models.load();
    if (again || !Object.keys(settings).length) return;
    for (const name of FIELDS) restore(this.fields[name], settings[name]);
    byId("play-temperature-range").value = this.fields.temperature.value;
    this.models.choose(this.model, settings.model ?? "");
    this.models.choose(this.other, settings.other ?? "");
    byId("play-colour").checked = settings.colour === "1";
    this.hold.restore(settings.hold);
    if (settings.temperatures || settings["top-ps"] || settings["grid-length"]) byId("play-grid").open = true;
    this.#outputs();
  }

  /** Do nothing, because the models continue to write while the view is hidden. */
  hide() {}

  /** Let the selected models write. */
  async write() {
    if (!this.form.reportValidity()) return;
    this.stop();
    this.#outputs();
    const ids = this.#models();
    const value = (name) => this.fields[name].valueAsNumber;
    const drawing = { ...this.#drawing(), temperature: value("temperature"), top_p: value("top-p"), samples: this.samples };
    const place = (data) => (data.side ?? 0) * this.samples + (data.number ?? 0);
    reveal(this.outputs[0].section); // on a phone, the text is below the form
    if (ids.length > 1) await this.#follow("/api/compare", { ...drawing, models: ids }, place, () => this.write());
    else await this.#follow("/api/generate", { ...drawing, model: ids[0] }, place, () => this.write());
  }

  /** Let the first model write a table of texts by temperature and top-p. */
  async writeGrid() {
    if (!this.mostValues || !this.form.reportValidity()) return;
    this.stop();
    let temperatures, topPs;
    try {
      temperatures = numbersIn(this.fields.temperatures.value, "temperatures", this.mostValues);
      topPs = numbersIn(this.fields["top-ps"].value, "top_ps", this.mostValues);
    } catch (error) {
      this.#problem(error.message);
      return;
    }
    this.#table(temperatures, topPs);
    const body = { ...this.#drawing(), model: this.model.value, temperatures, top_ps: topPs, length: this.fields["grid-length"].valueAsNumber };
    reveal(byId("play-table"));
    await this.#follow("/api/grid", body, (data) => data.row * topPs.length + data.column, () => this.writeGrid());
    this.#toBeginnings();
  }

  /** Scroll each text that shows its end to its beginning, because the texts of a table are read side by side. */
  #toBeginnings() {
    for (const { sheet } of this.outputs) {
      if (sheet.scrollTop + sheet.clientHeight >= sheet.scrollHeight - 24) sheet.scrollTop = 0;
    }
  }

  /** Return the fields that every request for texts has. */
  #drawing() {
    const value = (name) => this.fields[name].valueAsNumber;
    const skip = this.skip;
    this.skip = false;
    return {
      prompt: this.fields.prompt.value,
      start: this.fields.start.value,
      length: value("length"),
      top_k: value("top-k"),
      min_p: value("min-p"),
      stop: this.fields["stop-strings"].value.split("\n").filter(Boolean),
      seed: value("seed"),
      unknown: skip ? "skip" : "refuse",
      hold: this.hold.held,
      probabilities: true,
    };
  }

  /**
   * Send a request for texts, and pass each event of the response to the output of its text. `place` returns the index
   * of this output. `again` sends the request again.
   */
  async #follow(where, body, place, again) {
    const writing = new AbortController();
    this.writing = writing;
    this.#problem("");
    this.#busy(true);
    say("Writing");
    try {
      let over = 0;
      for await (const [name, data] of events(where, body, writing.signal)) {
        if (name === "mistake") throw new Error(data.error.message);
        this.outputs[place(data)].take(name, data);
        over += name === "end";
      }
      if (over < this.outputs.length) throw new Error("The server closed the connection before the text was complete. The page keeps what has arrived. Press Write to start again.");
      say("Done");
    } catch (error) {
      for (const output of this.outputs) output.stop();
      if (error.name !== "AbortError") this.#problem(error.message, error.code === "unknown_characters" ? again : null);
    } finally {
      if (this.writing === writing) {
        this.writing = null;
        this.#busy(false);
      }
    }
  }

  /** Stop the writing. */
  stop() {
    if (!this.writing) return;
    this.writing.abort();
    this.writing = null;
    for (const output of this.outputs) output.stop();
    this.#busy(false);
    say("Stopped");
  }

  #key(event) {
    if (byId("view-playground").hidden) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.write();
    } else if (event.key === "Escape") this.stop();
  }

  #busy(busy) {
    byId("play-stop").disabled = !busy;
    for (const id of ["play-copy", "play-save", "play-inside"]) {
      byId(id).disabled = !this.outputs.some((output) => output.text || output.began);
    }
  }

  /** Show a message. If the prompt has unknown characters, `again` writes; a button calls it to skip these characters. */
  #problem(message, again = null) {
    const box = byId("play-problem");
    put(box, message);
    if (!again) return;
    const skipping = () => {
      this.skip = true;
      again();
    };
    box.append(" ", el("button", { type: "button", class: "link", onclick: skipping }, "Write without these characters"));
  }

  /** Return the ids of the selected models. */
  #models() {
    return [this.model.value, this.other.value].filter(Boolean);
  }

  /** Show an empty output for each text of each selected model. */
  #outputs() {
    this.stop();
    this.samples = this.fields.samples.validity.valid ? this.fields.samples.valueAsNumber : 1;
    const numbers = Array.from({ length: this.samples }, (_, n) => (this.samples > 1 ? `, text ${n + 1}` : ""));
    this.outputs = this.#models().flatMap((id) => numbers.map((number) => this.#output(`${this.models.name(id)}${number}`, id)));
    byId("play-outputs").replaceChildren(...this.outputs.map((output) => output.section));
    this.#shown(false);
  }

  /** Show a table with an empty output for each temperature and top-p. */
  #table(temperatures, topPs) {
    const id = this.model.value;
    this.outputs = temperatures.flatMap((temperature) => topPs.map((topP) => this.#output(cellName(temperature, topP), id)));
    const [{ warning }] = this.outputs; // the texts have the same start, so the same warning
    byId("play-table").replaceChildren(el("h2", {}, this.models.name(id)), gridTable(temperatures, topPs, this.outputs), warning);
    this.#shown(true);
  }

  #output(name, id) {
    const output = new Output(name, (prediction) => this.#showPrediction(prediction));
    output.id = id;
    return output;
  }

  /** Show the table, or else the outputs below one another. */
  #shown(table) {
    byId("play-table").hidden = !table;
    byId("play-outputs").hidden = table;
    showHint(byId("play-prediction"));
    this.#colour();
    this.#busy(false);
  }

  #showPrediction(prediction) {
    // Keep showing the last prediction while the user points at no character.
    if (!prediction) return;
    showPrediction(byId("play-prediction"), prediction);
    if (this.outputs.some((output) => output.sheet === document.activeElement)) say(predictionInWords(prediction));
  }

  #colour() {
    const coloured = byId("play-colour").checked;
    byId("play-legend").hidden = !coloured;
    for (const output of this.outputs) output.sheet.classList.toggle("coloured", coloured);
  }

  #all() {
    const texts = this.outputs.map((output) => (output.prompt ?? "") + output.text);
    if (texts.length === 1) return texts[0];
    return this.outputs.map((output, n) => `== ${output.title.textContent}\n\n${texts[n]}`).join("\n\n");
  }

  #copyLink() {
    const named = byId("play-table").hidden ? FIELDS.filter((name) => !OF_TABLE.includes(name)) : FIELDS;
    const settings = Object.fromEntries(named.map((name) => [name, this.fields[name].value]));
    const chosen = { model: this.model.value, ...(this.other.value && { other: this.other.value }) };
    const colour = byId("play-colour").checked ? { colour: "1" } : {};
    const hold = this.hold.held ? { hold: this.hold.setting } : {};
    return copyLink("playground", { ...chosen, ...settings, ...colour, ...hold }, { prompt: "prompt", "stop-strings": "stop strings" });
  }
}
