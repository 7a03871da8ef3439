// The form that starts a run, with a text (a file dropped or selected, or one from a list), a model to start from or none,
// a recipe and settings. The server sends the recipes and the description of the settings.
import { get, path, post, upload } from "./api.js";
import { Choices, rest } from "./choices.js";
import { byId, bytes, counted, el, enable, say, shellWord, short } from "./dom.js";
import { FieldProblem } from "./field_problem.js";
import { StartModel } from "./start_model.js";

const FIRST = ["cell", "hidden_size", "layers", "learning_rate", "minutes", "epochs", "find_learning_rate", "unknown", "replacement"];
const ENDS = ["minutes", "epochs", "updates"];
const OF_MODEL = ""; // in place of a recipe's name: the settings of the model to start from

/** The form. */
export class Start {
  constructor(models, go) {
    this.go = go;
    this.limits = new Promise((resolve) => (this.setLimits = resolve));
    this.form = byId("start");
    this.text = byId("start-text");
    this.texts = new Choices(this.text);
    this.uploadedKey = null; // key of an uploaded text, to be selected when the list has it
    this.text.addEventListener("change", () => (this.uploadedKey = null));
    this.fields = new Map();
    this.built = new Promise((resolve) => (this.setBuilt = resolve));
    this.problem = new FieldProblem(byId("start-problem"));
    this.replaced = null; // key of the failed start whose settings the form has
    // This error arrives by itself, so it must not move the keyboard focus.
    const unreadable = (message) => this.problem.show(message, message ? [this.model.select] : [], false);
    this.model = new StartModel(byId("start-model"), byId("start-model-about"), models, () => this.#modelChanged(), unreadable);
    byId("start-open").addEventListener("click", () => this.open(this.form.hidden));
    byId("start-close").addEventListener("click", () => this.open(false));
    byId("start-file").addEventListener("change", (event) => this.#upload(event.target.files[0]));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let within = 0; // how many nested elements the dragged file is over
    const dropping = (on) => document.body.classList.toggle("dropping", on);
    addEventListener("dragenter", (event) => files(event) && (event.preventDefault(), (within += 1), dropping(true)));
    addEventListener("dragleave", () => (within = Math.max(0, within - 1)) || dropping(false));
    addEventListener("dragover", (event) => files(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      within = 0;
      dropping(false);
      if (location.hash.split("?")[0] !== "#/runs") this.go("runs");
      this.open(true);
      this.#upload(event.dataTransfer.files[0]);
    });
  }

  /** Show the form, or hide it. */
  open(on) {
    this.form.hidden = !on;
    byId("start-open").setAttribute("aria-expanded", on);
    this.opening = {}; // a response for the form as it was before is then ignored
    if (!on) {
      this.replaced = null;
      this.model.choose("");
      byId("start-open").focus();
      return;
    }
    this.#texts();
    this.form.scrollIntoView({ block: "nearest" });
    this.text.focus();
  }

  /** Show the form with the settings of a failed start, and the reason of the failure next to the field that it names. */
  async again(key) {
    this.open(true);
    const { opening } = this;
    await this.built;
    try {
      const { run, request } = await get`/api/runs/${key}`;
      if (opening !== this.opening) return;
      this.replaced = run.dismissible ? key : null;
      if (request) this.#fill(request);
      if (run.reason) this.problem.show(run.reason, this.#wrong(run.reason));
    } catch (error) {
      if (opening === this.opening) this.problem.show(error.message);
    }
  }

  /** Show the form for a run that starts from a model. All other fields are empty. */
  async from(key) {
    this.open(true);
    const { opening } = this;
    await this.built;
    if (opening !== this.opening) return;
    this.replaced = null;
    this.#fill({ from_model: key });
  }

  #fill({ text, from_model, recipe, name, settings = {} }) {
    if (text) {
      this.uploadedKey = text;
      this.#texts();
    }
    byId("start-name").value = name ?? "";
    this.model.choose("");
    for (const [key, { setting, input }] of this.fields) {
      if (setting.kind === "yes_no") input.checked = settings[key] === true;
      else input.value = settings[key] ?? "";
    }
    this.#choose(recipe ?? this.defaultRecipe);
    if (from_model) this.model.choose(from_model);
    this.#choose(recipe ?? (from_model ? OF_MODEL : this.defaultRecipe));
    this.#placeholders();
  }

  /** React to a new list of runs: a new run may add its text to the list of texts. */
  runs(list) {
    const stamp = list.map((run) => run.key).sort().join();
    if (stamp !== this.stamp && !this.form.hidden) this.#texts();
    this.stamp = stamp;
  }

  /** Build the form from the server's recipes, settings and limits. */
  about({ recipes, default_recipe, settings, limits }) {
    this.recipes = recipes;
    this.setLimits(limits);
    this.defaultRecipe = default_recipe;
    const choice = (value, title, words) =>
      el(
        "label",
        { class: "choice" },
        el("input", { type: "radio", name: "recipe", value, checked: value === default_recipe, onchange: () => this.#placeholders() }),
        el("strong", {}, title),
        el("span", { class: "aside" }, words),
      );
    this.ofModel = choice(OF_MODEL, "as the model", "trains with the settings of the model; a recipe would replace them, but not the network");
    byId("start-recipes").replaceChildren(
      ...recipes.map((recipe) => choice(recipe.name, recipe.name, `${recipe.purpose}; ${recipe.cost}`)),
    );
    this.fields.clear();
    byId("start-settings").replaceChildren();
    byId("start-more").replaceChildren();
    const order = [...settings].sort((a, b) => rank(a.name) - rank(b.name));
    for (const setting of order) {
      const input = field(setting);
      this.fields.set(setting.name, { setting, input });
      byId(FIRST.includes(setting.name) ? "start-settings" : "start-more").append(labelled(setting, input));
    }
    this.#modelChanged();
    this.fields.get("find_learning_rate").input.addEventListener("change", () => this.#placeholders());
    this.#placeholders();
    byId("start-go").disabled = false;
    this.setBuilt();
  }

  #choose(recipe) {
    for (const radio of this.form.elements.recipe) radio.checked = radio.value === recipe;
  }

  /** Fit the form to another model. A run that starts from a model has its network, and at first its settings. */
  #modelChanged() {
    if (!this.recipes) return; // the form is not built yet
    const any = this.model.key !== "";
    if (any && !this.ofModel.isConnected) {
      this.recipeBefore = new FormData(this.form).get("recipe");
      byId("start-recipes").prepend(this.ofModel);
      this.#choose(OF_MODEL);
    } else if (!any && this.ofModel.isConnected) {
      const chosen = new FormData(this.form).get("recipe");
      this.ofModel.remove();
      this.#choose(chosen || this.recipeBefore);
    }
    for (const field of this.fields.values()) {
      const { setting, input } = field;
      const locked = any ? setting.of_network : setting.needs_model;
      if (locked !== input.disabled) {
        // A locked field shows the value of the model, and has its own value again when it is free.
        [field.kept, input.value] = locked ? [input.value, ""] : ["", field.kept ?? ""];
        input.disabled = locked;
        if (setting.of_network && locked) input.setAttribute("aria-describedby", "start-model-about");
        else if (setting.of_network) input.removeAttribute("aria-describedby");
      }
      if (setting.needs_model) input.closest(".setting").hidden = !any;
    }
    this.#placeholders();
  }

  /** Return the settings of a run whose fields are all empty, and its minutes; without settings while the model is read. */
  #defaults() {
    const chosen = new FormData(this.form).get("recipe");
    if (!chosen) return { settings: this.model.settings ?? {}, minutes: this.model.minutes, of: "model" };
    return { ...this.recipes.find(({ name }) => name === chosen), of: "recipe" };
  }

  /** Show the values of the recipe or the model as placeholders in the empty fields. */
  #placeholders() {
    const { settings, minutes, of } = this.#defaults();
    const searches = this.fields.get("find_learning_rate").input.checked;
    for (const [name, { setting, input }] of this.fields) {
      if (setting.kind === "yes_no") continue;
      const fixed = this.model.key !== "" && (setting.of_network || setting.needs_model);
      let value = name === "minutes" ? minutes : (fixed ? this.model.settings ?? {} : settings)[name];
      if (minutes !== null && (name === "epochs" || name === "updates")) value = null;
      const none = value === null || value === undefined || value === "";
      const shown = none ? "–" : typeof value === "string" ? value : short(value, 12);
      if (setting.kind === "choice") input.options[0].textContent = setting.needs_model ? "refuse them" : `${shown} (${fixed ? "model" : of})`;
      else if (name === "learning_rate" && searches) input.placeholder = "from the search";
      else input.placeholder = shown;
    }
  }

  /** Request the list of texts. If several requests are open, use only the response to the last one. */
  async #texts() {
    const turn = (this.turn = {});
    try {
      const { texts, total = texts.length } = await get`/api/texts`;
      if (turn !== this.turn) return;
      const kinds = { uploaded: "Uploaded", run: "From other runs", builtin: "Built in" };
      this.texts.show(
        [
          ...Object.entries(kinds).flatMap(([kind, label]) => {
            const found = texts.filter((text) => text.kind === kind);
            return found.length ? [el("optgroup", { label }, found.map((text) => el("option", { value: text.key }, [text.name, text.description ?? bytes(text.bytes)].filter(Boolean).join(" – "))))] : [];
          }),
          ...(total > texts.length ? [rest(`… ${counted(total - texts.length, "more text")} of other runs, not listed: to use one, drop its file here`)] : []),
        ],
        this.uploadedKey,
      );
      this.uploadedKey = null;
    } catch (error) {
      if (turn === this.turn) this.problem.show(error.message);
    }
  }

