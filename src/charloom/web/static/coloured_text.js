// A text with a colour for each character, where the user can point at characters with the mouse or the arrow keys.
// The caller chooses the colours. Neighbouring characters of the same colour share one element.
import { STEPS } from "./colours.js";
import { el } from "./dom.js";

/**
 * A coloured text.
 *
 * @param {HTMLElement} box the scrolling element that shows the text.
 * @param {(index: number | null) => void} pointed called with the index of the character that the user points at, or
 * null if there is none.
 */
export class ColouredText {
  constructor(box, { pointed = () => {} } = {}) {
    this.box = box;
    this.pointed = pointed;
    this.spans = [];
    this.text = el("span", { class: "letters" });
    this.marker = el("span", { class: "marker", hidden: true, "aria-hidden": "true" });
    box.classList.add("coloured-text");
    box.replaceChildren(this.text, this.marker);
    this.clear();
    box.addEventListener("pointermove", (event) => this.#point(this.#at(event)));
    box.addEventListener("pointerdown", (event) => {
      this.anchor = null;
      this.#point(this.#at(event));
    });
    box.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.#point(null);
    });
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Return the number of characters. */
  get length() {
    return this.characters.length;
  }

  /** Return the text as a string. */
  get string() {
    return this.characters.join("");
  }

  /** Remove the text. */
  clear() {
    this.characters = [];
    this.steps = [];
    this.starts = []; // the offset of each character in UTF-16 units
    this.size = 0;
    this.last = null;
    this.anchor = null; // where the keyboard's selection began
    this.text.replaceChildren();
    this.#point(null);
  }

  /** Mark the characters in each of the spans [start, end), and remove all other marks. */
  mark(spans) {
    this.spans = spans;
    this.show(this.characters, this.steps);
    this.#select(null);
  }

  /**
   * Add characters at the end, each with its colour step. `kind` is the CSS class of all of them. If the end of the text
   * was visible, scroll so that the new end is visible.
   */
  append(characters, steps, kind = "") {
    const box = this.box;
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 24;
    const first = this.length;
    const marked = (n) => this.spans.some(([start, before]) => start <= first + n && first + n < before);
    for (let n = 0, end = 1; n < characters.length; n = end, end += 1) {
      const step = steps?.[n] ?? 0;
      const mark = marked(n);
      while (end < characters.length && (steps?.[end] ?? 0) === step && marked(end) === mark) end += 1;
      const alike = characters.slice(n, end);
      this.#node(step, mark ? `${kind} marked`.trim() : kind).appendData(alike.join(""));
      for (const character of alike) {
        this.characters.push(character);
        this.steps.push(step);
        this.starts.push(this.size);
        this.size += character.length;
      }
    }
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  /**
   * Show these characters, each with its colour step, instead of the present ones. If the characters are the same as
   * before, the selection and the character that the user points at stay.
   */
  show(characters, steps, kind = "") {
    const top = this.box.scrollTop;
    const same = characters.join("") === this.string;
    const { index, anchor } = this;
    const selection = same ? this.#selection() : null;
    this.clear();
    this.append(characters, steps, kind);
    this.box.scrollTop = top;
    if (!same) return;
    this.#restore(selection);
    this.anchor = anchor;
    this.#point(index);
  }

  /** Return the selection as [start, end), or null if nothing is selected. */
  selected() {
    const ends = this.#selection()?.sort((a, b) => a - b);
    return ends && ends[1] > ends[0] ? ends : null;
  }

  /** Return the rectangle of the window that a character covers; null if there is no such character. */
  place(index) {
    const range = this.#range(index);
    return range ? range.getBoundingClientRect() : null;
  }

  /** Return the text node to which to add characters with a colour step and a CSS class. */
  #node(step, kind) {
    if (!this.last || this.last.step !== step || this.last.kind !== kind) {
      const node = document.createTextNode("");
      const span = el("span", { class: kind }, node);
      if (step) setColour(span, step);
      span.start = this.size;
      this.text.append(span);
      this.last = { step, kind, node };
    }
    return this.last.node;
  }

  /**
   * Return the indices of the characters at which the selection starts and at which the user ended it. Return null if
   * the selection is not inside this text.
   */
  #selection() {
    const { anchorNode, anchorOffset, focusNode, focusOffset, isCollapsed } = document.getSelection();
    if (isCollapsed || !this.text.contains(anchorNode) || !this.text.contains(focusNode)) return null;
    return [this.#index(anchorNode, anchorOffset), this.#index(focusNode, focusOffset)];
  }

