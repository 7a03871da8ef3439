// The page of an exported model: reads the model from the page itself, and lets it write.
import { ColouredText } from "../../web/static/coloured_text.js";
import { surpriseStep, valueStep } from "../../web/static/colours.js";
import { byId, copy, counted, fixed, integer, put, reveal, save, say, textFileName, visible } from "../../web/static/dom.js";
import { predictionInWords, showHint, showPrediction } from "../../web/static/prediction.js";
import { readModel } from "./model_data.js";
import { Network } from "./network.js";
import { Vocabulary } from "./vocabulary.js";
import { Writing } from "./writing.js";

const SLICE = 16; // milliseconds of work until the browser may process its events
// The page is drawn again after this many times the time that drawing takes, which grows with the text.
const DRAWING = 4;
const LONGEST = 20_000; // characters of a text
const MOST_BYTES = 2 ** 27; // of the states that are kept for the colours
const LIKELY = 5; // characters of a prediction

/** Return a promise that is fulfilled after the browser has processed its events. */
const nextTurn = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = resolve;
  port2.postMessage(null);
});

/** The page. */
class Page {
  constructor({ about, tensors, memory }) {
    this.about = about;
    this.memory = memory;
    this.network = new Network(about, tensors);
    this.vocabulary = new Vocabulary(about.vocabulary, about.tokens);
    this.output = byId("output");
    this.coloured = new ColouredText(this.output, { pointed: (index) => this.#point(index) });
    this.writing = null;
    this.going = null; // an object for each text, so that an older one notices that it must end
    this.#describe();
    this.#listen();
    this.#clear();
  }

  /** Write a text with the settings of the form. If `skip` is true, leave out unknown characters of the prompt. */
  async write(skip = false) {
    if (!byId("play").checkValidity()) byId("more").open = true; // the browser marks only visible fields
    if (!byId("play").reportValidity()) return;
    const prompt = this.vocabulary.encode(byId("play-prompt").value);
    if (prompt.unknown.length && !skip) return this.#refuse(prompt.unknown);
    this.#clear();
    const going = (this.going = {});
    this.writing = new Writing(this.network, this.vocabulary, prompt.ids, this.#options());
    this.#busy(true);
    say("Writing");
    reveal(byId("written")); // on a phone, the text is below the form
    const begun = performance.now();
    try {
      while (!this.writing.ended && this.going === going) {
        this.#work(performance.now() + SLICE);
        if (performance.now() >= this.nextDrawing) this.#draw();
        await nextTurn();
      }
    } catch (error) {
      put(byId("play-problem"), error.message);
      this.stop();
    }
    if (this.going !== going) return;
    this.#draw();
    this.#end(`${counted(this.#written().length, "character")} in ${fixed((performance.now() - begun) / 1000, 2)} s`, "Done");
  }

  /** Stop the writing. */
  stop() {
    if (!this.going) return;
    this.#draw();
    this.#end(`stopped after ${counted(this.#written().length, "character")}`, "Stopped");
  }

  /** Read and write until a time (of performance.now). */
  #work(until) {
    do {
      const kind = this.writing.reading ? "given" : "";
      for (const character of this.writing.step()) this.pending.push({ ...character, kind });
    } while (!this.writing.ended && performance.now() < until);
  }

  /** Show the new characters. */
  #draw() {
    const began = performance.now();
    for (const kind of ["given", ""]) this.#append(this.pending.filter((character) => character.kind === kind), kind);
    this.pending = [];
    this.output.getBoundingClientRect(); // makes the browser compute the layout now, so that its time is measured
    const ended = performance.now();
    this.nextDrawing = ended + DRAWING * (ended - began);
  }

  #append(characters, kind) {
    if (!characters.length) return;
    if (kind === "given") this.given += characters.length;
    this.characters.push(...characters);
    this.#setRange(characters);
    this.coloured.append(characters.map(({ text }) => text), this.#steps(characters), kind);
  }

  /** Show the text as complete. `sentence` begins the note below it, `spoken` is for screen readers. */
  #end(sentence, spoken) {
    this.going = null;
    this.#busy(false);
    this.#colour();
    const known = this.#written().map(({ nats }) => nats).filter((nats) => nats !== null);
    const bits = known.reduce((sum, nats) => sum + nats, 0) / Math.max(known.length, 1) / Math.LN2;
    put(byId("note"), `${sentence}, ${fixed(bits, 2)} bits of surprise per character`);
    say(spoken);
  }

