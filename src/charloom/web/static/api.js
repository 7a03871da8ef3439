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
  const message = told?.message ?? `The server answered ${answer.status}; try again.`;
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
 * Whoever wants to know of `runs`, `records`, `samples`, `events` or `answering` calls `on`.
 */
export class Live {
  #source = null;
  #timer = null;
  #followed = "";
  #listeners = {};
  #last = {};
  #wishes = new Map();

  /** Call `listener` with each event of a name, and with the last one now. */
  on(name, listener) {
    (this.#listeners[name] ??= []).push(listener);
    if (name in this.#last) listener(this.#last[name]);
  }

  /** Let `who` follow the journals of some runs from now on; with none, of no run. */
  follow(who, keys) {
    if (keys.length) this.#wishes.set(who, keys);
    else this.#wishes.delete(who);
    const wanted = [...new Set([...this.#wishes.values()].flat())].sort().slice(0, 8).join(" ");
    if (wanted === this.#followed && this.#source) return;
    this.#followed = wanted;
    this.open();
  }

  /** Begin, or begin again. */
  open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const keys = this.#followed ? this.#followed.split(" ") : [];
    const source = new EventSource(`/api/stream?${keys.map((key) => `run=${encodeURIComponent(key)}`).join("&")}`);
    this.#source = source;
    for (const name of ["runs", "records", "samples", "events"]) {
      source.addEventListener(name, (event) => {
        this.#tell("answering", true);
        this.#tell(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      this.#tell("answering", false);
      // A run that is gone makes the whole stream refused: go on with the list alone.
      source.close();
      this.#timer = setTimeout(() => this.#again(), 1000);
    });
  }

  async #again() {
    try {
      const { runs } = await get`/api/runs`;
      const there = new Set(runs.map((run) => run.key));
      for (const [who, keys] of this.#wishes) this.#wishes.set(who, keys.filter((key) => there.has(key)));
      this.#followed = [...new Set([...this.#wishes.values()].flat())].sort().slice(0, 8).join(" ");
    } catch {
      // Still no answer: the stream will fail, and be tried again.
    }
    this.open();
  }

  #tell(name, data) {
    if (name === "answering" && this.#last.answering === data) return;
    if (name === "runs" || name === "answering") this.#last[name] = data;
    for (const listener of this.#listeners[name] ?? []) listener(data);
  }
}
