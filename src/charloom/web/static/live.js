// What one window hears from the server: the list of runs, and the journals of the runs that it follows. A
// shared worker holds the connections for all windows; where there is none, the window has its own.
import { get, MOST_FOLLOWED } from "./api.js";
import { Streams } from "./streams.js";

const FIRST = 200; // runs of the list that a window begins with, and that it asks for at once
const MOST_LIVE = 1000; // runs at the head of the list that are told as they change
const STATES = ["answering", "crowded", "runs"]; // events that hold until the next one

/** Runs in the order of the list: those that changed last first. */
const inOrder = (a, b) => b.changed - a.changed || (a.key < b.key ? -1 : 1);

/**
 * The list of runs, and the journals of those that are followed, as they change.
 *
 * Whoever wants to know of `runs` (those that are known, with `total` and `unread`), `records`, `samples`
 * or `events`, of `answering` (whether the server does) or `crowded` (whether it refuses the stream, though
 * it answers) calls `on`.
 */
export class Live {
  #followed = [];
  #listeners = {};
  #last = {};
  #wishes = new Map();
  #wished = null; // what was wished for last, in one string; null before anything was
  #runs = new Map(); // those that are known, by key
  #counts = { total: 0, unread: 0 };
  #send;

  constructor() {
    this.#send = connect((name, data) => this.#hear(name, data));
    // Who is not seen needs no stream.
    document.addEventListener("visibilitychange", () => this.#wish());
    addEventListener("pagehide", () => this.#send(null));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#wish());
  }

  /** The keys of the runs whose journals come. */
  get followed() {
    return this.#followed;
  }

  /** Call `listener` with each event of a name, and with the last one now. */
  on(name, listener) {
    (this.#listeners[name] ??= []).push(listener);
    if (name in this.#last) listener(this.#last[name]);
  }

  /** Let `who` follow the journals of some runs from now on; with none, of no run. */
  follow(who, keys) {
    if (keys.length) this.#wishes.set(who, keys);
    else this.#wishes.delete(who);
    this.#followed = [...new Set([...this.#wishes.values()].flat())].sort().slice(0, MOST_FOLLOWED);
    const now = this.#followed.join();
    if (now === this.#wished) return;
    this.#wished = now;
    this.#wish();
  }

  /** Ask for the runs that come after those that are known; whether there were any. */
  async more() {
    const before = this.#runs.size;
    const page = await this.#after([...this.#runs.values()].sort(inOrder));
    // Runs that the server read meanwhile may belong before the last one that was known.
    if (!page.next && this.#runs.size < page.total - page.unread) await this.#all();
    this.#list(page);
    return this.#runs.size > before;
  }

  /** The page after the last of some runs. */
  async #after(known) {
    for (; known.length; known.pop()) {
      try {
        return this.#keep(await get`/api/runs?limit=${FIRST}&after=${known.at(-1).key}`);
      } catch (error) {
        if (error.status !== 404) throw error; // it is gone: the one before it says where to go on
        this.#runs.delete(known.at(-1).key);
      }
    }
    return this.#keep(await get`/api/runs?limit=${FIRST}`);
  }

  /** Every page of the list. */
  async #all() {
    let page = this.#keep(await get`/api/runs?limit=${MOST_LIVE}`);
    while (page.next) page = this.#keep(await get`/api/runs?limit=${MOST_LIVE}&after=${page.next}`);
  }

  #keep(page) {
    for (const run of page.runs) this.#runs.set(run.key, run);
    return page;
  }

  #wish() {
    if (this.#wished === null) return; // nobody has asked for anything yet
    const limit = Math.min(MOST_LIVE, Math.max(FIRST, this.#runs.size));
    this.#send(document.hidden ? null : { keys: this.#followed, limit });
  }

  #hear(name, data) {
    if (name === "runs") this.#news(data);
    else if (!STATES.includes(name) || this.#last[name] !== data) this.#tell(name, data);
  }

  /** What is new in the list; where it comes afresh, what is not in it and would be is gone. */
  #news({ runs, gone, fresh, total, unread }) {
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
    this.#tell("runs", { runs: [...this.#runs.values()].sort(inOrder), ...this.#counts });
  }

  #tell(name, data) {
    if (STATES.includes(name)) this.#last[name] = data;
    for (const listener of this.#listeners[name] ?? []) listener(data);
  }
}

/** Connect a window to the streams: what sends its wishes. */
function connect(hear) {
  if (!("SharedWorker" in globalThis)) return alone(hear);
  let last = null;
  const worker = new SharedWorker("/static/worker.js", { type: "module", name: "charloom" });
  let send = (wish) => worker.port.postMessage(wish);
  worker.port.addEventListener("message", ({ data: [name, data] }) => hear(name, data));
  worker.port.start();
  // Some browsers have shared workers, but not of modules: there the window helps itself.
  worker.addEventListener("error", () => {
    send = alone(hear);
    send(last);
  });
  return (wish) => {
    last = wish;
    send(wish);
  };
}

/** Streams of a window's own. */
function alone(hear) {
  const streams = new Streams((_, name, data) => hear(name, data));
  return (wish) => streams.wish(0, wish);
}
