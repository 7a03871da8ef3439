// The buttons of a run: steer its training, train its model on another text, rename or remove it, correct or dismiss a failed
// start. After a click, the page shows the new state of the run when the run's files have it.
import { post, path } from "./api.js";
import { el, isGoing, say, short } from "./dom.js";
import { askToRemove, askToRename } from "./run_changes.js";

const BUTTONS = {
  pause: ["Pause", (run) => run.state === "training"],
  run: ["Resume", (run) => run.state === "paused"],
  resume: ["Resume", (run) => run.resumable && run.state !== "finished" && run.state !== "paused"],
  stop: ["Stop", (run) => isGoing(run.state)],
  again: ["Back to the form", (run) => run.dismissible],
  dismiss: ["Dismiss", (run) => run.dismissible],
};

// Commands that only the view of one run has. A run that a process trains, or that has no directory, cannot be changed.
const isIdle = (run) => !isGoing(run.state) && !run.dismissible;
const openForm = (settings) => (location.hash = `#/runs?${new URLSearchParams({ new: "1", ...settings })}`);
const MORE = {
  from: ["Train on another text", (run) => run.latest !== null, ({ key }) => openForm({ from: key })],
  rename: ["Rename", isIdle, askToRename],
  remove: ["Remove", isIdle, askToRemove],
};

// The time of the command to pause, by the key of the run, as long as the run's files do not show the pause.
const pauses = new Map();
const PAUSE_LIMIT = 60_000; // ms; another process may have continued the run before the page saw the pause

/** Return the state to show for a run: "pausing" between the command to pause and its effect, else `run.state`. */
export function shownState(run) {
  if (run.state !== "training" || performance.now() - pauses.get(run.key) > PAUSE_LIMIT) pauses.delete(run.key);
  return pauses.has(run.key) ? "pausing" : run.state;
}

/**
 * The buttons of a run.
 *
 * @param {HTMLElement} box the element for the buttons.
 * @param {(message: string) => void} problem called with an error message, or "" to remove it.
 * @param {() => void} changed called when `shownState` of the run may have changed.
 * @param {boolean} whole true adds the fields for the learning rate and further training, and the buttons in `MORE`.
 */
export class RunButtons {
  constructor(box, problem, changed, whole = false) {
    this.problem = problem;
    this.changed = changed;
    this.run = null;
    this.whole = whole;
    this.buttons = whole ? { ...BUTTONS, ...MORE } : BUTTONS;
    this.commands = Object.fromEntries(
      Object.entries(this.buttons).map(([command, [label]]) => [
        command,
        el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#send(command) }, label),
      ]),
    );
    box.append(...Object.values(this.commands));
    if (!whole) return;
    this.factor = el("input", { type: "number", min: "0.000001", max: "999999", step: "any", class: "rate", value: "1", required: true });
    this.rate = el(
      "form",
      { class: "row", hidden: true, onsubmit: (event) => this.#rate(event) },
      el("label", { class: "field inline" }, "Multiply learning rate by", this.factor),
      el("button", { type: "submit" }, "Set"),
    );
    this.minutes = el("input", { type: "number", min: "0.1", step: "any", class: "rate", value: "1", required: true });
    this.further = el(
      "form",
      { class: "row", hidden: true, onsubmit: (event) => this.#further(event) },
      el("label", { class: "field inline" }, "More minutes", this.minutes),
      el("button", { type: "submit" }, "Train further"),
    );
    box.append(this.rate, this.further);
  }

  /** Store the largest number of minutes that the server allows. */
  about({ settings }) {
    this.minutes.max = settings.find(({ name }) => name === "minutes").most;
  }

  /** Show the buttons that fit the current state of a run. */
  show(run) {
    const other = this.run?.key !== run.key;
    // An error message is outdated once the run is in another state.
    if (other || this.run.state !== run.state) this.problem("");
    this.run = run;
    for (const [command, [label, fits]] of Object.entries(this.buttons)) {
      const button = this.commands[command];
      // If the focused button disappears, move the keyboard focus to another one.
      const focused = document.activeElement === button;
      button.hidden = !fits(run);
      button.setAttribute("aria-label", `${label} ${run.name}`);
      if (focused && button.hidden) Object.values(this.commands).find((next) => !next.hidden)?.focus();
    }
    if (!this.rate) return;
    this.rate.hidden = !run.here;
    this.further.hidden = !(run.resumable && run.state === "finished");
    if (other || (document.activeElement !== this.factor && run.learning_rate_factor !== this.known)) {
      this.factor.value = short(run.learning_rate_factor, 6);
    }
    this.known = run.learning_rate_factor;
  }

  async #send(command) {
    const { key } = this.run;
    if (command in MORE) return MORE[command][2](this.run);
    if (command === "resume") return this.#try(() => post(path`/api/runs/${key}/resume`, {}), "starting");
    if (command === "dismiss") return this.#dismiss();
    if (command === "again") return openForm({ again: key });
    if (command === "pause") this.#pausing(key, true);
    const sent = await this.#try(() => post(path`/api/runs/${key}/control`, { command }), `${BUTTONS[command][0]} sent`);
    if (command === "pause" && !sent) this.#pausing(key, false);
  }

  /** Dismiss a failed start. The view of one run then has nothing to show, so open the list of runs. */
  async #dismiss() {
    const dismissed = await this.#try(() => post(path`/api/runs/${this.run.key}/dismiss`, {}), "dismissed");
    if (dismissed && this.whole) location.hash = "#/runs";
  }

  #pausing(key, on) {
    if (on) pauses.set(key, performance.now());
    else pauses.delete(key);
    this.changed();
  }

  #rate(event) {
    event.preventDefault();
    // The learning rate is part of a command. The command "run" would end the pause of a paused run, or cancel a pause
    // that has not begun yet.
    const command = ["pausing", "paused"].includes(shownState(this.run)) ? "pause" : "run";
    const learning_rate_factor = this.factor.valueAsNumber;
    this.#try(() => post(path`/api/runs/${this.run.key}/control`, { command, learning_rate_factor }), "The learning rate is set");
  }

  #further(event) {
    event.preventDefault();
    const minutes = this.minutes.valueAsNumber;
    this.#try(() => post(path`/api/runs/${this.run.key}/resume`, { minutes }), "starting");
  }

  /** Call `action` and announce `done`, or show the error. Return true if there was no error. */
  async #try(action, done) {
    const { key, name } = this.run;
    this.problem("");
    try {
      await action();
      say(`${name}: ${done}`);
      return true;
    } catch (error) {
      if (this.run.key === key) this.problem(error.message);
      return false;
    }
  }
}
