// Collects the records and samples of runs from the event stream. This module does not know how they are shown.

const MOST = 12000; // largest number of stored records of a run; half of the records are dropped if there are more

/** Return at most `most` evenly spread items, the first and the last included. */
export function spread(items, most) {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, n) => items[Math.round((n * (items.length - 1)) / (most - 1))]);
}

/** Return half of the records. Records at the end of an epoch or with a validation loss are preferred. */
function half(records) {
  const matters = (record) => record.end || record.validation_nats !== null;
  const special = spread(records.filter(matters), MOST / 4);
  const others = spread(records.filter((record) => !matters(record)), MOST / 4);
  return [...special, ...others].sort((a, b) => a.update - b.update);
}

/** The records and samples of the runs that the page follows, and of a few runs that it followed before. */
export class Journals {
  /** @param {Live} live the source of the events. */
  constructor(live) {
    this.live = live;
    this.kept = new Map();
    this.listeners = [];
    live.on("records", ({ run, fresh, records, total = records.length }) => {
      const journal = this.#journal(run);
      if (fresh) Object.assign(journal, { records: [], total });
      else journal.total += total;
      journal.records.push(...records);
      journal.known = true;
      if (journal.records.length > MOST) journal.records = half(journal.records);
      this.#notify(run, "records");
    });
    live.on("samples", ({ run, fresh, samples }) => {
      const journal = this.#journal(run);
      if (fresh) journal.samples = [];
      journal.samples.push(...samples);
      this.#notify(run, "samples");
    });
  }

  /** Call `listener(key, kind)` when there are new "records" or "samples" of a run. */
  on(listener) {
    this.listeners.push(listener);
  }

  /**
   * Return the records and the samples of a run. `total` is the number of all its records. `known` is false until the
   * first event with records of the run has arrived.
   */
  of(key) {
    return this.kept.get(key) ?? { records: [], samples: [], total: 0, known: false };
  }

  /** Return the stored records and samples of a run, to add to them. Drop those of runs that are no longer followed. */
  #journal(key) {
    if (!this.kept.has(key)) this.kept.set(key, this.of(key));
    for (const other of this.kept.keys()) {
      if (this.kept.size <= this.live.mostFollowed) break;
      if (!this.live.followed.includes(other)) this.kept.delete(other);
    }
    return this.kept.get(key);
  }

  #notify(key, kind) {
    for (const listener of this.listeners) listener(key, kind);
  }
}
