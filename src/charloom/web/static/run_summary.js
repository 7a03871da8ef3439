// Chooses the bits and the words that stand for a run in the list and at the head of its view.

/** Return the bits of a run's best model, or its last ones as far as the best are not known, and their name. */
export function bitsOf(run) {
  if (run.validation_bits === null) return [run.train_bits, "bits, training"];
  return run.best_bits === null ? [run.validation_bits, "bits, validation"] : [run.best_bits, "bits, best validation"];
}

/** Return why a run is in its state, or "". The reason of a run that a signal ended is only the name of the signal. */
export function reasonOf(run) {
  const reason = run.reason ?? "";
  return /^SIG[A-Z0-9]+$/.test(reason) ? `The signal ${reason} ended it; its last state is saved.` : reason;
}
