// Finds the units that follow a property of a text best: a built-in property, a pattern, or parts that the user marked.
import { post } from "./api.js";
import { byId, counted, el, enable, fixed, put, say } from "./dom.js";

/** The list of the units found. `chosen(layer, unit, quantity)` is called when the user selects one of them. */
export class UnitSearch {
  constructor(view, chosen) {
    this.view = view;
    this.chosen = chosen;
    this.marks = [];
    this.hint = [...byId("find-list").children];
    byId("find-go").addEventListener("click", () => this.find());
    byId("find-pattern").addEventListener("keydown", (event) => event.key === "Enter" && this.find());
    byId("find-mark").addEventListener("click", () => this.#mark());
    byId("find-unmark").addEventListener("click", () => this.clear());
  }

  /** Remove all marks. */
  clear() {
    this.marks = [];
    this.#showMarks();
  }

  /** Request the ranking and show it. */
  async find() {
    const asked = await this.view.asked();
    if (!asked) return;
    const pattern = byId("find-pattern").value;
    this.#problem("");
    byId("find-go").disabled = true;
    try {
      const { properties } = await post("/api/inside/ranking", {
        ...asked,
        top: 5,
        ...(pattern && { pattern }),
        ...(this.marks.length && { marks: this.marks }),
      });
      this.#list(properties);
      say("Units found");
    } catch (error) {
      byId("find-list").replaceChildren(...this.hint); // the list would be that of another pattern
      this.#problem(error.message);
    } finally {
      enable(byId("find-go"));
    }
  }

  /** Highlight the unit that the view shows. */
  press(layer, unit, what) {
    for (const button of byId("find-list").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.unit === `${layer} ${unit} ${what}`);
    }
  }

  #mark() {
    const range = this.view.selected();
    if (!range) {
      this.#problem("Select a part of the coloured text first, with the mouse or with Shift and the arrow keys. Then press Mark selection. You can mark several parts.");
      return;
    }
    this.#problem("");
    this.marks.push(range);
    this.#showMarks();
  }

  #showMarks() {
    this.view.marks(this.marks);
    const count = this.marks.length;
    byId("find-unmark").disabled = !count;
    put(byId("find-unmark"), count ? `Clear ${counted(count, "mark")}` : "Clear marks");
  }

  #problem(text) {
    put(byId("find-problem"), text);
  }

  #list(properties) {
    const best = (property) => (property.units.length ? Math.abs(property.units[0].r) - (property.by_chance ?? 0) : -1);
    const own = (property) => ["pattern", "marked"].includes(property.property);
    const ranked = [...properties].sort((a, b) => own(b) - own(a) || best(b) - best(a));
    byId("find-list").replaceChildren(
      el("p", { class: "aside" }, "r says how closely a unit follows the property, from −1 to 1. A grey r may be due to chance."),
      ...ranked.map((property) =>
        el(
          "div",
          { class: "property" },
          el("div", {}, el("strong", {}, property.property.replaceAll("-", " ")), el("span", { class: "aside" }, property.description)),
          el(
            "div",
            { class: "units" },
            property.units.length ? property.units.map((unit) => this.#button(unit, property)) : el("span", { class: "aside" }, property.why_none),
          ),
        ),
      ),
    );
    this.view.pressed();
  }

  #button({ layer, unit, what, r }, { property, by_chance }) {
    return el(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        data: { unit: `${layer} ${unit} ${what}`, ...(Math.abs(r) <= (by_chance ?? 0) && { weak: "" }) },
        title: `layer ${layer}, unit ${unit}, ${what}: r = ${fixed(r, 3)} with ${property}`,
        onclick: () => this.chosen(layer, unit, what),
      },
      `${layer}·${unit} ${what} `,
      el("b", {}, fixed(r, 2)),
    );
  }
}
