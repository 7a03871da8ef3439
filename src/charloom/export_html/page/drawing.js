// Draws one id from the logits (spec/mathematics.md: Sampling).

/** Return the first index of the largest entry. */
const largest = (values) => values.reduce((best, value, n) => (value > values[best] ? n : best), 0);

/**
 * Return one id.
 *
 * @param {Float32Array} logits one logit for each id.
 * @param {{temperature: number, topK: number, topP: number, minP: number}} sampler how the id is drawn.
 * @param {number} uniform a random number from 0 to below 1.
 */
export function draw(logits, sampler, uniform) {
  if (!logits.every(Number.isFinite)) throw new Error("The model cannot write: its logits are not finite.");
  const temperature = Math.fround(sampler.temperature);
  if (temperature === 0) return largest(logits);
  const most = logits[largest(logits)];
  const weight = (logit) => Math.fround(Math.exp(Math.fround(Math.fround(logit - most) / temperature)));
  const weights = Float64Array.from(logits, weight);
  const ids = kept(weights, sampler);
  let total = 0;
  const sums = ids.map((id) => (total += weights[id]));
  const place = sums.findIndex((sum) => sum > uniform * total);
  return ids[place < 0 ? ids.length - 1 : place]; // the product may be rounded up to the total
}

/** Return the ids that may be drawn, ascending. */
function kept(weights, { topK, topP, minP }) {
  let ids = Array.from(weights.keys());
  if (topK || topP < 1) ids.sort((a, b) => weights[b] - weights[a]); // equal ones stay in the order of their ids
  if (topK) ids = ids.slice(0, topK);
  if (topP < 1) ids = shortestBeginning(ids, weights, topP);
  const least = minP * weights.reduce((a, b) => Math.max(a, b));
  return ids.filter((id) => weights[id] >= least).sort((a, b) => a - b);
}

/** Return the shortest beginning of `ids` whose weights have at least the share `p` of the weights of all of them. */
function shortestBeginning(ids, weights, p) {
  const total = ids.reduce((sum, id) => sum + weights[id], 0);
  let sum = 0;
  const end = ids.findIndex((id) => (sum += weights[id]) >= p * total);
  return ids.slice(0, end < 0 ? ids.length : end + 1);
}
