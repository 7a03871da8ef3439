// Chooses the bits per character that stand for a run in the list and at the head of its figures.

/** Return the bits of a run's best model, or its last ones as far as the best are not known, and their name. */
export function bitsOf(run) {
  if (run.validation_bits === null) return [run.train_bits, "bits, training"];
  return run.best_bits === null ? [run.validation_bits, "bits, validation"] : [run.best_bits, "bits, best validation"];
}
