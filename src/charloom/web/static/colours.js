// Converts the surprise of a character and the value of a unit to colour steps. A colour step is an integer, for which
// style.css has a colour in the light and in the dark theme.

/** The number of colour steps on each side of zero. */
export const STEPS = 8;

/** Return the step (0 … 8) of a surprise in nats: 0 for up to one bit, 8 for twelve bits and more. */
export function surpriseStep(nats) {
  if (nats === null || nats === undefined) return 0;
  const bits = nats / Math.LN2;
  return Math.max(0, Math.min(STEPS, Math.round(((bits - 1) / 11) * STEPS)));
}

/** Return the step (-8 … 8) of a value between two bounds; their middle has step 0. */
export function valueStep(value, low, high) {
  const middle = (low + high) / 2;
  const share = (value - middle) / Math.max((high - low) / 2, 1e-12);
  return Math.max(-STEPS, Math.min(STEPS, Math.round(share * STEPS)));
}

/** Return a named colour of the current theme as CSS text, rgb(…). */
export function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Return a named colour of the current theme as three numbers from 0 to 255: red, green and blue. */
const rgb = (name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number);

/** Return 256 colours for a canvas, with four bytes each: from the colour of low values to that of high values. */
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
