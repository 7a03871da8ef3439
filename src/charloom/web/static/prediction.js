// Shows a model's prediction at a character: its surprise, and the five most likely next characters.
import { el, fixed, visible } from "./dom.js";

/** Format a probability as a percentage. */
const percent = (p) => (p >= 0.9995 ? ">99.9 %" : p < 0.0005 ? "<0.1 %" : `${(100 * p).toFixed(1)} %`);

const HINT = "Point at a character, tap it, or move to it with the arrow keys, to see its surprise and the five most likely next characters.";

/** Show how to see a prediction, instead of a prediction. */
export function showHint(box) {
  box.replaceChildren(el("p", { class: "aside none" }, HINT));
}

/** Show a character, its surprise and the most likely next characters. Mark the character that follows in the text. */
export function showPrediction(box, { character, nats, likely, next }) {
  const bits = nats === null || nats === undefined ? null : nats / Math.LN2;
  const sentence = bits === null
    ? "the first character: the model does not predict it"
    : `${fixed(bits, 2)} bits of surprise: its probability was ${percent(Math.exp(-nats)).replace(" ", "\u00a0")}`;
  box.replaceChildren(
    el("div", {}, el("h3", {}, "This character"), el("div", { class: "letter" }, visible(character)), el("p", { class: "aside" }, sentence)),
    el("div", {}, el("h3", {}, "The next character, as the model predicts it"), el("ol", { "aria-label": "Most likely next characters" }, likely.map((pair) => bar(pair, next)))),
  );
}

/** Return a list item with a character, its probability as a bar and in words, marked if it is `next`. */
function bar([symbol, p], next) {
  const share = el("span", { class: "share" });
  share.style.width = `${Math.max(0.4, 100 * p)}%`;
  const follows = symbol === next;
  return el(
    "li",
    { class: follows ? "next" : "" },
    el("b", {}, visible(symbol)),
    el("span", { "aria-hidden": "true" }, share),
    el("span", { class: "number" }, percent(p), follows ? el("span", { class: "visually-hidden" }, ", the actual next character") : null),
  );
}

/** Return the prediction as one sentence for screen readers. */
export function predictionInWords({ character, nats, likely }) {
  const sentence = likely.map(([symbol, p]) => `${visible(symbol)} ${percent(p)}`).join(", ");
  const cost = nats === null ? "" : `${fixed(nats / Math.LN2, 1)} bits. `;
  return `${visible(character)}. ${cost}Next: ${sentence}`;
}