  async #upload(file) {
    if (!file) return;
    byId("start-file").value = "";
    this.problem.show("");
    const most = (await this.limits).upload;
    if (file.size > most) {
      this.problem.show(`${file.name} has ${bytes(file.size)}; a page can upload at most ${bytes(most)}. Train on it from a terminal: charloom train ${shellWord(file.name)}`);
      return;
    }
    try {
      say(`Uploading ${file.name}`);
      this.uploadedKey = (await upload("/api/texts", { name: file.name.slice(0, 200) }, file)).key;
      await this.#texts();
      say(`${file.name} is uploaded`);
    } catch (error) {
      this.problem.show(error.message);
    }
  }

  async #start() {
    const settings = {};
    for (const [name, { setting, input }] of this.fields) {
      const value = input.disabled ? null : valueOf(setting, input);
      if (value !== null) settings[name] = value;
    }
    const ends = ENDS.filter((name) => name in settings);
    if (ends.length > 1) {
      const sentence = `${ends.map(words).join(" and ")} each set the end of training; give only one of them.`;
      this.problem.show(sentence, ends.map((end) => this.fields.get(end).input));
      return;
    }
    const name = byId("start-name").value.trim();
    byId("start-go").disabled = true;
    try {
      const recipe = new FormData(this.form).get("recipe");
      const from_model = this.model.key;
      const request = { text: this.text.value, settings, ...(recipe && { recipe }), ...(from_model && { from_model }), ...(name && { name }) };
      const { run } = await this.#post(request);
      this.problem.show("");
      byId("start-name").value = "";
      this.open(false);
      say(`Run ${run} is starting`);
      this.go("learning", { run });
    } catch (error) {
      this.problem.show(error.message, this.#wrong(error.message, error.param));
    } finally {
      enable(byId("start-go"));
    }
  }

  /** Start a run, and remove the failed start that it replaces: before, if that has the name of the run, otherwise after. */
  async #post(request) {
    const key = this.replaced;
    if (key === null) return post("/api/runs", request);
    const dismiss = () => post(path`/api/runs/${key}/dismiss`, {}).catch(() => {}); // the user may have dismissed it already
    try {
      const started = await post("/api/runs", request);
      await dismiss();
      return started;
    } catch (error) {
      if (error.code !== "exists") throw error;
    }
    await dismiss();
    return post("/api/runs", request);
  }

  /** Return the fields that an error is about: `param`, or those that the message names in quotation marks. */
  #wrong(message, param = null) {
    const fields = new Map([...this.fields].map(([name, { input }]) => [name, input]));
    fields.set("name", byId("start-name")).set("text", this.text).set("from_model", this.model.select);
    const given = fields.get(param?.replace(/^settings\./, ""));
    const place = (name) => message.indexOf(`“${words(name).toLowerCase()}”`);
    const named = [...fields].filter(([name]) => place(name) >= 0).sort(([a], [b]) => place(a) - place(b)).map(([, input]) => input);
    return given ? [given, ...named.filter((input) => input !== given)] : named;
  }
}

