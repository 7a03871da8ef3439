// Reads the model in the HTML file: a description in JSON and the bytes of the tensors (docs/spec/formats.md: HTML files).

const PART = 2 ** 20; // characters of base64 that are decoded at a time, a multiple of 4
const TYPES = { U8: Uint8Array, U16: Uint16Array, U32: Uint32Array, I32: Int32Array, F16: Uint16Array, F32: Float32Array };

/** Return the bytes of a base64 text. */
function bytesOf(base64) {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  const found = new Uint8Array((base64.length / 4) * 3 - padding);
  for (let start = 0, n = 0; start < base64.length; start += PART) {
    const part = atob(base64.slice(start, start + PART));
    for (let i = 0; i < part.length; i += 1, n += 1) found[n] = part.charCodeAt(i);
  }
  return found;
}

/** Return bytes that zlib compressed. `parts` has the compressed bytes as consecutive arrays. */
async function inflated(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return the number of each pattern of 16 bits in the format float16. */
function halfTable() {
  const table = new Float32Array(2 ** 16);
  for (let bits = 0; bits < table.length; bits += 1) {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    table[bits] = bits >> 15 ? -size : size;
  }
  return table;
}

/** Return the tensors by name, as typed arrays. `list` has the name, the type and the number of entries of each. */
function tensorsOf(bytes, list) {
  const halves = halfTable();
  const found = {};
  let offset = 0;
  for (const [name, type, size] of list) {
    const Type = TYPES[type];
    const end = offset + size * Type.BYTES_PER_ELEMENT;
    const array = new Type(bytes.slice(offset, end).buffer);
    found[name] = type === "F16" ? Float32Array.from(array, (bits) => halves[bits]) : array;
    offset = end;
  }
  return found;
}

/** Return the sum of a property of some objects. */
const sumOf = (objects, name) => objects.reduce((sum, object) => sum + object[name], 0);

/**
 * Return the description and the tensors of the model, and the bytes of memory that reading it took at most.
 *
 * @param {string} json the description.
 * @param {string[]} texts the compressed tensors in base64, in consecutive parts, because browsers limit the length of a string.
 */
export async function readModel(json, texts) {
  const about = JSON.parse(json);
  const parts = texts.map((text) => bytesOf(text.trim()));
  const bytes = await inflated(parts);
  const tensors = tensorsOf(bytes, about.tensors);
  const memory = sumOf(texts, "length") + sumOf(parts, "length") + bytes.length + sumOf(Object.values(tensors), "byteLength");
  return { about, tensors, memory };
}
