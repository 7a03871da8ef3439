// A select whose options change: while it may be open, new options wait until it is left. What the options are
// is its owner's.
import { el } from "./dom.js";

/** An option that cannot be chosen, and says what is not in the list. */
export function rest(text) {
  return el("option", { value: "", disabled: true }, text);
}

/** The options of a select; what is chosen stays chosen, and where it is gone, the first one is. */
export class Choices {
  constructor(select) {
    this.select = select;
    this.held = false;
    // What opens a select is a press of the mouse or of a key; whether it is open, few browsers tell.
    for (const name of ["pointerdown", "keydown"]) select.addEventListener(name, () => (this.held = true));
    for (const name of ["change", "blur"]) select.addEventListener(name, () => this.#left());
  }

  /** Have other options; `chosen` is chosen, where it is given even if the select is open. */
  show(options, chosen = null) {
    this.waiting = options;
    if (chosen !== null || !this.held) this.#draw(chosen ?? this.select.value);
  }

  #left() {
    this.held = false;
    if (this.waiting) this.#draw(this.select.value);
  }

  #draw(chosen) {
    const options = this.waiting;
    this.waiting = null;
    const stamp = options.map((option) => option.outerHTML).join("");
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      this.select.replaceChildren(...options);
    }
    const there = [...this.select.options].some((option) => !option.disabled && option.value === chosen);
    if (there) this.select.value = chosen;
    else this.select.selectedIndex = 0;
  }
}
