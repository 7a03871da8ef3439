// The part of the view Inside for models with n-grams: a text coloured by how much the n-grams count in the prediction of
// each character.
import { post } from "./api.js";
import { ColouredText } from "./coloured_text.js";
import { valueStep } from "./colours.js";
import { byId, counted, fixed, integer, put, say, visible } from "./dom.js";

// The weights with the strongest colours. At 1, which has no colour, the prediction starts from the n-grams as counted.
const LOW = 0;
const HIGH = 2;

/** The coloured text and the sentence below it. */
export class NGrams {
  constructor() {
    this.card = byId("ngrams");
    this.coloured = new ColouredText(byId("ngrams-coloured"), { pointed: (index) => this.#read(index) });
    this.coloured.box.classList.add("of-value", "coloured");
  }

  /**
   * Request and show the weights for `asked`, a model and a text. `model` describes this model; hide this part if it has no
   * n-grams.
   */
  async look(asked, model, signal) {
    if (!model?.ngram_order) {
      this.card.hidden = true;
      return;
    }
    const { characters, weights } = await post("/api/inside/ngrams", asked, signal);
    this.weights = weights ?? [];
    this.coloured.show(characters, this.weights.map((weight) => (weight === null ? 0 : valueStep(weight, LOW, HIGH))));
    const known = this.weights.filter((weight) => weight !== null);
    const mean = known.reduce((sum, weight) => sum + weight, 0) / Math.max(known.length, 1);
    const unit = model.tokens === "bytes" ? "byte" : "character";
    const before = model.ngram_order - 1;
    const followed = before ? `follows the last ${counted(before, unit)} or fewer` : "occurs";
    this.summary =
      `The model also knows how often each ${unit} ${followed} in its training text (n-grams). At a weight of 0 the ` +
      `network predicts alone, at 1 it starts from these counts, and above 1 it trusts them more. The mean weight on this ` +
      `text is ${fixed(mean, 2)}.`;
    this.card.hidden = false;
    this.#read(null);
  }

  #read(index) {
    if (index === null || !this.weights) {
      if (this.summary) put(byId("ngrams-readout"), this.summary);
      return;
    }
    const weight = this.weights[index];
    const found = weight === null ? "not predicted" : `weight of the n-grams ${fixed(weight, 2)}`;
    const sentence = `${visible(this.coloured.characters[index])} at character ${integer(index + 1)}: ${found}`;
    put(byId("ngrams-readout"), sentence);
    if (document.activeElement === this.coloured.box) say(sentence);
  }
}
