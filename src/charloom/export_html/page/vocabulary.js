// The characters or bytes of a model: turns a text into ids, and ids into the characters that they complete.

/** The vocabulary. `values` are the code points or the bytes, in the order of their ids. */
export class Vocabulary {
  constructor(values, tokens) {
    this.values = values;
    this.bytes = tokens === "bytes";
    this.ids = new Map(values.map((value, id) => [value, id]));
  }

  /** Return the ids of a text, and its characters or bytes that are not in the vocabulary, each once. */
  encode(text) {
    const values = this.bytes ? [...new TextEncoder().encode(text)] : Array.from(text, (character) => character.codePointAt(0));
    const unknown = new Set(values.filter((value) => !this.ids.has(value)));
    const known = values.filter((value) => this.ids.has(value));
    return { ids: known.map((value) => this.ids.get(value)), unknown: [...unknown].map((value) => this.nameOf(value)) };
  }

  /** Return a name for an id: the character, or for a byte that is not ASCII its number. */
  name(id) {
    return this.nameOf(this.values[id]);
  }

  /** Return the name of a code point or byte. */
  nameOf(value) {
    return this.bytes && value > 126 ? `0x${value.toString(16)}` : String.fromCodePoint(value);
  }

  /** Return a function that returns the text that each next id completes, which may be empty. */
  decoder() {
    if (!this.bytes) return (id) => String.fromCodePoint(this.values[id]);
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return (id) => utf8.decode(Uint8Array.of(this.values[id]), { stream: true });
  }
}
