// A text that a network reads and writes, with the state of the network after each id (spec/mathematics.md: Sampling).
import { draw } from "./drawing.js";
import { logProbabilities } from "./network.js";
import { Uniforms } from "./random_numbers.js";
import { firstStop, possibleStop } from "./stop_strings.js";

/**
 * A text that is being written. Its characters are objects: `text`; `nats`, the surprise, or null for a character that was
 * not predicted; and `place`, the index of the state after it. With bytes, several ids make a character.
 *
 * @param {Network} network the network.
 * @param {Vocabulary} vocabulary its vocabulary.
 * @param {number[]} prompt the ids of the prompt.
 * @param {object} options `startId`, `start` ("text" or "zero"), `length`, `seed`, `stops` and `sampler`.
 */
export class Writing {
  constructor(network, vocabulary, prompt, options) {
    this.network = network;
    this.options = options;
    this.state = network.begin(options.start === "zero");
    const begun = options.start !== "zero" && network.tensors["start/h"];
    this.first = begun || !prompt.length ? 1 : 0; // ids that are read, but not shown
    this.unread = this.first ? [options.startId, ...prompt] : [...prompt];
    this.before = this.state.recent.length;
    this.ids = this.state.recent; // and then all ids that were read
    this.states = []; // after each id that was read
    this.written = 0;
    this.ended = null;
    this.uniforms = new Uniforms(options.seed);
    this.vocabulary = vocabulary;
    this.decode = vocabulary.decoder();
    this.nats = 0; // the surprise of the bytes since the last complete character; null if one was not predicted
    this.waiting = []; // characters that could belong to a stop string
  }

  /** True as long as the prompt is not read to its end. */
  get reading() {
    return this.unread.length > 0;
  }

  /** Read the next id of the prompt, or write the next id. Return the characters that are now certain. */
  step() {
    if (this.reading) return this.#readPrompt();
    const { length, stops, sampler } = this.options;
    const logits = this.#logits(this.states.length - 1);
    const id = draw(logits, sampler, this.uniforms.at(this.written));
    this.waiting.push(...this.#read(id, -logProbabilities(logits)[id]));
    this.written += 1;
    const text = this.waiting.map((character) => character.text).join("");
    const end = firstStop(text, stops);
    if (end >= 0) {
      this.ended = "stop";
      return this.#take(end);
    }
    if (this.written === length) this.ended = "length";
    return this.#take(text.length - (this.ended ? 0 : possibleStop(text, stops)));
  }

  /** Return the natural logarithms of the probabilities of the next id, given the state at a place. */
  prediction(place) {
    return logProbabilities(this.#logits(place));
  }

  /** Return the value of a unit after the id at a place. `what` is "h" or "cell". */
  value(place, what, layer, unit) {
    return this.states[place][what][layer * this.network.H + unit];
  }

  #logits(place) {
    return this.network.logits(this.states[place].h, this.ids, this.before + place + 1);
  }

  /** Read the next id of the prompt. */
  #readPrompt() {
    const id = this.unread.shift();
    const place = this.states.length;
    const nats = place ? -this.prediction(place - 1)[id] : null;
    const found = this.#read(id, nats, place < this.first);
    if (!this.unread.length) {
      // An incomplete character at the end of the prompt is left out.
      this.decode = this.vocabulary.decoder();
      this.nats = 0;
    }
    return found;
  }

  /** Read an id with this surprise (null if it was not predicted), and return the characters that it completes. */
  #read(id, nats, hidden = false) {
    const place = this.states.length;
    this.network.read(id, this.ids.at(-1) ?? -1, this.state);
    this.ids.push(id);
    this.states.push({ h: this.state.h.slice(), cell: this.state.cell?.slice() });
    if (hidden) return [];
    const completed = [...this.decode(id)];
    const before = this.nats;
    const total = nats === null || before === null ? null : before + nats;
    this.nats = completed.length ? 0 : total;
    if (completed.length === 1) return [{ text: completed[0], nats: total, place }];
    // A byte that does not continue a character completes that character as U+FFFD, and then its own.
    return completed.map((text, n) => ({ text, nats: n ? nats : before, place }));
  }

  /** Remove characters with `units` units of UTF-16 from those that wait, and return them. */
  #take(units) {
    const found = [];
    for (let left = units; left > 0; left -= found.at(-1).text.length) found.push(this.waiting.shift());
    return found;
  }
}
