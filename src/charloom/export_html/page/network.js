// A network with its n-grams and pairs: reads one id after another, and computes the logits of the next one
// (spec/mathematics.md: The network, N-grams, Pairs).
import { addProduct, LAYERS } from "./cells.js";
import { NGrams } from "./ngrams.js";

/** Return the transposed matrix with `rows` rows. `M` is stored row by row. */
function transposed(M, rows) {
  const columns = M.length / rows;
  const found = new Float32Array(M.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) found[column * rows + row] = M[row * columns + column];
  }
  return found;
}

/** Return the tensors whose names begin with `prefix`, by the rest of their names. */
function beginningWith(tensors, prefix) {
  const names = Object.keys(tensors).filter((name) => name.startsWith(prefix));
  return Object.fromEntries(names.map((name) => [name.slice(prefix.length), tensors[name]]));
}

/**
 * A network.
 *
 * @param {object} about the description of the model, as the file holds it (docs/spec/formats.md: HTML files).
 * @param {object} tensors the arrays of the model by name.
 */
export class Network {
  constructor(about, tensors) {
    const { cell, layers: L, hidden_size: H, ngram_order: order } = about;
    this.K = about.vocabulary.length;
    Object.assign(this, { L, H, tensors });
    this.parts = Array.from({ length: L }, (_, l) => beginningWith(tensors, `layers.${l}.`));
    this.layers = this.parts.map((part) => new LAYERS[cell](part));
    this.sums = new Float64Array(this.parts[0].b.length);
    this.U = transposed(this.parts[0].U, this.sums.length); // a row is what one character adds to the sums
    this.hasCell = cell === "lstm";
    this.ngrams = order ? new NGrams(beginningWith(tensors, "ngrams/"), order, this.K) : null;
    this.logarithms = new Float32Array(this.K);
    this.output = new Float64Array(this.K);
    const pairs = tensors["pairs/ids"] ?? [];
    this.pairs = new Map();
    for (let row = 0; 2 * row < pairs.length && pairs[2 * row] >= 0; row += 1) {
      this.pairs.set(pairs[2 * row] * this.K + pairs[2 * row + 1], row);
    }
  }

  /**
   * Return a new state: the state in which a text begins, or the zero state. It has the arrays of all layers, one after
   * another, and the ids that the network has read last, -1 for none.
   */
  begin(zero) {
    const { "start/h": h, "start/cell": cell, "start/recent": recent } = zero ? {} : this.tensors;
    const size = this.L * this.H;
    return {
      h: h ? h.slice() : new Float32Array(size),
      cell: this.hasCell ? (cell ? cell.slice() : new Float32Array(size)) : null,
      recent: recent ? [...recent] : [],
    };
  }

  /** Read an id after the id `previous` (-1 for none): replace the arrays of `state` by the next ones. */
  read(id, previous, { h, cell }) {
    const { sums, H } = this;
    for (let l = 0; l < this.L; l += 1) {
      const [first, end] = [l * H, (l + 1) * H];
      const { b, U } = this.parts[l];
      for (let n = 0; n < sums.length; n += 1) sums[n] = b[n];
      if (l === 0) this.#addCharacter(id, previous);
      else addProduct(U, h.subarray(first - H, first), sums);
      this.layers[l].step(sums, h.subarray(first, end), cell?.subarray(first, end));
    }
  }

  /**
   * Return the logits of the next id. `h` is the state of all layers; the ids that were read before are the list `ids`
   * before the index `end`.
   */
  logits(h, ids, end) {
    const { tensors, output, logarithms, K, H } = this;
    const last = h.subarray(h.length - H);
    output.set(tensors.c);
    addProduct(tensors.V, last, output);
    if (this.ngrams) {
      let weight = tensors["ngram.bias"][0];
      for (let n = 0; n < H; n += 1) weight += tensors["ngram.weight"][n] * last[n];
      this.ngrams.logarithms(ids, end, logarithms);
      for (let k = 0; k < K; k += 1) output[k] += weight * logarithms[k];
    }
    return Float32Array.from(output);
  }

  #addCharacter(id, previous) {
    const { sums, U } = this;
    const G = sums.length;
    for (let n = 0; n < G; n += 1) sums[n] += U[id * G + n];
    const row = previous < 0 ? undefined : this.pairs.get(previous * this.K + id);
    if (row === undefined) return;
    const P = this.tensors["pairs.weight"];
    for (let n = 0; n < G; n += 1) sums[n] += P[row * G + n];
  }
}

/** Return the natural logarithms of the probabilities of all ids. */
export function logProbabilities(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
  return Float64Array.from(logits, (logit) => logit - most - Math.log(total));
}
