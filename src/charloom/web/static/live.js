// Receives the list of runs, and the records, samples and events of some runs, for one window. A shared worker holds the
// connections of all windows. In a browser without shared workers, each window has its own connections.
import { get } from "./api.js";
import { Streams } from "./streams.js";

const FIRST = 200; // runs in the first list of a window, and in each later page
const MOST_LIVE = 1000; // runs at the top of the list that are updated live
const STATES = ["answering", "crowded", "runs"]; // events whose last value is sent to new listeners

/** Compare two runs for sorting: the run that changed last is the first of the list. */
const inOrder = (a, b) => b.changed - a.changed || (a.key < b.key ? -1 : 1);

/**
 * The list of runs, and the records, samples and events of the runs that a part of the page follows, all live.
 *
 * `on` adds a listener for an event: `runs` (the known runs, with `total` and `unread`), `records`, `samples`,
 * `events`, `answering` (whether the server answers), or `crowded` (whether the server refuses the stream
 * although it answers).
 */
export class Live {
  /** How many runs one event stream can follow. Until the server has sent this limit, it is null and no stream is open. */
  mostFollowed = null;
  #followed = [];
  #listeners = {};
  #last = {};
  #parts = new Map();
  #followedBefore = null; // the followed keys of the last subscription in one string; null before the first subscription
  #runs = new Map(); // the known runs by key
  #counts = { total: 0, unread: 0 };
  #send;

  constructor() {
    this.#send = connect((name, data) => this.#receive(name, data));
    // A hidden window receives no events. When it becomes visible again, it subscribes again.
    document.addEventListener("visibilitychange", () => this.#subscribe());
    addEventListener("pagehide", () => this.#send(null));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#subscribe());
  }

  /** Return the keys of the followed runs. */
  get followed() {
    return this.#followed;
  }

  /** Call `listener` with each event named `name`. If the last such event is stored (`STATES`), also call it now. */
  on(name, listener) {
    (this.#listeners[name] ??= []).push(listener);
    if (name in this.#last) listener(this.#last[name]);
  }

  /** Open the event stream; `most` is how many runs one stream can follow. */
  open(most) {
    this.mostFollowed = most;
    this.#follow();
  }

  /** Set whose records, samples and events a part of the page receives: the runs with these keys, or none. */
  follow(part, keys) {
    if (keys.length) this.#parts.set(part, keys);
    else this.#parts.delete(part);
    if (this.mostFollowed !== null) this.#follow();
  }

  #follow() {
    this.#followed = [...new Set([...this.#parts.values()].flat())].sort().slice(0, this.mostFollowed);
    const now = this.#followed.join();
    if (now === this.#followedBefore) return;
    this.#followedBefore = now;
    this.#subscribe();
  }

  /** Request the next runs of the list. Return true if there were any. */
  async more() {
    const before = this.#runs.size;
    const page = await this.#after([...this.#runs.values()].sort(inOrder));
    // The server may have read more runs since the earlier pages. Some belong on these pages, so request all pages again.
    if (!page.next && this.#runs.size < page.total - page.unread) await this.#all();
    this.#list(page);
    return this.#runs.size > before;
  }

  /** Request the page of the list after the last run in `known`. */
  async #after(known) {
    for (; known.length; known.pop()) {
      try {
        return this.#keep(await get`/api/runs?limit=${FIRST}&after=${known.at(-1).key}`);
      } catch (error) {
        if (error.status !== 404) throw error; // this run was removed: continue after the one before it
        this.#runs.delete(known.at(-1).key);
      }
    }
    return this.#keep(await get`/api/runs?limit=${FIRST}`);
  }

  /** Request every page of the list. */
  async #all() {
    let page = this.#keep(await get`/api/runs?limit=${MOST_LIVE}`);
    while (page.next) page = this.#keep(await get`/api/runs?limit=${MOST_LIVE}&after=${page.next}`);
  }

  #keep(page) {
    for (const run of page.runs) this.#runs.set(run.key, run);
    return page;
  }

  #subscribe() {
    if (this.#followedBefore === null || this.mostFollowed === null) return;
    const limit = Math.min(MOST_LIVE, Math.max(FIRST, this.#runs.size));
    this.#send(document.hidden ? null : { keys: this.#followed, limit, most: this.mostFollowed });
  }

  #receive(name, data) {
    if (name === "runs") this.#applyChanges(data);
    else if (!STATES.includes(name) || this.#last[name] !== data) this.#emit(name, data);
  }

  /**
   * Apply an event with changes of the list. If `fresh` is true, the event has all runs at the beginning of the list. Then
   * also remove the known runs that would be among them but are not in the event.
   */
  #applyChanges({ runs, gone, fresh, total, unread }) {
    if (fresh) {
      const end = runs.length < total && runs.at(-1);
      for (const run of this.#runs.values()) if (!end || inOrder(run, end) < 0) this.#runs.delete(run.key);
    }
    for (const key of gone) this.#runs.delete(key);
    for (const run of runs) this.#runs.set(run.key, run);
    this.#list({ total, unread });
  }

  #list({ total, unread }) {
    this.#counts = { total: Math.max(total, this.#runs.size), unread };
    this.#emit("runs", { runs: [...this.#runs.values()].sort(inOrder), ...this.#counts });
  }

  #emit(name, data) {
    if (STATES.includes(name)) this.#last[name] = data;
    for (const listener of this.#listeners[name] ?? []) listener(data);
  }
}

/** Connect this window to the streams of all windows. Return a function that sends the window's subscription. */
function connect(receive) {
  if (!("SharedWorker" in globalThis)) return alone(receive);
  let last = null;
  const worker = new SharedWorker("/static/worker.js", { type: "module", name: "charloom" });
  let send = (subscription) => worker.port.postMessage(subscription);
  worker.port.addEventListener("message", ({ data: [name, data] }) => receive(name, data));
  worker.port.start();
  // Some browsers cannot run a module in a shared worker. There, the window has its own streams.
  worker.addEventListener("error", () => {
    send = alone(receive);
    send(last);
  });
  return (subscription) => {
    last = subscription;
    send(subscription);
  };
}

/** Use streams for this window only. Return a function that sends the window's subscription. */
function alone(receive) {
  const streams = new Streams((_, name, data) => receive(name, data));
  return (subscription) => streams.subscribe(0, subscription);
}
