// Shows one text that a model writes: as it comes, with its colours, its probabilities, and how it ended.
import { surpriseStep } from "./colours.js";
import { el, fixed, put, whole } from "./dom.js";
import { Painted } from "./painted.js";

/** Where one model's text is shown. `pointed` is told what the model thought at a character, or null. */
export class Output {
  constructor(name, pointed) {
    this.sheet = el("div", { class: "sheet of-surprise", tabindex: "0", role: "region", "aria-label": `Text by ${name}` });
    this.title = el("h2", {}, name);
    this.note = el("p", { class: "aside" }, "");
    this.section = el("section", { class: "card output" }, this.title, this.sheet, this.note);
    this.painted = new Painted(this.sheet, { pointed: (index) => pointed(this.thought(index)) });
    this.clear();
  }

  /** Forget everything. */
  clear() {
    this.text = "";
    this.nats = [];
    this.given = 0; // characters that the model did not write itself
    this.likely = [];
    this.pending = [];
    this.began = null;
    this.waiting = false;
    this.painted.clear();
    put(this.note, "");
  }

  /** Whether it is still being written. */
  set waiting(waits) {
    this.sheet.classList.toggle("waiting", waits);
  }

  /** Take an event of the server. */
  take(name, data) {
    if (name === "begin") {
      this.began = performance.now();
      this.update = data.update;
      this.waiting = true;
      this.prompt = data.prompt;
      this.given = data.read?.characters.length ?? 0;
      this.#add(data.read, "given");
      put(this.note, data.unknowns);
    } else if (name === "text") {
      this.text += data.text;
      this.#add(data.analysis, "");
    } else if (name === "end") {
      this.#draw();
      this.waiting = false;
      put(this.note, `${whole(data.characters)} characters in ${fixed(data.seconds, 2)} s, ${this.#surprise()}`);
    }
  }

  /** It was ended from here. */
  stop() {
    this.#draw();
    this.waiting = false;
    if (this.began) put(this.note, `stopped after ${whole([...this.text].length)} characters, ${this.#surprise()}`);
  }

  /** The mean over what it wrote. */
  #surprise() {
    const known = this.nats.slice(this.given).filter((nats) => nats !== null);
    const mean = known.reduce((sum, nats) => sum + nats, 0) / Math.max(known.length, 1) / Math.LN2;
    return `${fixed(mean, 2)} bits of surprise per character`;
  }

  #add(analysis, kind) {
    if (!analysis) return;
    this.pending.push([analysis, kind]);
    // Many events may come between two pictures; one picture shows them all.
    this.frame ??= requestAnimationFrame(() => this.#draw());
    this.timer ??= setTimeout(() => this.#draw(), 100); // where no picture is drawn
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = this.timer = null;
    for (const [{ characters, nats, likely }, kind] of this.pending) {
      this.nats.push(...nats);
      this.likely.push(...likely);
      this.painted.append(characters, nats.map(surpriseStep), kind);
    }
    this.pending = [];
  }

  /** What the model thought at a character. */
  thought(index) {
    if (index === null || !this.likely[index]) return null;
    const { characters } = this.painted;
    return {
      character: characters[index],
      nats: this.nats[index],
      likely: this.likely[index],
      came: characters[index + 1],
    };
  }
}
