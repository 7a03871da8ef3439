"""Notes what a training knows at a record: its figures, the best so far, a loss that runs away.

It knows nothing of when records are due, nor of who reads them (spec/formats.md: Records).
"""

import math
from collections.abc import Callable, Generator
from typing import Final

from charloom.config import Config
from charloom.engines import Engine, Trace
from charloom.errors import DivergedError
from charloom.model import Learner
from charloom.scoring import Piece, averaging, characters_read, cut, opening, predicted, spread
from charloom.spelling import decimals
from charloom.text import Windows
from charloom.text.id_file import AllIds
from charloom.training.advice import advice
from charloom.training.items import Judged, Judging, Record

WORTH: Final = 0.1  # of a training's seconds, what judging all that is held out may take at its end
RUNAWAY: Final = 2.0  # times the loss of a network that knows nothing


class Abandoned(Exception):
    """A judgement or a text that the learner writes was given up before its end."""


def validate(
    learner: Learner,
    ids: AllIds,
    windows: Windows,
    engine: Engine,
    given_up: Callable[[], bool] = lambda: False,
) -> float:
    """Nats per character of the validation part, or of as much of it as a judgement reads.

    Args:
        given_up: asked after each call of the engine; whether to judge no further.

    Raises:
        Abandoned: it was given up.
        DivergedError: they are not finite.
    """
    judging = averaging(engine, learner, ids, judged_pieces(learner.config, windows))
    while True:
        try:
            next(judging)
        except StopIteration as end:
            nats: float = end.value
            break
        if given_up():
            raise Abandoned
    if not math.isfinite(nats):
        raise DivergedError(
            f"after update {learner.update:,} the model's loss on the validation part is {nats:g}."
        )
    return nats


def judge_all(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine
) -> Generator[Judging, None, Judged]:
    """Judge a learner on all of the validation part, telling after each call of the engine how far
    it is."""
    pieces, read = cut(windows.parts["validation"]), 0
    judging, in_all = averaging(engine, learner, ids, pieces), characters_read(pieces)
    while True:
        try:
            read += next(judging)
        except StopIteration as end:
            return Judged(learner.update, end.value, predicted(pieces))
        yield Judging(learner.update, read, in_all)


def read_alone(windows: Windows) -> int:
    """How many characters a single stream reads first where all of the validation part is judged."""
    return opening(cut(windows.parts["validation"]))


def judges_all(config: Config, windows: Windows) -> bool:
    """Whether each judgement reads all of the validation part, or nothing is held out."""
    if not config.validation:
        return True
    return judged_pieces(config, windows) == cut(windows.parts["validation"])


def characters_judged(config: Config, windows: Windows) -> tuple[int, int]:
    """How many characters a judgement predicts, and how many are held out for it to predict."""
    return predicted(judged_pieces(config, windows)), predicted(cut(windows.parts["validation"]))


def judged_pieces(config: Config, windows: Windows) -> list[Piece]:
    """What of the validation part a judgement in training reads (setting `judged_characters`)."""
    return spread(windows.parts["validation"], config.judged_characters)


def take_record(
    learner: Learner,
    windows: Windows,
    trace: Trace,
    learning_rate: float,
    seconds: float,
    characters_per_second: float,
    validation_nats: float | None,
) -> Record:
    """The record of an update, after which the sums begin anew and the best may be another one."""
    config = learner.config
    record = Record(
        update=learner.update,
        epoch=learner.update / windows.per_epoch,
        characters=learner.update * config.seq_length * config.batch_size,
        seconds=round(seconds, 3),
        loss=float(trace.losses[-1]),
        smooth_loss=learner.smooth_loss or 0.0,
        train_nats=learner.pending_loss / (learner.pending_updates * config.seq_length),
        learning_rate=learning_rate,
        gradient_norm=float(trace.gradient_norms[-1]),
        characters_per_second=characters_per_second,
        validation_nats=validation_nats,
    )
    learner.pending_loss, learner.pending_updates = 0.0, 0
    if not config.validation:
        note_judgement(learner, record.smooth_loss)
    elif validation_nats is not None:
        note_judgement(learner, validation_nats)
        if learner.best_update != learner.update:
            learner.judgements_since_best += 1
    return record


def note_judgement(learner: Learner, loss: float) -> None:
    """Take note of the loss by which the best is told: the first of the lowest ones."""
    if learner.best_loss is None or loss < learner.best_loss:
        learner.best_loss, learner.best_update = loss, learner.update
        learner.judgements_since_best = 0


def rate(characters: int, seconds: float) -> float:
    """Characters per second, within what the record's width holds."""
    return round(min(characters / max(seconds, 1e-6), 999_999_999_999.0), 1)


def runs_away(learner: Learner) -> bool:
    """Whether the smooth loss is far above that of a network that knows nothing."""
    nothing = learner.config.seq_length * math.log(len(learner.vocabulary))
    return (learner.smooth_loss or 0.0) > RUNAWAY * nothing


def runaway(learner: Learner) -> str:
    """The warning of a loss that runs away."""
    config, loss = learner.config, learner.smooth_loss or 0.0
    nothing = math.log(len(learner.vocabulary))
    return (
        f"the loss runs away: {decimals(loss / config.seq_length, 2)} nats per character, and a network "
        f"that knows nothing has {nothing:.2f}. Nothing is learnt like this. {advice(learner)}"
    )
