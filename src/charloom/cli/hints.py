"""Hints after a training: that its model overfits, or has learnt too little, and what to try."""

from pathlib import Path
from typing import TYPE_CHECKING

from charloom.cli.reading import ReadingProgress
from charloom.messages import argument, command, terminal_command
from charloom.spelling import decimals, number_of, one_of

if TYPE_CHECKING:
    from charloom.api import Training
    from charloom.cli.outcome import Outcome
    from charloom.training import Overfitting


def found_overfitting(training: "Training", outcome: "Outcome") -> "Overfitting | None":
    """How a training that is at its end overfitted, as its records tell."""
    from charloom.store.layout import METRICS
    from charloom.store.lines import is_record
    from charloom.store.view import sound_objects
    from charloom.training import overfitting

    if not (outcome.finished or training.finished) or not training.learner.config.validation:
        return None
    return overfitting(sound_objects(training.run / METRICS, is_record, [], ReadingProgress()))


def overfitting_sentence(found: "Overfitting", run: Path) -> str:
    """That a training overfitted, from when on, and what to do about it."""
    return (
        f"the validation loss was best at update {found.update:,} and has risen since by "
        f"{decimals(found.rise, 2)} nats ({100 * found.share:.0f} %): the model overfits from there on. "
        f"{terminal_command('sample', run)} writes with the best one. When you train again, try {argument('dropout')}, a smaller "
        f"{argument('hidden_size')} or {argument('patience')}."
    )


def learnt_nothing(training: "Training", outcome: "Outcome") -> str | None:
    """What to say of a model that predicts no better than how often each character occurs does, and
    what to do; None of one that predicts better, and of one whose loss runs away, which was warned of."""
    from charloom.training.judging import runs_away
    from charloom.training.learnt import frequency_nats

    last = outcome.last
    if last is None or runs_away(training.learner):
        return None
    nats, where = last.validation_nats, "on the validation part"
    if nats is None:
        nats, where = last.train_nats, "on average since the record before"
    by_counting = frequency_nats(training.corpus.ids)
    if nats < by_counting:
        return None
    one = one_of(training.learner.config.tokens)
    return (
        f"the model writes gibberish still: after {number_of(last.update, 'update')} it predicts no better "
        f"than the frequencies of the {one}s alone ({decimals(nats, 2)} nats per {one} {where}; the "
        f"frequencies: {by_counting:.2f}). To train it further: "
        f"{command('resume', training.run, minutes=5)}."
    )
