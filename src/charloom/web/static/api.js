// Sends requests to the server and reads its responses, errors and event streams. It uses no element of the
// page.

/**
 * The error of a failed request. Its status is 0 if no response arrived. `message` is for the user. `param` is the wrong
 * field of the request, such as settings.layers, or null.
 */
class RequestError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code ?? null;
    this.param = error.param ?? null;
  }
}

const GONE = "The server does not answer. Start it again with: charloom serve";

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(0, { message: GONE });
  }
  if (answer.ok) return answer;
  let details = null;
  try {
    details = (await answer.json()).error;
  } catch {
    // The body is not JSON, so the response is not from charloom's server. The message below has the status.
  }
  const message = details?.message ?? `The server answered with status ${answer.status}. Try again.`;
  const wait = answer.headers.get("retry-after");
  const again = wait && answer.status !== 422 ? ` Try again in ${wait} s.` : "";
  throw new RequestError(answer.status, { ...details, message: message + again });
}

const body = (value, signal) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
  signal,
});

/** Send a GET request and return the JSON of its response. Values in the path are encoded: get`/api/runs/${key}`. */
export async function get(parts, ...values) {
  return (await ask(path(parts, ...values))).json();
}

/** Return a path, for example path`/api/runs/${key}`. The values in it are encoded. */
export function path(parts, ...values) {
  return String.raw({ raw: parts }, ...values.map(encodeURIComponent));
}

/** Send a GET request and return the file of the response, as a Blob with its name. */
export async function download(where) {
  const answer = await ask(where);
  const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1];
  return [await answer.blob(), name];
}

/** Send a POST request with a JSON body and return the JSON of the response. */
export async function post(where, value, signal) {
  return (await ask(where, body(value, signal))).json();
}

/** Send a POST request with the bytes of a file and return the JSON of the response. */
export async function upload(where, query, file) {
  const headers = { "content-type": "application/octet-stream" };
  return (await ask(`${where}?${new URLSearchParams(query)}`, { method: "POST", headers, body: file })).json();
}

/** Send a POST request and yield the server-sent events of the response, as pairs of name and data. */
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
