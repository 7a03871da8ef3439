// Collects what a run has written into its journals, as the stream sends it. It knows nothing of how it is
// shown.
import { MOST_FOLLOWED } from "./api.js";

const MOST = 12000; // records; beyond, half of them go

/** At most so many of some things, evenly, with the first and the last. */
export function spread(things, most) {
  if (things.length <= most) return things;
  return Array.from({ length: most }, (_, n) => things[Math.round((n * (things.length - 1)) / (most - 1))]);
}

/** Half as many records; ends of epochs and judgements stay before all others. */
function half(records) {
  const matters = (record) => record.end || record.validation_nats !== null;
  const special = spread(records.filter(matters), MOST / 4);
  const others = spread(records.filter((record) => !matters(record)), MOST / 4);
  return [...special, ...others].sort((a, b) => a.update - b.update);
}

/** The records and samples of the runs that are followed, by key, and of a few that were. */
export class Journals {
  /** @param {Live} live where they come from. */
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
      this.#tell(run, "records");
    });
    live.on("samples", ({ run, fresh, samples }) => {
      const journal = this.#journal(run);
      if (fresh) journal.samples = [];
      journal.samples.push(...samples);
      this.#tell(run, "samples");
    });
  }

  /** Call `listener` with the run and the kind of what is new. */
  on(listener) {
    this.listeners.push(listener);
  }

  /** The journal of a run: records, of how many there were in all, samples, and whether anything was told of it yet. */
  of(key) {
    return this.kept.get(key) ?? { records: [], samples: [], total: 0, known: false };
  }

  /** The journal of a run to write into; what is followed no more makes room for it. */
  #journal(key) {
    if (!this.kept.has(key)) this.kept.set(key, this.of(key));
    for (const other of this.kept.keys()) {
      if (this.kept.size <= MOST_FOLLOWED) break;
      if (!this.live.followed.includes(other)) this.kept.delete(other);
    }
    return this.kept.get(key);
  }

  #tell(key, kind) {
    for (const listener of this.listeners) listener(key, kind);
  }
}
