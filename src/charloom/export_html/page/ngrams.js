// Looks up the n-grams of a model (spec/mathematics.md: N-grams).

const LEAST_PROBABILITY = 1e-30;

/** Return where each group begins if groups of these sizes follow one another from index `first` on. */
function offsets(counts, first) {
  const found = new Uint32Array(counts.length + 1);
  found[0] = first;
  for (let n = 0; n < counts.length; n += 1) found[n + 1] = found[n] + counts[n];
  return found;
}

/**
 * The n-grams of a model. `tensors` are those of a model file, by name without "ngrams/"; `order` is N, `size` is K.
 */
export class NGrams {
  constructor(tensors, order, size) {
    this.order = order;
    this.children = offsets(tensors.child_counts, 1);
    this.followers = offsets(tensors.follower_counts, 0);
    this.childIds = tensors.child_ids;
    this.followerIds = tensors.follower_ids;
    this.factors = tensors.factors;
    this.shares = tensors.shares;
    this.q = new Float32Array(size);
  }

  /**
   * Write the logarithms of the probabilities of all characters into `result`. The context is the end of the list `ids`
   * before the index `end`; the ids before the first character are -1.
   */
  logarithms(ids, end, result) {
    const { q, factors, shares, followers, followerIds } = this;
    q.fill(1 / q.length);
    let node = 0;
    for (let length = 0; node >= 0; length += 1) {
      const factor = factors[node];
      for (let k = 0; k < q.length; k += 1) q[k] *= factor;
      for (let n = followers[node]; n < followers[node + 1]; n += 1) q[followerIds[n]] += shares[n];
      node = length + 1 < this.order && end > length ? this.#child(node, ids[end - 1 - length]) : -1;
    }
    for (let k = 0; k < q.length; k += 1) result[k] = Math.log(Math.max(q[k], LEAST_PROBABILITY));
  }

  /** Return the context with one more character before it; -1 if there is none. */
  #child(node, id) {
    let [low, high] = [this.children[node], this.children[node + 1]];
    const end = high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.childIds[middle] < id) low = middle + 1;
      else high = middle;
    }
    return low < end && this.childIds[low] === id ? low : -1;
  }
}
