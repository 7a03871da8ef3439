// Removes and renames runs, after the user has confirmed it in a dialog.
import { get, path, post } from "./api.js";
import { byId, bytes, counted, enable, put, say } from "./dom.js";
import { FieldProblem } from "./field_problem.js";

/**
 * A dialog of the page that asks before it changes a run. `change(run, shown)` changes it; the dialog shows its errors.
 * `shown` is what `prepare` returned.
 */
class Question {
  constructor(name, change) {
    this.dialog = byId(`${name}-dialog`);
    this.field = (param) => byId(`${name}-${param}`);
    this.question = byId(`${name}-question`);
    this.problem = new FieldProblem(byId(`${name}-problem`));
    this.button = byId(`${name}-go`);
    byId(`${name}-close`).addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault(); // the dialog stays open if the server refuses the change
      this.#try(() => change(this.run, this.shown));
    });
  }

  /** Ask about a run. `prepare` completes the dialog; if it fails, the run cannot be changed. */
  async ask(run, question, prepare) {
    this.run = run;
    put(this.question, question);
    this.problem.show("");
    this.button.disabled = true;
    this.dialog.showModal();
    try {
      const shown = await prepare();
      if (this.run !== run) return;
      this.shown = shown;
      this.button.disabled = false;
    } catch (error) {
      if (this.run === run) this.problem.show(error.message);
    }
  }

  async #try(action) {
    this.problem.show("");
    this.button.disabled = true;
    try {
      await action();
      this.dialog.close();
    } catch (error) {
      const field = this.field(error.param);
      this.problem.show(error.message, field ? [field] : []);
    } finally {
      enable(this.button);
    }
  }
}

/** The dialogs that remove and rename a run. They are shared by all buttons, because the page has each dialog once. */
let dialogs = null;

function made() {
  dialogs ??= {
    remove: new Question("remove", async ({ key, name }, { files, bytes }) => {
      await post(path`/api/runs/${key}/remove`, { files, bytes });
      location.hash = "#/runs";
      say(`${name} is removed`);
    }),
    rename: new Question("rename", async ({ key, name }) => {
      const newName = byId("rename-name").value.trim();
      const { run } = await post(path`/api/runs/${key}/rename`, { name: newName });
      location.hash = `#/learning?${new URLSearchParams({ run })}`;
      say(`${name} is renamed to ${newName}`);
    }),
  };
  return dialogs;
}

/** Ask whether to remove a run, and show what would be removed. */
export function askToRemove(run) {
  const contents = byId("remove-contents");
  put(contents, "Reading the run …");
  made().remove.ask(run, `Remove the run ${run.name} with its samples and all its models? This cannot be undone.`, async () => {
    put(contents, "");
    const found = await get`/api/runs/${run.key}/removal`;
    const others = found.others.length ? ` Also what charloom did not write: ${found.others.join(", ")}.` : "";
    put(contents, `${counted(found.files, "file")}, ${bytes(found.bytes)}.${others}`);
    return found;
  });
}

/** Ask for a new name of a run. */
export function askToRename(run) {
  const field = byId("rename-name");
  field.value = run.name.split("/").at(-1);
  made().rename.ask(run, `Rename the run ${run.name}? It stays in its folder.`, async () => field.select());
}
