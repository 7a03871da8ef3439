// Downloads the model that is selected in the view Playground.
import { download, path } from "./api.js";
import { byId, el, enable, put, save, say } from "./dom.js";

/** The button that downloads a model, with the menu of formats. */
export class ModelDownload {
  /** @param {() => string} model returns the id of the selected model. */
  constructor(model) {
    this.model = model;
    this.format = byId("play-format");
    this.button = byId("play-download");
    this.problem = byId("download-problem");
    this.button.addEventListener("click", () => this.#download(false));
    this.format.addEventListener("change", () => put(this.problem, ""));
  }

  /** Request the file, and let the browser save it. `networkAlone` leaves out the n-grams of the model. */
  async #download(networkAlone) {
    put(this.problem, "");
    this.button.disabled = true;
    say("Converting the model");
    try {
      const query = new URLSearchParams({ to: this.format.value, network_alone: networkAlone });
      const [file, name] = await download(`${path`/api/models/${this.model()}/file`}?${query}`);
      save(file, name);
      say(`${name} is downloaded`);
    } catch (error) {
      if (error.code === "has_ngrams") this.#offerNetworkAlone();
      else put(this.problem, error.message);
    } finally {
      enable(this.button);
    }
  }

  #offerNetworkAlone() {
    const again = () => this.#download(true);
    put(this.problem, "Files for PyTorch and ONNX cannot contain the n-grams of this model. Its network alone has a far higher loss.");
    this.problem.append(" ", el("button", { type: "button", class: "link", onclick: again }, "Download the network without its n-grams"));
  }
}
