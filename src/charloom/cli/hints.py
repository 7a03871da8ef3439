"""Finds out after a training run whether the model overfits or has learned too little."""

from typing import TYPE_CHECKING

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


def no_better_than_frequencies(training: "Training", outcome: "Outcome") -> str | None:
    """Return a message saying that the model predicts no better than the frequencies of the characters.

    Return None if it predicts better. Also return None if the loss diverged, because a warning was
    already printed, or if the run has no record.
    """
    from charloom.training.progress_records import loss_runs_away
    from charloom.training.unigram_comparison import frequency_nats

    last = outcome.last
    if last is None or loss_runs_away(training.learner):
        return None
    nats, source = last.validation_nats, "on the validation part"
    if nats is None:
        nats, source = last.train_nats, "on average since the previous record"
    by_counting = frequency_nats(training.corpus.ids)
    if nats < by_counting:
        return None
    one = one_of(training.learner.config.tokens)
    return (
        f"the model still writes gibberish: after {number_of(last.update, 'update')} it predicts no better "
        f"than the frequencies of the {one}s alone ({decimals(nats, 2)} nats per {one} {source}; the "
        f"frequencies: {by_counting:.2f}). To train it further: "
        f"{command('resume', training.run, minutes=5)}."
    )