const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);

const words = (name) => {
  const spaced = name.replaceAll("_", " ").replace("ngram", "n-gram");
  return spaced[0].toUpperCase() + spaced.slice(1);
};

// The units of times that another field gives in another unit.
const UNITS = { warmup: "updates", step_after: "epochs", step_every: "epochs" };

/** Return the name of a field as its label has it, such as "Step after, in epochs". */
const label = (name) => (name in UNITS ? `${words(name)}, in ${UNITS[name]}` : words(name));

/**
 * Return a field with its name. The help of a checkbox, and of a field that only a run from a model has, is shown below it;
 * that of other fields at the pointer.
 */
function labelled({ name, kind, help, needs_model }, input) {
  if (kind !== "yes_no" && !needs_model) return el("div", { class: "setting" }, el("label", { class: "field", title: help }, label(name), input));
  const id = `start-${name}-help`;
  input.setAttribute("aria-describedby", id);
  const about = el("p", { class: "aside", id }, help);
  if (needs_model) return el("div", { class: "setting" }, el("label", { class: "field" }, label(name), input), about);
  return el("div", { class: "yes-no" }, el("label", { class: "check" }, input, label(name)), about);
}

/** Return the value of a field; null if the value of the recipe or the model is wanted. */
function valueOf({ kind }, input) {
  if (kind === "yes_no") return input.checked || null;
  if (input.value === "") return null;
  return kind === "choice" || kind === "character" ? input.value : input.valueAsNumber;
}

function field({ name, kind, choices, least, most, needs_model }) {
  if (kind === "yes_no") return el("input", { type: "checkbox", data: { setting: name } });
  if (kind === "choice") {
    const options = needs_model ? choices.filter((choice) => choice !== "refuse") : choices; // the first option refuses
    return el("select", { data: { setting: name } }, el("option", { value: "" }, ""), options.map((choice) => el("option", { value: choice }, choice)));
  }
  if (kind === "character") return el("input", { maxlength: 2, data: { setting: name } });
  // A smallest value of 0 may mean that the setting must be larger than 0. Then the server refuses 0.
  return el("input", { type: "number", step: kind === "whole" ? "1" : "any", min: least ?? undefined, max: most ?? undefined, data: { setting: name } });
}