  /** Restore a selection that `#selection` returned. */
  #restore(ends) {
    if (ends === null) return;
    const [anchor, focus] = ends.map((index) => {
      const range = this.#range(Math.min(index, this.length - 1));
      return index < this.length ? [range.startContainer, range.startOffset] : [range.endContainer, range.endOffset];
    });
    document.getSelection().setBaseAndExtent(...anchor, ...focus);
  }

  #index(node, offset) {
    if (node === this.text || node.nodeType !== Node.TEXT_NODE) {
      const child = node.childNodes[offset];
      if (!child) return node === this.text ? this.length : this.#find(node.start + node.textContent.length);
      return this.#find(child.start ?? node.start ?? 0);
    }
    return this.#find(node.parentNode.start + offset);
  }

  #find(unit) {
    let [low, high] = [0, this.starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #range(index) {
    if (index < 0 || index >= this.length) return null;
    const unit = this.starts[index];
    const spans = this.text.children;
    let [low, high] = [0, spans.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (spans[middle].start <= unit) low = middle;
      else high = middle - 1;
    }
    const node = spans[low]?.firstChild;
    if (!node) return null;
    const range = document.createRange();
    range.setStart(node, unit - spans[low].start);
    range.setEnd(node, Math.min(node.length, unit - spans[low].start + this.characters[index].length));
    return range;
  }

  #at(event) {
    const found = caret(event.clientX, event.clientY);
    if (!found || !this.text.contains(found.node) || found.node.nodeType !== Node.TEXT_NODE) return null;
    const near = this.#find(found.node.parentNode.start + found.offset);
    for (const index of [near, near - 1]) {
      for (const box of this.#range(index)?.getClientRects() ?? []) {
        const inside = event.clientX >= box.left - 0.5 && event.clientX <= box.right + 0.5;
        if (inside && event.clientY >= box.top - 4 && event.clientY <= box.bottom + 4) return index;
      }
    }
    return null;
  }

  #point(index) {
    if (index === this.index) return;
    this.index = index;
    const box = index === null ? null : this.place(index);
    this.marker.hidden = box === null;
    if (box !== null) {
      const frame = this.box.getBoundingClientRect();
      const { style } = this.marker;
      style.left = `${box.left - frame.left + this.box.scrollLeft - this.box.clientLeft}px`;
      style.top = `${box.top - frame.top + this.box.scrollTop - this.box.clientTop}px`;
      style.width = `${Math.max(box.width, 5)}px`;
      style.height = `${box.height}px`;
    }
    this.pointed(index);
  }

  /** Select from `anchor` to `index`, both included. If `anchor` is null, clear the selection. */
  #select(anchor, index) {
    this.anchor = anchor;
    const selection = document.getSelection();
    if (anchor === null) {
      if (this.text.contains(selection.anchorNode)) selection.removeAllRanges();
      return;
    }
    const [first, last] = [Math.min(anchor, index), Math.max(anchor, index)].map((n) => this.#range(n));
    selection.setBaseAndExtent(first.startContainer, first.startOffset, last.endContainer, last.endOffset);
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const now = this.index ?? -1;
    let next = null;
    if (event.key in steps) next = now + steps[event.key];
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = this.length - 1;
    else if (event.key === "Escape") this.#point(null);
    if (next === null || !this.length || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    next = Math.max(0, Math.min(this.length - 1, next));
    this.#select(event.shiftKey ? this.anchor ?? Math.max(0, now) : null, next);
    this.#point(next);
    const place = this.index === null ? null : this.place(this.index);
    const frame = this.box.getBoundingClientRect();
    if (place && place.bottom > frame.bottom) this.box.scrollTop += place.bottom - frame.bottom + 8;
    if (place && place.top < frame.top) this.box.scrollTop -= frame.top - place.top + 8;
  }
}

function setColour(span, step) {
  span.classList.add(step > 0 ? "hot" : "cold");
  span.style.setProperty("--step", Math.abs(step) / STEPS);
}

/** Return the text node and the offset in it at a point of the window. Browsers have different functions for this. */
function caret(x, y) {
  if (document.caretPositionFromPoint) {
    const found = document.caretPositionFromPoint(x, y);
    return found && { node: found.offsetNode, offset: found.offset };
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range && { node: range.startContainer, offset: range.startOffset };
}
