// The buttons of a run: pause, resume, stop, train further, set the learning rate, and dismiss a failed start. The state
// of the run changes on the page once its files show the change.
import { post, path } from "./api.js";
import { el, say, short } from "./dom.js";

const BUTTONS = {
  pause: ["Pause", (run) => run.state === "training"],
  run: ["Resume", (run) => run.state === "paused"],
  resume: ["Resume", (run) => run.resumable && run.state !== "finished" && run.state !== "paused"],
  stop: ["Stop", (run) => run.state === "training" || run.state === "paused"],
  dismiss: ["Dismiss", (run) => run.dismissible],
};

/**
 * The buttons of a run.
 *
 * @param {HTMLElement} box the element for the buttons.
 * @param {(message: string) => void} problem called with an error message, or "" to remove it.
 * @param {boolean} whole true adds the fields for the learning rate and further training.
 */
export class Steering {
  constructor(box, problem, whole = false) {
    this.problem = problem;
    this.run = null;
    this.buttons = Object.fromEntries(
      Object.entries(BUTTONS).map(([command, [label]]) => [
        command,
        el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#send(command) }, label),
      ]),
    );
    box.append(...Object.values(this.buttons));
    if (!whole) return;
    this.factor = el("input", { type: "number", min: "0.000001", max: "999999", step: "any", class: "rate", value: "1", required: true });
    this.rate = el(
      "form",
      { class: "row", hidden: true, onsubmit: (event) => this.#rate(event) },
      el("label", { class: "field inline" }, "Learning rate ×", this.factor),
      el("button", { type: "submit" }, "Set"),
    );
    this.minutes = el("input", { type: "number", min: "0.1", max: "10080", step: "any", class: "rate", value: "1", required: true });
    this.further = el(
      "form",
      { class: "row", hidden: true, onsubmit: (event) => this.#further(event) },
      el("label", { class: "field inline" }, "More minutes", this.minutes),
      el("button", { type: "submit" }, "Train further"),
    );
    box.append(this.rate, this.further);
  }

  /** Show the buttons that fit the current state of a run. */
  show(run) {
    const other = this.run?.key !== run.key;
    // An error message is outdated once the run is in another state.
    if (other || this.run.state !== run.state) this.problem("");
    this.run = run;
    for (const [command, [label, fits]] of Object.entries(BUTTONS)) {
      const button = this.buttons[command];
      // If the focused button disappears, move the keyboard focus to another one.
      const focused = document.activeElement === button;
      button.hidden = !fits(run);
      button.setAttribute("aria-label", `${label} ${run.name}`);
      if (focused && button.hidden) Object.values(this.buttons).find((next) => !next.hidden)?.focus();
    }
    if (!this.rate) return;
    this.rate.hidden = !run.here;
    this.further.hidden = !(run.resumable && run.state === "finished");
    if (other || (document.activeElement !== this.factor && run.learning_rate_factor !== this.known)) {
      this.factor.value = short(run.learning_rate_factor, 6);
    }
    this.known = run.learning_rate_factor;
  }

  #send(command) {
    const { key } = this.run;
    if (command === "resume") return this.#try(() => post(path`/api/runs/${key}/resume`, {}), "starting");
    if (command === "dismiss") return this.#try(() => post(path`/api/runs/${key}/dismiss`, {}), "dismissed");
    return this.#try(() => post(path`/api/runs/${key}/control`, { command }), `${BUTTONS[command][0]} sent`);
  }

  #rate(event) {
    event.preventDefault();
    const command = this.run.state === "paused" ? "pause" : "run";
    const learning_rate_factor = this.factor.valueAsNumber;
    this.#try(() => post(path`/api/runs/${this.run.key}/control`, { command, learning_rate_factor }), "Learning rate set");
  }

  #further(event) {
    event.preventDefault();
    const minutes = this.minutes.valueAsNumber;
    this.#try(() => post(path`/api/runs/${this.run.key}/resume`, { minutes }), "starting");
  }

  async #try(action, done) {
    const { key, name } = this.run;
    this.problem("");
    try {
      await action();
      say(`${name}: ${done}`);
    } catch (error) {
      if (this.run.key === key) this.problem(error.message);
    }
  }
}
