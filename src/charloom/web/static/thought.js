// Shows what a model expected at a character: how surprising it was, and the five likeliest to come next.
import { el, fixed, visible } from "./dom.js";

/** A probability for people. */
export const percent = (p) => (p >= 0.9995 ? ">99.9 %" : p < 0.0005 ? "<0.1 %" : `${(100 * p).toFixed(1)} %`);

/** Show nothing but a sentence. */
export function nothing(box, sentence) {
  box.replaceChildren(el("p", { class: "aside none" }, sentence));
}

/** Show a character, its surprise in nats, what could follow it, and mark what did. */
export function thought(box, { character, nats, likely, came }) {
  const bits = nats === null || nats === undefined ? null : nats / Math.LN2;
  const told = bits === null
    ? "the first character: the model does not predict it"
    : `${fixed(bits, 2)} bits of surprise: its probability was ${percent(Math.exp(-nats)).replace(" ", "\u00a0")}`;
  box.replaceChildren(
    el("div", {}, el("div", { class: "letter" }, visible(character)), el("p", { class: "aside" }, told)),
    el(
      "ol",
      { "aria-label": "Most likely next characters" },
      likely.map(([symbol, p]) => {
        const bar = el("span", { class: "share" });
        bar.style.width = `${Math.max(0.4, 100 * p)}%`;
        const came_ = symbol === came;
        return el(
          "li",
          { class: came_ ? "came" : "" },
          el("b", {}, visible(symbol)),
          el("span", { "aria-hidden": "true" }, bar),
          el("span", { class: "number" }, percent(p), came_ ? el("span", { class: "unseen" }, ", the actual next character") : null),
        );
      }),
    ),
  );
}

/** The same in one sentence, for those who listen. */
export function spoken({ character, nats, likely }) {
  const next = likely.map(([symbol, p]) => `${visible(symbol)} ${percent(p)}`).join(", ");
  const cost = nats === null ? "" : `${fixed(nats / Math.LN2, 1)} bits. `;
  return `${visible(character)}. ${cost}Next: ${next}`;
}
