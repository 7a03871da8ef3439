// Asks the server: reads its answers, its refusals with their repair, and its event streams. It knows no
// element of the page.

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
  let message = told?.message ?? `The server answered with status ${answer.status}. Try again.`;
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
