"""Evaluates the models of compared runs on their validation parts, for the intervals of their bits per character."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.api.compared_run import ComparedRun, ValidationPart
from charloom.api.evaluation_text import TextChoice, choose_part
from charloom.api.model import Model, load
from charloom.errors import CharloomError, DivergedError
from charloom.evaluation import block_sums, interval_of_blocks
from charloom.formatting import bits_per_character, capitalized
from charloom.scoring import score_segments

BOOTSTRAP_SEED: Final = 0  # of the bootstrap, as in an evaluation

Interval = tuple[float, float]
# Shows a sentence while a `with` block runs.
Waiting = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class ValidationBits:
    """The bits per character of a run's model on its whole validation part.

    Attributes:
        part: the text and its validation part.
        characters: the number of predicted characters (or bytes).
        bits: the mean bits per character.
        interval: the 95 % bootstrap interval of `bits`; None if there are too few characters.
        sums: the nats of each block of 1,000 characters, shape (blocks,).
    """

    part: ValidationPart
    characters: int
    bits: float
    interval: Interval | None
    sums: NDArray[np.float64]


@dataclass(frozen=True)
class BitsDifference:
    """How many bits per character a model needs more than the best one on the same characters.

    Attributes:
        bits: the difference of the means.
        interval: its 95 % bootstrap interval; None if it is not known.
    """

    bits: float
    interval: Interval | None


def no_waiting(_: str) -> AbstractContextManager[None]:
    """Show nothing."""
    return nullcontext()


def evaluate_runs(
    runs: Sequence[ComparedRun], waiting: Waiting = no_waiting
) -> tuple[list[ValidationBits | None], dict[int, str]]:
    """Evaluate the model of each run that has a validation part, on the whole of it.

    Args:
        runs: the runs.
        waiting: shows a sentence while the model of a run is evaluated.

    Returns:
        The result of each run, None if it has no validation part or cannot be evaluated; and sentences, by the index
        of the run, that say why a run could not be evaluated, or that its model predicts the beginning badly.
    """
    found: list[ValidationBits | None] = []
    remarks = {}
    for n, run in enumerate(runs):
        result = None
        if run.validation_part is not None:
            try:
                with waiting(f"evaluating the model of {run.path} ({n + 1} of {len(runs)})"):
                    model = load(run.path)
                    result = evaluated(model, run.validation_part)
                if (problem := model.reading_problem()) is not None:
                    remarks[n] = problem
            except CharloomError as error:
                remarks[n] = (
                    f"there is no interval, because the run cannot be evaluated. {capitalized(error.message)}"
                )
        found.append(result)
    return found, remarks


def evaluated(model: Model, part: ValidationPart) -> ValidationBits:
    """Return the bits per character of the model of a run on its whole validation part.

    Raises:
        CharloomError: the text cannot be read, or the loss is not finite.
    """
    text = choose_part(model, TextChoice(split="validation"))
    nats = score_segments(model.engine, model.learner, text.corpus.ids, text.segments)
    mean = float(nats.mean())
    if not math.isfinite(mean):
        raise DivergedError("the model's loss is not finite: the model diverged.")
    sums = block_sums(nats)
    interval = interval_of_blocks(sums, len(nats), BOOTSTRAP_SEED)
    return ValidationBits(part, len(nats), bits_per_character(mean), interval, sums)


def difference(worse: ValidationBits, better: ValidationBits) -> BitsDifference | None:
    """Return the difference of two models; None if they were not evaluated on the same characters."""
    if worse.part != better.part or worse.characters != better.characters:
        return None
    interval = interval_of_blocks(worse.sums - better.sums, worse.characters, BOOTSTRAP_SEED)
    return BitsDifference(worse.bits - better.bits, interval)
