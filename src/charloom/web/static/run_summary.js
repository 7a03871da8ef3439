// Chooses the bits and the words that stand for a run in the list and at the head of its view.
import { counted } from "./dom.js";

/**
 * Return the loss to show for a run in bits, and the name of this loss. This is the validation loss of the best checkpoint,
 * or the last validation loss if the former is not known. Before the first validation loss, it is the training loss, the
 * mean of the last complete epoch: the smooth loss of a short run is far too high, because it begins with the loss of the first update.
 */
export function bitsOf(run) {
  if (run.validation_bits === null) return [run.train_bits, run.train_bits_of ? `bits, training, ${run.train_bits_of}` : "bits, training"];
  return run.best_bits === null ? [run.validation_bits, "bits, validation"] : [run.best_bits, "bits, best validation"];
}

/**
 * Return the size of a run's network, the length of its n-grams and the number of its pairs, if it has any; "" if it is not
 * known yet.
 */
export function networkOf(run) {
  if (!run.cell) return "";
  const network = `${run.cell.toUpperCase()} ${run.layers}\u00a0×\u00a0${run.hidden_size}`;
  const parts = [run.ngram_order && `${run.ngram_order}-grams`, run.input_pairs && counted(run.input_pairs, "pair")];
  const more = parts.filter(Boolean).join(" and ");
  return more ? `${network} with ${more}` : network;
}

/**
 * Return a sentence saying that a run diverged, that its model overfits, that it writes badly from a state, or that its end
 * moved; and one saying that a part of its schedule lies beyond its end; "" if none is known.
 */
export function findingOf(run) {
  const finding = run.divergence ?? run.overfitting ?? run.start_warning ?? run.end_change;
  return [finding, run.schedule_warning].filter(Boolean).join(" ");
}

/** Return why a run is in its state, and what is damaged, in sentences; "" if there is nothing to say. */
export function reasonOf(run) {
  const { reason, damage } = run;
  if (!reason || reason === damage) return reason ?? "";
  return damage ? `${sentence(reason)} ${damage}` : sentence(reason);
}

/** Return a reason as a sentence. Some reasons are only the name of a signal or of the rule that stopped the run. */
function sentence(reason) {
  if (reason === "SIGINT") return "Stopped by SIGINT (Ctrl-C).";
  if (/^SIG[A-Z0-9]+$/.test(reason)) return `Stopped by the signal ${reason}.`;
  if (reason.startsWith("a command ")) return `Stopped by ${reason}.`;
  if (reason.startsWith("no better ")) return `Training ended early: ${reason}.`;
  const whole = /[.!?]$/.test(reason) ? reason : `${reason}.`;
  return whole.startsWith("its process ") ? `I${whole.slice(1)}` : whole;
}
