// Turns values into steps of colour: surprise, and a unit's value from its lowest to its highest. The colours
// themselves are in style.css, which knows light and dark.

/** Steps to each side of nothing. */
export const STEPS = 8;

/** The step, 0 … 8, of a surprise in nats: a bit and less is none, twelve bits and more all. */
export function surpriseStep(nats) {
  if (nats === null || nats === undefined) return 0;
  const bits = nats / Math.LN2;
  return Math.max(0, Math.min(STEPS, Math.round(((bits - 1) / 11) * STEPS)));
}

/** The step, -8 … 8, of a value between bounds whose middle is nothing. */
export function valueStep(value, low, high) {
  const middle = (low + high) / 2;
  const share = (value - middle) / Math.max((high - low) / 2, 1e-12);
  return Math.max(-STEPS, Math.min(STEPS, Math.round(share * STEPS)));
}

/** A colour of the page as red, green and blue, whichever of light and dark is shown. */
export function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Its three numbers, 0 … 255. */
export const rgb = (name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number);

/** A table of 256 colours from low over nothing to high, four bytes each, for a canvas. */
export function valueTable() {
  const [low, none, high] = [rgb("low"), rgb("paper"), rgb("high")];
  const table = new Uint8ClampedArray(256 * 4);
  for (let n = 0; n < 256; n += 1) {
    const share = Math.abs(n - 127.5) / 127.5;
    const end = n < 127.5 ? low : high;
    for (let part = 0; part < 3; part += 1) {
      table[4 * n + part] = none[part] + (end[part] - none[part]) * share;
    }
    table[4 * n + 3] = 255;
  }
  return table;
}
