// A select element whose options change. While the select may be open, new options are not shown until the user leaves
// it. The caller makes the options.
import { el } from "./dom.js";

/** Return a disabled option whose text says how many options are missing from the list. */
export function rest(text) {
  return el("option", { value: "", disabled: true }, text);
}

/** The options of a select element. The selected option stays selected; if it disappears, the first one is selected. */
export class Choices {
  constructor(select) {
    this.select = select;
    this.held = false;
    // Few browsers report whether a select is open. The mouse or a key may have opened it.
    for (const name of ["pointerdown", "keydown"]) select.addEventListener(name, () => (this.held = true));
    for (const name of ["change", "blur"]) select.addEventListener(name, () => this.#left());
  }

  /** Replace the options. If `chosen` is given, select it, even if the select is open. */
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
