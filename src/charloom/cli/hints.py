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


def overfitting_sentence(found: "Overfitting", run: Path, kept: int | None) -> str:
    """That a training overfitted, from when on, and what to do about it.

    Args:
        kept: the update of the best checkpoint that the run still has; None where it has none.
    """
    return (
        f"the validation loss was best at update {found.update:,} and has risen since by "
        f"{decimals(found.rise, 2)} nats ({100 * found.share:.0f} %): the model overfits from there on. "
        f"{writing_sentence(found, run, kept)} When you train again, try {argument('dropout')}, a smaller "
        f"{argument('hidden_size')} or {argument('patience')}."
    )


def writing_sentence(found: "Overfitting", run: Path, kept: int | None) -> str:
    """Which model `sample` writes with."""
    sample = terminal_command("sample", run)
    if kept == found.update:
        return f"{sample} writes with the best one."
    whose = (
        "the last one" if kept is None else f"that of update {kept:,}, the best one that is left"
    )
    return f"The checkpoint of that update is lost; {sample} writes with {whose}."


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
