// Shows one sample of a run at a time, with a slider and a play button to choose it. While the slider is at its right
// end, the newest sample is shown. The caller passes the samples.
import { byId, put, say, integer } from "./dom.js";

const STEP = 550; // milliseconds between two samples while playing

/** Return sentences about the samples. `going` is true if a process trains the run and can still write samples. */
function hint(samples, going) {
  if (samples.length > 1) return `${integer(samples.length)} samples. At the right end, the slider follows the newest sample.`;
  if (!samples.length) return going ? "Samples appear during training." : "This run has no samples.";
  const only = samples[0].update ? "This is the only sample." : "This sample was written before the first update.";
  return going ? `${only} More samples appear during training.` : only;
}

/** The timeline of the view Learning. */
export class Timeline {
  constructor() {
    this.slider = byId("sample-slider");
    this.text = byId("sample-text");
    this.samples = [];
    this.key = null;
    this.timer = null;
    this.slider.addEventListener("input", () => {
      this.#stop();
      this.#draw();
    });
    byId("sample-play").addEventListener("click", () => (this.timer ? this.#stop() : this.#play()));
  }

  /** Show the newest sample of a run, unless the user has chosen another sample. `going`: a process trains the run. */
  show(key, samples, going) {
    const atEnd = key !== this.key || this.slider.valueAsNumber >= this.samples.length - 1;
    if (key !== this.key) this.#stop();
    this.key = key;
    this.samples = [...samples];
    this.slider.max = Math.max(0, samples.length - 1);
    this.slider.disabled = samples.length < 2;
    byId("sample-play").disabled = samples.length < 2;
    if (atEnd && !this.timer) this.slider.value = samples.length - 1;
    put(byId("sample-hint"), hint(samples, going));
    this.#draw();
  }

  #draw() {
    const sample = this.samples[this.slider.valueAsNumber];
    put(this.text, sample?.text ?? "");
    const label = sample ? (sample.update ? `after update ${integer(sample.update)}` : "before the first update") : "";
    put(byId("sample-update"), label);
    this.slider.setAttribute("aria-valuetext", label);
  }

  #play() {
    if (this.slider.valueAsNumber >= this.samples.length - 1) this.slider.value = 0;
    this.#draw();
    this.timer = setInterval(() => {
      if (this.slider.valueAsNumber >= this.samples.length - 1) {
        this.#stop();
        say("The newest sample");
        return;
      }
      this.slider.value = this.slider.valueAsNumber + 1;
      this.#draw();
    }, STEP);
    this.#button("❚❚", "Pause the samples");
  }

  #stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.#button("▶", "Play the samples in order");
  }

  #button(sign, label) {
    const button = byId("sample-play");
    put(button.firstElementChild, sign);
    button.setAttribute("aria-label", label);
  }
}
