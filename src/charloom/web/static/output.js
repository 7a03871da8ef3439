// Shows one text while a model writes it, with colours, probabilities and a summary at the end.
import { surpriseStep } from "./colours.js";
import { counted, el, fixed, put } from "./dom.js";
import { ColouredText } from "./coloured_text.js";

/**
 * The text of one model. `pointed` is called with the prediction at the character that the user points at, or null if
 * there is none.
 */
export class Output {
  constructor(name, pointed) {
    this.sheet = el("div", { class: "sheet of-surprise", tabindex: "0", role: "region", "aria-label": `Text by ${name}` });
    this.title = el("h2", {}, name);
    this.note = el("p", { class: "aside" }, "");
    this.warning = el("p", { class: "notice" }, "");
    this.section = el("section", { class: "card output" }, this.title, this.sheet, this.note, this.warning);
    this.coloured = new ColouredText(this.sheet, { pointed: (index) => pointed(this.prediction(index)) });
    this.clear();
  }

  /** Remove the text. */
  clear() {
    this.text = "";
    this.nats = [];
    this.given = 0; // characters of the prompt
    this.likely = [];
    this.pending = [];
    this.began = null;
    this.waiting = false;
    this.coloured.clear();
    put(this.note, "");
    put(this.warning, "");
  }

  /** Show whether the model is still writing. */
  set waiting(waits) {
    this.sheet.classList.toggle("waiting", waits);
  }

  /** Process an event of the server. */
  take(name, data) {
    if (name === "begin") {
      this.began = performance.now();
      this.update = data.update;
      this.waiting = true;
      this.prompt = data.prompt;
      this.given = data.read?.characters.length ?? 0;
      this.#add(data.read, "given");
      put(this.note, data.unknowns);
      put(this.warning, [data.held, data.warning].filter(Boolean).join(" "));
    } else if (name === "text") {
      this.text += data.text;
      this.#add(data.analysis, "");
    } else if (name === "end") {
      this.#draw();
      this.waiting = false;
      put(this.note, `${counted(data.characters, "character")} in ${fixed(data.seconds, 2)} s, ${this.#surprise()}`);
    }
  }

  /** Show that the user stopped the writing. */
  stop() {
    this.#draw();
    this.waiting = false;
    if (this.began) put(this.note, `stopped after ${counted([...this.text].length, "character")}, ${this.#surprise()}`);
  }

  /** Return the mean surprise of the written characters as text. */
  #surprise() {
    const known = this.nats.slice(this.given).filter((nats) => nats !== null);
    const mean = known.reduce((sum, nats) => sum + nats, 0) / Math.max(known.length, 1) / Math.LN2;
    return `${fixed(mean, 2)} bits of surprise per character`;
  }

  #add(analysis, kind) {
    if (!analysis) return;
    this.pending.push([analysis, kind]);
    // Draw several events together in one frame.
    this.frame ??= requestAnimationFrame(() => this.#draw());
    this.timer ??= setTimeout(() => this.#draw(), 100); // in a hidden window there are no frames
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = this.timer = null;
    for (const [{ characters, nats, likely }, kind] of this.pending) {
      this.nats.push(...nats);
      this.likely.push(...likely);
      this.coloured.append(characters, nats.map(surpriseStep), kind);
    }
    this.pending = [];
  }

  /** Return the prediction at a character; null if there is none. */
  prediction(index) {
    if (index === null || !this.likely[index]) return null;
    const { characters } = this.coloured;
    return {
      character: characters[index],
      nats: this.nats[index],
      likely: this.likely[index],
      next: characters[index + 1],
    };
  }
}
