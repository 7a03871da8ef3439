// The view Studies: the list of studies with their progress. The list is requested again every two seconds.
import { get } from "./api.js";
import { byId, el, fixed, integer, put } from "./dom.js";
import { repeating, showProgress } from "./study_progress.js";

/** The view. */
export class Studies {
  constructor() {
    this.rows = new Map();
    this.requests = repeating((wanted) => this.#load(wanted));
  }

  /** Show the list, and keep it up to date. */
  show() {
    this.requests.start();
  }

  /** Stop requesting the list. */
  hide() {
    this.requests.stop();
  }

  /** Request the list once. Return true if the server has not read all results yet. */
  async #load(wanted) {
    try {
      const { studies, total } = await get`/api/studies?limit=1000`;
      if (!wanted()) return false;
      put(byId("studies-problem"), "");
      this.#list(studies, total);
      return studies.some((study) => study.reading);
    } catch (error) {
      if (wanted() && error.status) put(byId("studies-problem"), error.message);
      return false;
    }
  }

  #list(studies, total) {
    byId("studies-loading").hidden = true;
    byId("studies-empty").hidden = total > 0;
    byId("studies-rest").hidden = total <= studies.length;
    put(byId("studies-rest"), `${integer(studies.length)} of ${integer(total)} studies are shown.`);
    const keys = new Set(studies.map((study) => study.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.item.remove();
      this.rows.delete(key);
    }
    const list = byId("studies-list");
    // Rows do not move while the mouse or the keyboard focus is in the list.
    const held = list.matches(":hover") || list.contains(document.activeElement);
    studies.forEach((study, n) => {
      if (!this.rows.has(study.key)) this.rows.set(study.key, new Row(study));
      const row = this.rows.get(study.key);
      row.show(study);
      if (list.children[n] !== row.item && (!held || !row.item.isConnected)) {
        list.insertBefore(row.item, list.children[n] ?? null);
      }
    });
  }
}

/** One row of the list. */
class Row {
  constructor(study) {
    this.name = el("a", { class: "name", href: `#/study?${new URLSearchParams({ name: study.key })}` }, study.name);
    this.progress = el("progress", { max: 1, value: 0, "aria-label": `Progress of ${study.name}` });
    this.done = el("div", { class: "aside" });
    this.bits = el("span", {});
    this.kind = el("span", { class: "aside" });
    this.badge = el("span", { class: "state" });
    this.problem = el("p", { class: "problem" });
    this.notice = el("p", { class: "notice" });
    this.item = el(
      "li",
      { class: "card run study-run" },
      el("div", {}, this.name, el("div", { class: "aside" }, study.path)),
      el("div", { class: "going" }, this.progress, this.done),
      el("div", { class: "bits" }, this.bits, this.kind),
      el("div", { class: "badge" }, this.badge),
      this.problem,
      this.notice,
    );
  }

  /** Show the current state of the study. */
  show(study) {
    showProgress(study, this.progress, this.done, this.badge);
    this.progress.hidden = !study.runs;
    const none = study.best_bits === null;
    put(this.bits, none ? "" : fixed(study.best_bits, 3));
    put(this.kind, none ? "" : `bits per ${study.unit}, lowest of all runs`);
    put(this.problem, study.reason ?? "");
    put(this.notice, study.damage ?? "");
  }
}
