// The view Runs: the live list of runs with their buttons. Several runs can be selected to compare them.
// The list has every run in the server's folder; any process may train them.
import { Comparison } from "./comparison.js";
import { byId, bytes, counted, duration, el, fixed, put, integer, isErrorState } from "./dom.js";
import { bitsOf, findingOf, networkOf, reasonOf } from "./run_summary.js";
import { Start } from "./start.js";
import { RunButtons, shownState } from "./run_buttons.js";

/** The view. */
export class Runs {
  constructor(live, journals, models, go) {
    this.rows = new Map();
    this.start = new Start(models, go);
    this.comparison = new Comparison(live, journals);
    byId("runs-first").addEventListener("click", () => this.start.open(true));
    this.more = byId("runs-more");
    this.more.addEventListener("click", () => this.#more(live));
    // The observer can report several changes in one call. Only the last change shows the present state.
    this.near = new IntersectionObserver((changes) => changes.at(-1).isIntersecting && this.#more(live));
    this.near.observe(this.more);
    live.on("runs", (page) => this.#list(page));
  }

  /** Request more runs of the list. This is called when the user presses the button or scrolls near it. */
  async #more(live) {
    if (this.more.disabled) return;
    this.more.disabled = true;
    const before = this.counts;
    try {
      await live.more();
    } catch (error) {
      put(byId("runs-problem"), error.message);
    } finally {
      this.more.disabled = false;
    }
    if (this.counts !== before) this.#lookAgain();
  }

  /** Observe the button again, because the observer reports nothing while the button stays visible. */
  #lookAgain() {
    this.near.unobserve(this.more);
    this.near.observe(this.more);
  }

  /** Pass the server's recipes, settings and limits to the form. */
  about(server) {
    this.start.about(server);
  }

  /** Show the list. A link with `new` also opens the form. In it, `again` is a failed start, `from` a model. */
  show(settings, again) {
    this.comparison.show();
    if (again || !("new" in settings)) return;
    if (settings.again) this.start.again(settings.again);
    else if (settings.from) this.start.from(settings.from);
    else this.start.open(true);
  }

  /** Stop receiving the records of runs for the comparison. */
  hide() {
    this.comparison.hide();
  }

  /** Show how many of the runs are in the list. */
  #count(shown, total, unread) {
    byId("runs-rest").hidden = shown >= total;
    this.more.hidden = shown + unread >= total;
    const reading = unread ? ` The server is still reading ${counted(unread, "more run")}.` : "";
    put(byId("runs-count"), `${integer(shown)} of ${counted(total, "run")} are shown.${reading}`);
    const counts = `${shown} ${total} ${unread}`;
    if (counts === this.counts) return;
    this.counts = counts;
    if (!this.more.disabled) this.#lookAgain();
  }

  #list({ runs, total, unread }) {
    byId("runs-loading").hidden = true;
    byId("runs-empty").hidden = total > 0;
    this.#count(runs.length, total, unread);
    const keys = new Set(runs.map((run) => run.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.item.remove();
      this.rows.delete(key);
      this.comparison.choose(key, false);
    }
    const list = byId("runs-list");
    // Rows do not move while the mouse or the keyboard focus is in the list.
    const held = list.matches(":hover") || list.contains(document.activeElement);
    runs.forEach((run, n) => {
      if (!this.rows.has(run.key)) this.rows.set(run.key, new Row(run, (on) => this.comparison.choose(run.key, on)));
      const row = this.rows.get(run.key);
      row.show(run);
      if (list.children[n] !== row.item && (!held || !row.item.isConnected)) {
        list.insertBefore(row.item, list.children[n] ?? null);
      }
    });
    this.comparison.runs(runs);
    this.start.runs(runs);
  }
}

/** One row of the list. */
class Row {
  constructor(run, choose) {
    const box = el("input", { type: "checkbox", onchange: () => (box.checked = choose(box.checked)) });
    this.box = box;
    this.name = el("a", { class: "name", href: `#/learning?${new URLSearchParams({ run: run.key })}` });
    this.meta = el("div", { class: "aside" });
    this.progress = el("progress", { max: 1, value: 0 });
    this.done = el("div", { class: "aside" });
    this.bits = el("span", {});
    this.kind = el("span", { class: "aside" });
    this.badge = el("span", { class: "state" });
    this.problem = el("p", { class: "problem", role: "status" });
    this.notice = el("p", { class: "notice" });
    const actions = el("div", { class: "actions" });
    this.buttons = new RunButtons(actions, (text) => this.#say(text), () => this.#state());
    this.write = el("a", { href: `#/playground?${new URLSearchParams({ model: run.key })}` }, "Write");
    actions.append(this.write);
    this.item = el(
      "li",
      { class: "card run" },
      el("label", { class: "check", title: "Compare" }, box),
      el("div", {}, this.name, this.meta),
      el("div", { class: "going" }, this.progress, this.done),
      el("div", { class: "bits" }, this.bits, this.kind),
      el("div", { class: "badge" }, this.badge),
      actions,
      this.problem,
      this.notice,
    );
  }

  /** Show the current state of the run. */
  show(run) {
    if (run === this.run) return; // unchanged: there may be thousands of rows
    this.run = run;
    put(this.name, run.name);
    this.box.setAttribute("aria-label", `Compare ${run.name}`);
    put(this.meta, [run.text, run.recipe, networkOf(run), run.bytes === null ? "" : bytes(run.bytes)].filter(Boolean).join(" · "));
    this.progress.hidden = !run.updates;
    this.progress.setAttribute("aria-label", `Progress of ${run.name}`);
    this.progress.max = run.updates || 1;
    this.progress.value = run.update ?? 0;
    const far = run.updates ? `${integer(run.update)} of ${counted(run.updates, "update")}` : run.update === null ? "" : counted(run.update, "update");
    put(this.done, run.seconds_left === null ? far : `${far} · ${duration(run.seconds_left)} left`);
    const [bits, kind] = bitsOf(run);
    put(this.bits, bits === null ? "" : fixed(bits, 3));
    put(this.kind, bits === null ? "" : kind);
    put(this.notice, findingOf(run));
    this.write.hidden = run.latest === null;
    this.write.setAttribute("aria-label", `Write with ${run.name}`);
    this.#state();
    this.reason = reasonOf(run);
    this.#say(this.trouble ?? "");
    this.buttons.show(run);
  }

  #state() {
    this.badge.dataset.state = shownState(this.run);
    put(this.badge, this.badge.dataset.state);
  }

  #say(trouble) {
    this.trouble = trouble;
    this.problem.className = trouble || isErrorState(this.badge.dataset.state) ? "problem" : "aside reason";
    put(this.problem, trouble || this.reason);
  }
}