  /** Return the characters that the model has written, without those of the prompt. */
  #written() {
    return this.characters.slice(this.given);
  }

  #clear() {
    this.going = this.writing = null;
    this.characters = [];
    this.pending = []; // characters that are not shown yet
    this.nextDrawing = 0;
    this.given = 0; // characters of the prompt
    this.size = 0; // the largest absolute value of the unit that colours the text
    this.coloured.clear();
    put(byId("play-problem"), "");
    put(byId("note"), "");
    showHint(byId("prediction"));
    this.#busy(false);
  }

  #busy(busy) {
    this.output.classList.toggle("waiting", busy);
    byId("play-stop").disabled = !busy;
    for (const id of ["copy", "save"]) byId(id).disabled = !this.writing;
  }

  #options() {
    const number = (name) => byId(`play-${name}`).valueAsNumber;
    return {
      startId: this.about.start_id,
      start: byId("play-start").value,
      length: number("length"),
      seed: number("seed"),
      stops: byId("play-stop-strings").value.split("\n").filter(Boolean),
      sampler: { temperature: number("temperature"), topK: number("top-k"), topP: number("top-p"), minP: number("min-p") },
    };
  }

  /** Say which characters of the prompt are unknown, and offer to write without them. */
  #refuse(unknown) {
    const box = byId("play-problem");
    const shown = unknown.slice(0, 5).map(visible).join(" ") + (unknown.length > 5 ? " …" : "");
    put(box, `The model does not know ${shown}. `);
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "link", textContent: "Write without these characters" });
    button.addEventListener("click", () => this.write(true));
    box.append(button);
  }

  // Colours

  /** Return the unit that colours the text, or null. */
  #unit() {
    const what = byId("colour").value;
    return what === "h" || what === "cell" ? [what, byId("layer").valueAsNumber, byId("unit").valueAsNumber] : null;
  }

  #setRange(characters) {
    const unit = this.#unit();
    if (!unit) return;
    for (const { place } of characters) this.size = Math.max(this.size, Math.abs(this.writing.value(place, ...unit)));
    put(byId("low"), fixed(-this.size, 2));
    put(byId("high"), fixed(this.size, 2));
  }

  /** Return the colour step of each character. */
  #steps(characters) {
    const unit = this.#unit();
    if (unit) return characters.map(({ place }) => valueStep(this.writing.value(place, ...unit), -this.size, this.size));
    return characters.map(({ nats }) => surpriseStep(nats));
  }

  /** Colour the whole text again. */
  #colour() {
    const fields = [byId("layer"), byId("unit")];
    byId("unit-choice").hidden = !["h", "cell"].includes(byId("colour").value);
    if (this.#unit() && !fields.every((field) => field.reportValidity())) return;
    const unit = this.#unit();
    byId("legend-surprise").hidden = byId("colour").value !== "surprise";
    byId("legend-value").hidden = !unit || !this.characters.length;
    byId("readout").hidden = !unit;
    put(byId("readout"), unit ? `${this.#unitName()}: point at a character to see the value.` : "");
    this.output.classList.toggle("coloured", byId("colour").value !== "");
    this.output.classList.toggle("of-value", unit !== null);
    this.output.classList.toggle("of-surprise", unit === null);
    this.size = 0;
    this.#setRange(this.characters);
    const steps = this.#steps(this.characters);
    const texts = this.characters.map(({ text }) => text);
    this.coloured.show(texts.slice(0, this.given), steps.slice(0, this.given), "given");
    this.coloured.append(texts.slice(this.given), steps.slice(this.given));
  }

  /** Show the prediction at a character. */
  #point(index) {
    const at = this.characters?.[index ?? -1];
    if (!at) return;
    const logarithms = this.writing.prediction(at.place);
    const order = Array.from(logarithms.keys()).sort((a, b) => logarithms[b] - logarithms[a]);
    const likely = order.slice(0, LIKELY).map((id) => [this.vocabulary.name(id), Math.exp(logarithms[id])]);
    // After the last character that is shown, the next ids may be those of a stop string.
    const followed = at.place < this.characters.at(-1).place;
    const next = followed ? this.writing.ids[this.writing.before + at.place + 1] : undefined;
    const prediction = { character: at.text, nats: at.nats, likely, next: next === undefined ? undefined : this.vocabulary.name(next) };
    showPrediction(byId("prediction"), prediction);
    if (this.#unit()) put(byId("readout"), `${this.#unitName()} at ${visible(at.text)}: ${fixed(this.writing.value(at.place, ...this.#unit()), 3)}`);
    if (document.activeElement === this.output) say(predictionInWords(prediction));
  }

  #unitName() {
    const [what, layer, unit] = this.#unit();
    return `Layer ${layer}, unit ${unit}, ${what}`;
  }

  // The form

  #describe() {
    const { cell, layers, hidden_size: hidden, vocabulary, tokens, ngram_order: order } = this.about;
    const ngrams = order ? `, ${order}-grams` : "";
    const memory = `needs about ${integer(Math.ceil(this.memory / 1e6))} MB of memory`;
    put(byId("size"), `${cell.toUpperCase()}, ${layers} × ${integer(hidden)} hidden units${ngrams}, ${integer(vocabulary.length)} ${tokens}; ${memory}`);
    if (!this.network.tensors["start/h"]) byId("play-start").options[0].remove(); // the model has no state after training
    const states = layers * hidden * (cell === "lstm" ? 8 : 4);
    byId("play-length").max = Math.min(LONGEST, Math.floor(MOST_BYTES / states));
    byId("layer").max = layers - 1;
    byId("unit").max = hidden - 1;
    if (cell === "lstm") byId("colour").options[1].after(new Option("unit, cell", "cell"));
    byId("play-go").disabled = false;
  }

  #listen() {
    const on = (id, event, action) => byId(id).addEventListener(event, action);
    on("play", "submit", (event) => {
      event.preventDefault();
      this.write();
    });
    on("play-stop", "click", () => this.stop());
    const [range, number] = [byId("play-temperature-range"), byId("play-temperature")];
    range.addEventListener("input", () => (number.value = range.value));
    number.addEventListener("input", () => (range.value = number.value));
    on("play-dice", "click", () => (byId("play-seed").value = Math.floor(Math.random() * 1e6)));
    for (const id of ["colour", "layer", "unit"]) on(id, "change", () => this.#colour());
    const text = () => this.coloured.string;
    on("copy", "click", () => copy(text(), "Text"));
    on("save", "click", () => save(text(), textFileName(document.title)));
    on("copy-close", "click", () => byId("copy-dialog").close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.write();
      } else if (event.key === "Escape") this.stop();
    });
  }
}

try {
  const parts = [...document.querySelectorAll("script.model-data")].map((element) => element.textContent);
  new Page(await readModel(byId("model-json").textContent, parts));
} catch (error) {
  put(byId("play-problem"), `This browser cannot read the model in the page: ${error.message}`);
}
