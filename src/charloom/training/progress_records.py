"""Computes the validation loss, tracks the best loss and detects a loss that runs away.

This module does not know when records are due or who reads them (spec/formats.md: Records).
"""

import math
from collections.abc import Generator
from typing import Final

from charloom.config import Config
from charloom.cooperative import SliceLoop, Slices
from charloom.engines import Engine
from charloom.errors import DivergedError
from charloom.formatting import decimals, one_of
from charloom.model import Learner, averaged
from charloom.scoring import (
    Piece,
    characters_read,
    cut_into_pieces,
    evenly_spread_pieces,
    from_beginnings,
    mean_nats_in_slices,
    predicted_characters,
    warm_up_length,
)
from charloom.text import Windows
from charloom.text.all_ids import AllIds
from charloom.training.divergence_advice import advice
from charloom.training.divergence_message import runs_away, uniform_nats
from charloom.training.events import EvaluationProgress, FinalEvaluation, Record

# Largest duration of the final evaluation, as a fraction of the training time.
FINAL_EVALUATION_SHARE: Final = 0.1


def validation_in_slices(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine
) -> Slices[float]:
    """Return a generator that yields after each call of the engine and at its end returns the validation loss.

    The loss is that of the learner's model, in nats per character. The setting `judged_characters` limits
    how many characters of the validation part are read; 0 means no limit.

    Args:
        learner: not changed.
        ids: the whole text, shape (characters,).
        windows: the windows of the text, which say where its validation part is.
        engine: computes the loss.

    Raises:
        DivergedError: the loss is not finite.
    """
    pieces = evaluated_pieces(learner.config, windows)
    evaluating = SliceLoop(mean_nats_in_slices(engine, averaged(learner), ids, pieces))
    for _ in evaluating:
        yield
    nats = evaluating.result
    if not math.isfinite(nats):
        raise DivergedError(f"after update {learner.update:,} the validation loss is {nats:g}.")
    return nats


def evaluate_whole_part(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine
) -> Generator[EvaluationProgress, None, FinalEvaluation]:
    """Return a generator that computes the loss on the whole validation part.

    The generator yields its progress after each call of the engine, and at its end returns the loss.
    """
    pieces = from_beginnings(ids, cut_into_pieces(windows.parts["validation"]))
    read, in_all = 0, characters_read(pieces)
    evaluating = SliceLoop(mean_nats_in_slices(engine, learner, ids, pieces))
    for characters in evaluating:
        read += characters
        yield EvaluationProgress(learner.update, read, in_all)
    return FinalEvaluation(learner.update, evaluating.result, predicted_characters(pieces))


def characters_in_one_stream(windows: Windows) -> int:
    """Return how many characters `evaluate_whole_part` reads in one stream before it uses several streams."""
    return warm_up_length(cut_into_pieces(windows.parts["validation"]))


def reads_whole_part(config: Config, windows: Windows) -> bool:
    """Return True if each evaluation reads the whole validation part, or if there is no such part."""
    if not config.validation:
        return True
    return evaluated_pieces(config, windows) == cut_into_pieces(windows.parts["validation"])


def characters_evaluated(config: Config, windows: Windows) -> tuple[int, int]:
    """Return how many characters each evaluation predicts, and how many the whole validation part has."""
    return predicted_characters(evaluated_pieces(config, windows)), predicted_characters(
        cut_into_pieces(windows.parts["validation"])
    )


def evaluated_pieces(config: Config, windows: Windows) -> list[Piece]:
    """Return the pieces of text from the validation part that each evaluation during training reads.

    The setting `judged_characters` limits the number of characters of all pieces together; 0 means no limit.
    """
    return evenly_spread_pieces(windows.parts["validation"], config.judged_characters)


def update_best_loss(learner: Learner, record: Record) -> None:
    """Store the loss of `record` as the learner's best loss if it is lower than the best loss so far.

    The loss is the validation loss or, if there is no validation part, the smooth loss. Also count the
    evaluations since the lowest validation loss.
    """
    validation = learner.config.validation
    loss = record.validation_nats if validation else record.smooth_loss
    if loss is None:
        return
    if learner.best_loss is None or loss < learner.best_loss:
        learner.best_loss, learner.best_update = loss, learner.update
        learner.judgements_since_best = 0
    elif validation:
        learner.judgements_since_best += 1


def limited_rate(characters: int, seconds: float) -> float:
    """Return the characters per second, but at most the largest speed that a line of metrics.jsonl can hold."""
    return round(min(characters / max(seconds, 1e-6), 999_999_999_999.0), 1)


def loss_runs_away(learner: Learner) -> bool:
    """Return True if the smooth loss is far above the loss of a uniform prediction."""
    nats = (learner.smooth_loss or 0.0) / learner.config.seq_length
    return runs_away(nats, len(learner.vocabulary))


def runaway_warning(learner: Learner) -> str:
    """Return a warning that the loss runs away.

    The message has placeholders for the names of settings (see `charloom.messages`).
    """
    config, loss = learner.config, learner.smooth_loss or 0.0
    nothing = uniform_nats(len(learner.vocabulary))
    return (
        f"the loss is far too high: the smooth loss up to update {learner.update:,} is "
        f"{decimals(loss / config.seq_length, 2)} nats per {one_of(config.tokens)}, and a uniform guess has {nothing:.2f}. The model learns nothing with these settings. {advice(learner)}"
    )
