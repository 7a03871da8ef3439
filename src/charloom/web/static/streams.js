// Holds the event streams for all windows of a browser in a few connections. This module usually runs in a shared
// worker, so it uses no element of the page. If the browser has no shared workers, it runs in the page.
import { get } from "./api.js";

const MOST_STREAMS = 3; // a browser opens six connections to a server, and the windows need some for requests
const AGAIN = 1000; // milliseconds until the next attempt after a stream failed

/** The streams for all windows. Each window subscribes to the list of runs and to the journals of some runs. */
export class Streams {
  #emit;
  #subscriptions = new Map(); // by visible window, its subscription: {keys, limit, most}
  #most = 1; // runs that one stream can follow
  #sources = [];
  #opened = ""; // the keys and the limit of the open sources
  #gone = new Set(); // keys of requested runs that do not exist
  #refused = 0; // failed attempts in a row
  #timer = null;

  /** @param {function} emit is called with a window, the name of an event and its data. */
  constructor(emit) {
    this.#emit = emit;
  }

  /**
   * Set which events a window receives. If `subscription` is null, the window receives no events.
   *
   * The subscription has three values. `keys` are the keys of the runs whose records, samples and events the window
   * receives. `limit` is how many runs at the top of the list it receives. `most` is how many runs the server allows for
   * one stream.
   */
  subscribe(window, subscription) {
    if (subscription === null) this.#subscriptions.delete(window);
    else {
      this.#subscriptions.set(window, subscription);
      this.#most = subscription.most;
    }
    for (const key of subscription?.keys ?? []) this.#gone.delete(key);
    // Open the streams again even if they follow the same runs, because a new window needs all events from the beginning.
    if (subscription !== null || this.#of() !== this.#opened) this.#open();
  }

  /** Return the keys of the runs whose events at least one window receives. */
  get #keys() {
    const requested = [...this.#subscriptions.values()].flatMap(({ keys }) => keys);
    const there = [...new Set(requested)].filter((key) => !this.#gone.has(key)).sort();
    return there.slice(0, MOST_STREAMS * this.#most);
  }

  get #limit() {
    return Math.max(0, ...[...this.#subscriptions.values()].map(({ limit }) => limit));
  }

  #of() {
    return JSON.stringify([this.#keys, this.#limit]);
  }

  #close() {
    clearTimeout(this.#timer);
    for (const source of this.#sources) source.close();
    this.#sources = [];
    this.#opened = "";
  }

  #open() {
    this.#close();
    if (!this.#subscriptions.size) return;
    this.#opened = this.#of();
    const keys = this.#keys;
    // The first stream also sends the list of runs.
    for (let start = 0; start === 0 || start < keys.length; start += this.#most) {
      const asked = keys.slice(start, start + this.#most).map((key) => ["run", key]);
      this.#listen(new URLSearchParams([["limit", start ? 0 : this.#limit], ...asked]));
    }
  }

  #listen(query) {
    const source = new EventSource(`/api/stream?${query}`);
    this.#sources.push(source);
    for (const name of ["runs", "records", "samples", "events"]) {
      source.addEventListener(name, (event) => {
        this.#refused = 0;
        const data = JSON.parse(event.data);
        this.#all("answering", true);
        this.#all("crowded", false);
        if (name === "runs") this.#all(name, data);
        else this.#followers(name, data);
      });
    }
    source.addEventListener("error", () => {
      if (this.#sources.includes(source)) this.#lost();
    });
  }

  #all(name, data) {
    for (const window of this.#subscriptions.keys()) this.#emit(window, name, data);
  }

  #followers(name, data) {
    for (const [window, { keys }] of this.#subscriptions) if (keys.includes(data.run)) this.#emit(window, name, data);
  }

  /**
   * After a stream failed, find the cause: the server does not answer, a run no longer exists, or too many streams are
   * open. Send the cause to the windows, and open the streams again after a moment.
   */
  async #lost() {
    const keys = this.#keys;
    const limit = this.#limit;
    this.#close();
    const lost = (this.#timer = setTimeout(() => this.#open(), 30 * AGAIN));
    let list = null;
    let answers = true;
    try {
      list = await get`/api/runs?limit=${Math.max(1, limit)}`;
      for (const key of keys) await get`/api/runs/${key}`.catch((error) => error.status === 404 && this.#gone.add(key));
    } catch (error) {
      answers = error.status !== 0;
    }
    if (this.#timer !== lost) return; // a subscription has changed meanwhile
    this.#refused += 1;
    this.#all("answering", answers);
    this.#all("crowded", answers && this.#refused > 1);
    if (list) this.#all("runs", { ...list, gone: [], fresh: true });
    clearTimeout(lost);
    this.#timer = setTimeout(() => this.#open(), AGAIN);
  }
}
