// Finds the strings that end a text (spec/mathematics.md: Sampling).

/** Return where in `text` the stop string begins that ends first, the longest if several do; -1 if there is none. */
export function firstStop(text, stops) {
  let [first, end] = [-1, Infinity];
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (at + stop.length < end || (at + stop.length === end && at < first))) [first, end] = [at, at + stop.length];
  }
  return first;
}

/** Return the length of the longest end of `text` that could be the beginning of a stop string. */
export function possibleStop(text, stops) {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length -= 1) {
    if (stops.some((stop) => stop.startsWith(text.slice(-length)))) return length;
  }
  return 0;
}
