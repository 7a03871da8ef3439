// Draws all units of a layer over a text: a row for each unit, a column for each character. The caller passes the
// values.
import { valueTable } from "./colours.js";
import { byId } from "./dom.js";

const WIDE = 5; // width of a character in pixels

/**
 * The map. `pointed` is called with the unit, the character and the value at which the user points. `chosen` is called with
 * the unit that the user selects.
 */
export class UnitMap {
  constructor({ pointed, chosen }) {
    this.box = byId("map-box");
    this.canvas = byId("map");
    this.cursor = byId("map-cursor");
    this.pointed = pointed;
    this.chosen = chosen;
    this.units = 0;
    const at = (event) => [Math.floor(event.offsetY / this.tall), Math.floor(event.offsetX / WIDE)];
    this.canvas.addEventListener("pointermove", (event) => this.#point(...at(event)));
    this.canvas.addEventListener("click", (event) => {
      this.#point(...at(event));
      if (this.units) this.chosen(this.unit);
    });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("themechange", () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Show the values of all units (0 … 255): first all values of the first unit, then of the second, and so on. */
  show(units, characters, values) {
    Object.assign(this, { units, characters, values, unit: 0, character: 0 });
    this.tall = units > 400 ? 1 : units > 160 ? 2 : units > 60 ? 4 : 8;
    this.cursor.hidden = true;
    this.#draw();
  }

  /** Outline the selected unit. */
  mark(unit) {
    this.marked = unit;
    if (this.units) this.#place(unit, 0, this.characters);
  }

  #draw() {
    if (!this.units) return;
    const { canvas, units, characters, values } = this;
    canvas.width = characters;
    canvas.height = units;
    canvas.style.width = `${characters * WIDE}px`;
    canvas.style.height = `${units * this.tall}px`;
    const table = new Uint32Array(valueTable().buffer);
    const image = new ImageData(characters, units);
    const pixels = new Uint32Array(image.data.buffer);
    for (let n = 0; n < pixels.length; n += 1) pixels[n] = table[values[n]];
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  #place(unit, character, wide) {
    this.cursor.hidden = false;
    const { style } = this.cursor;
    style.left = `${character * WIDE}px`;
    style.top = `${unit * this.tall}px`;
    style.width = `${wide * WIDE}px`;
    style.height = `${Math.max(this.tall, 3)}px`;
  }

  #point(unit, character) {
    if (!this.units) return;
    this.unit = Math.max(0, Math.min(this.units - 1, unit));
    this.character = Math.max(0, Math.min(this.characters - 1, character));
    this.#place(this.unit, this.character, 1);
    this.pointed(this.unit, this.character, this.values[this.unit * this.characters + this.character]);
  }

  #key(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!this.units) return;
    if (event.key in steps) {
      event.preventDefault();
      this.#point(this.unit + steps[event.key][0], this.character + steps[event.key][1]);
      this.cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === "Enter") this.chosen(this.unit);
  }
}
