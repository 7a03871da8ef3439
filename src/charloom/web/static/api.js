// The server as the page asks it: answers, refusals that say how to mend them, streams of events.
// It knows no element of the page.

/** A refusal of the server, or that none answered; `message` is for people. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.param = error.param ?? null;
    this.code = error.code ?? null;
    this.characters = error.characters ?? null;
  }
}

/** Runs that a page can follow at once, as the server has it. */
export const MOST_FOLLOWED = 8;

const GONE = "The server does not answer. Start it again with: charloom serve";

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { message: GONE });
  }
  if (answer.ok) return answer;
  let told = null;
  try {
    told = (await answer.json()).error;
  } catch {
    // Not ours: the sentence below says what is known.
  }
  let message = told?.message ?? `The server answered ${answer.status}; try again.`;
  // How else a program could ask is nothing that a page can do.
  if (told?.code === "unknown_characters") message = message.replace(/ Leave them out, or .*/, " Leave them out.");
  const wait = answer.headers.get("retry-after");
  const again = wait && answer.status !== 422 ? ` Try again in ${wait} s.` : "";
  throw new Refusal(answer.status, { ...told, message: message + again });
}

const body = (value, signal) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
  signal,
});

/** The answer to a question, of a path whose parts are put in safely: get`/api/runs/${key}`. */
export async function get(parts, ...values) {
  return (await ask(path(parts, ...values))).json();
}

/** A path with its parts put in safely, as in path`/api/runs/${key}`. */
export function path(parts, ...values) {
  return String.raw({ raw: parts }, ...values.map(encodeURIComponent));
}

/** The answer to something that is sent. */
export async function post(where, value, signal) {
  return (await ask(where, body(value, signal))).json();
}

/** The events of an answer as they come: pairs of name and data. */
export async function* events(where, value, signal) {
  const answer = await ask(where, body(value, signal));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { done, value: piece } = await reader.read();
      if (done) return;
      held += piece;
      const blocks = held.split("\n\n");
      held = blocks.pop();
      for (const block of blocks) {
        const name = /^event: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (name && data) yield [name, JSON.parse(data)];
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * The list of runs, and the journals of those that are followed, as they change.
 *
 * Whoever wants to know of `runs`, `records`, `samples` or `events`, of `answering` (whether the server
 * does) or `crowded` (whether it refuses the stream, though it answers) calls `on`.
 */
export class Live {
  #source = null;
  #timer = null;
  #followed = [];
  #listeners = {};
  #last = {};
  #wishes = new Map();
  #refused = 0; // times in a row that no stream came

  constructor() {
    // A browser has six connections to a server, for all its tabs together: who is not seen gives up his.
    document.addEventListener("visibilitychange", () => this.open());
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
    const before = this.#followed.join();
    this.#wish();
    if (this.#followed.join() !== before || !this.#source) this.open();
  }

  #wish() {
    this.#followed = [...new Set([...this.#wishes.values()].flat())].sort().slice(0, MOST_FOLLOWED);
  }

  /** Begin, or begin again, where someone looks. */
  open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    if (document.hidden) return;
    const source = new EventSource(`/api/stream?${new URLSearchParams(this.#followed.map((key) => ["run", key]))}`);
    this.#source = source;
    for (const name of ["runs", "records", "samples", "events"]) {
      source.addEventListener(name, (event) => {
        this.#refused = 0;
        this.#know("answering", true);
        this.#know("crowded", false);
        this.#tell(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      source.close();
      if (source === this.#source) this.#lost(source);
    });
  }

  /** No stream: because nobody answers, because a run that was followed is gone, or because too many watch. */
  async #lost(source) {
    let runs = null;
    let answers = true;
    try {
      ({ runs } = await get`/api/runs`);
    } catch (error) {
      answers = error.status !== 0;
    }
    if (source !== this.#source) return;
    this.#refused += 1;
    this.#know("answering", answers);
    this.#know("crowded", answers && this.#refused > 1);
    if (runs) {
      const there = new Set(runs.map((run) => run.key));
      for (const [who, keys] of this.#wishes) this.#wishes.set(who, keys.filter((key) => there.has(key)));
      this.#wish();
      this.#tell("runs", { runs });
    }
    if (source === this.#source) this.#timer = setTimeout(() => this.open(), 1000);
  }

  /** Tell something that holds until it is told otherwise. */
  #know(name, data) {
    if (this.#last[name] !== data) this.#tell(name, data);
  }

  #tell(name, data) {
    if (name === "runs" || name === "answering" || name === "crowded") this.#last[name] = data;
    for (const listener of this.#listeners[name] ?? []) listener(data);
  }
}
