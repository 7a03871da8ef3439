// Shows what is wrong with a field of a form next to the field.
import { put } from "./dom.js";

/** A message of a form. It stands next to the wrong field, or at its first place if no field is wrong. */
export class FieldProblem {
  /** @param {HTMLElement} box the element of the message, at its first place. */
  constructor(box) {
    this.box = box;
    this.home = document.createComment("");
    box.before(this.home);
    this.inputs = [];
    this.changed = () => this.show("");
  }

  /**
   * Show a message, or remove it if `text` is empty. `inputs` are the wrong fields: the message stands next to the first, which
   * gets the keyboard focus if `focus` is true. It disappears when the user changes one of them.
   */
  show(text, inputs = [], focus = true) {
    for (const input of this.inputs) this.#mark(input, false);
    this.inputs = inputs;
    for (const input of inputs) this.#mark(input, true);
    const [first] = inputs;
    if (first) first.closest("label, .yes-no").after(this.box);
    else this.home.after(this.box);
    put(this.box, text);
    if (!first) return;
    const closed = first.closest("details:not([open])");
    if (closed) closed.open = true;
    if (focus) first.focus();
  }

  #mark(input, wrong) {
    const others = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== this.box.id);
    const ids = wrong ? [...others, this.box.id] : others;
    if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
    else input.removeAttribute("aria-describedby");
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    for (const name of ["input", "change"]) {
      if (wrong) input.addEventListener(name, this.changed);
      else input.removeEventListener(name, this.changed);
    }
  }
}
