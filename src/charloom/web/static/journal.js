// What a run wrote into its journals so far, kept together as the stream tells it.
// It knows nothing of how it is shown.

const MOST = 12000; // records; beyond, the server is asked for thinned ones again

/** The records and samples of the runs that are followed, by key. */
export class Journals {
  /** @param {Live} live where they come from; @param {(key: string, kind: string) => void} changed told of news. */
  constructor(live, changed) {
    this.kept = new Map();
    live.on("records", ({ run, fresh, records }) => {
      const journal = this.of(run);
      if (fresh) journal.records = [];
      journal.records.push(...records);
      journal.known = true;
      if (journal.records.length > MOST) live.open();
      changed(run, "records");
    });
    live.on("samples", ({ run, fresh, samples }) => {
      const journal = this.of(run);
      if (fresh) journal.samples = [];
      journal.samples.push(...samples);
      changed(run, "samples");
    });
  }

  /** The journal of a run: records, samples, and whether anything was told of it yet. */
  of(key) {
    if (!this.kept.has(key)) this.kept.set(key, { records: [], samples: [], known: false });
    return this.kept.get(key);
  }
}
