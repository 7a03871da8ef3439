"""Finds out after a training run whether the model overfits, diverged, writes badly or has learned too little."""

from typing import TYPE_CHECKING, NamedTuple

from charloom.cli.report_output import ReadingProgress
from charloom.formatting import decimals, number_of, one_of
from charloom.messages import command

if TYPE_CHECKING:
    from charloom.api import Training
    from charloom.cli.training_outcome import Outcome
    from charloom.training import Overfitting


def found_overfitting(training: "Training", outcome: "Outcome") -> "Overfitting | None":
    """Return when and how much a run overfitted, according to its records.

    Return None if the run did not overfit, has not finished, or has no validation part.
    """
    from charloom.run_file_names import METRICS
    from charloom.store.journal_lines import is_record
    from charloom.store.journal_objects import sound_objects
    from charloom.training import overfitting

    if not (outcome.finished or training.finished) or not training.learner.config.validation:
        return None
    return overfitting(sound_objects(training.run / METRICS, is_record, [], ReadingProgress()))


def found_bad_starts(outcome: "Outcome") -> str | None:
    """Return a message that the model writes badly from a state in which it can begin.

    Return None if it writes well, if this was not measured, or if the run is not finished.
    """
    from charloom.training.start_message import bad_starts

    return None if outcome.ended is None else bad_starts(outcome.ended.start_losses)


def found_divergence(training: "Training", outcome: "Outcome") -> str | None:
    """Return a message that training diverged.

    Return None if it did not diverge, or if the command wrote no record.
    """
    from charloom.training.divergence_message import divergence_sentence

    learner, last = training.learner, outcome.last
    if last is None:
        return None
    size, factor = len(learner.vocabulary), learner.learning_rate_factor
    return divergence_sentence(learner.config, size, last.update, last.train_nats, factor)


def no_better_than_frequencies(training: "Training", outcome: "Outcome") -> str | None:
    """Return a message saying that the model predicts no better than the frequencies of the characters.

    The model is the one that commands such as `sample` use. If only its validation loss is that high, the
    message says so. Return None if it predicts better, or if the command wrote no record.
    """
    from charloom.training.unigram_comparison import frequency_nats

    used = loss_of_used_model(training, outcome)
    if used is None:
        return None
    by_counting = frequency_nats(training.corpus.ids)
    if used.nats < by_counting:
        return None
    one = one_of(training.learner.config.tokens)
    last, validation = outcome.last, training.learner.config.validation
    if last is not None and validation and last.train_nats < by_counting:
        return (
            f"the model predicts its training text ({decimals(last.train_nats, 2)} nats per {one}) better than the "
            f"frequencies of the {one}s alone ({by_counting:.2f}), but not the validation part "
            f"({decimals(used.nats, 2)}). Either it has learned the text by heart, or it falls into a bad state when it "
            f"reads the validation part from the zero state. To see which: "
            f"{command('evaluate', training.run, split='all')}, which reads the validation part after the training text."
        )
    return (
        f"the model still writes gibberish: after {number_of(used.update, 'update')} it predicts no better "
        f"than the frequencies of the {one}s alone ({decimals(used.nats, 2)} nats per {one} {used.source}; the "
        f"frequencies: {by_counting:.2f}). To train it further: "
        f"{command('resume', training.run, minutes=5)}."
    )


class MeasuredLoss(NamedTuple):
    """A loss of a model in nats per character, the update of the model, and what the loss was measured on."""

    update: int
    nats: float
    source: str


def loss_of_used_model(training: "Training", outcome: "Outcome") -> MeasuredLoss | None:
    """Return a loss of the model that commands such as `sample` use.

    Without a validation part it is the training loss. If training averages the weights, the model has the
    averaged weights, but the training loss is that of the trained ones. Return None if the command wrote no
    record.
    """
    learner, last = training.learner, outcome.last
    if last is None:
        return None
    config = learner.config
    if config.validation and learner.best_loss is not None:
        return MeasuredLoss(learner.best_update or 0, learner.best_loss, "on the validation part")
    latest = last.loss / config.seq_length
    # The average of a run's first record includes the updates of a model that knew nothing yet.
    if last.update <= config.report_every and latest < last.train_nats:
        return MeasuredLoss(last.update, latest, "in the last update")
    return MeasuredLoss(last.update, last.train_nats, "on average since the previous record")
