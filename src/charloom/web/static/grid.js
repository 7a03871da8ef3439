// A table of texts by temperature (rows) and top-p (columns): reads the numbers that the user typed, and lays out the texts.
// It does not request them.
import { el } from "./dom.js";

const LIMITS = {
  temperatures: { name: "Temperatures", wanted: "0 or more, and at most 100", fits: (value) => value >= 0 && value <= 100 },
  top_ps: { name: "Values of top-p", wanted: "above 0 and at most 1", fits: (value) => value > 0 && value <= 1 },
};

/**
 * Return the numbers in a text such as "0.5, 0.8, 1". If they are not 1 to `most` numbers that fit `what`, which is
 * "temperatures" or "top_ps", throw an error that says what is wanted.
 */
export function numbersIn(text, what, most) {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const numbers = parts.map(Number);
  const { name, wanted, fits } = LIMITS[what];
  if (numbers.length >= 1 && numbers.length <= most && numbers.every(fits)) return numbers;
  throw new Error(`${name}: give 1 to ${most} numbers, each ${wanted}, with commas between them. You gave: ${text.trim() || "nothing"}.`);
}

/** Return the name of the text in a place of the table. */
export const cellName = (temperature, topP) => `temperature ${temperature}, top-p ${topP}`;

/**
 * Return a table of outputs. A narrow window shows it as a list, so the roles are given explicitly.
 *
 * `outputs` are row by row. Each one's title is shown only in a narrow window, which has no headings of columns.
 */
export function gridTable(temperatures, topPs, outputs) {
  const columns = [el("td", { role: "cell" }), ...topPs.map((topP) => el("th", { scope: "col", role: "columnheader" }, `top-p ${topP}`))];
  const rows = temperatures.map((temperature, row) => {
    const cells = topPs.map((_, column) => cell(outputs[row * topPs.length + column]));
    return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, `temperature ${temperature}`), cells);
  });
  return el(
    "table",
    { class: "grid", role: "table", "aria-label": "Texts by temperature and top-p" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns)),
    el("tbody", { role: "rowgroup" }, rows),
  );
}

function cell(output) {
  return el("td", { role: "cell", class: "output" }, output.title, output.sheet, output.note);
}
