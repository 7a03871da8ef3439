"""Finds where a function's answers stop being finite numbers, and what usually causes that.

It knows no list of mistakes.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from charloom.diagnosis.case import Case
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.runner import told
from charloom.formatting import listing

EVERYTHING: Final = "everything"
THE_LOSS: Final = "the loss"
OUTPUT: Final = ("V", "c")  # their gradients come first on the way back
SMALL: Final = 0.1  # sigma of weights with which exp overflows nowhere


def not_numbers(case: Case) -> str:
    """What is not finite somewhere, in words: "dU and the loss", or "everything"; "" where all is."""
    if all(none_finite(case, place) for place in range(len(case.calls))):
        return EVERYTHING
    names = [name for name in (*case.exact[0].gradients, LOSS)
             if any(name in broken(case, place) for place in range(len(case.calls)))]  # fmt: skip
    return listing([called(name) for name in names])


def broken(case: Case, place: int) -> list[str]:
    """The parameters whose gradients are not finite somewhere in a trial, and "loss" if it is not."""
    call = case.calls[place]
    found = [name for name, given in call.gradients.items() if not np.isfinite(given).all()]
    return found if call.loss is None or math.isfinite(call.loss) else [*found, LOSS]


def none_finite(case: Case, place: int) -> bool:
    """Whether no number at all is finite in a trial."""
    call = case.calls[place]
    loss_finite = call.loss is not None and math.isfinite(call.loss)
    return not loss_finite and not any(np.isfinite(g).any() for g in call.gradients.values())


def clues(case: Case) -> Iterator[str]:
    """Where it begins, and what usually causes it; nothing where all numbers are finite."""
    places = [place for place in range(len(case.calls)) if broken(case, place)]
    if not places:
        return
    first = places[0]
    names = broken(case, first)
    begins = [LOSS] if LOSS in names else [name for name in names if name in OUTPUT] or names
    where = f"in the trial with {told(case.trials[first])}"
    yield (
        f"it begins in {listing([called(name) for name in begins])}, {where}; "
        f"{len(places)} of {len(case.trials)} trials have numbers that are not finite."
    )
    yield cause(case, places)


def cause(case: Case, places: list[int]) -> str:
    """What usually makes such numbers, by where they are."""
    if any(case.trials[place].sigma <= SMALL for place in places):
        return (
            "it is so with small weights too, where nothing overflows: usually 0 / 0, a logarithm of "
            "0 or of a negative number, np.empty where np.zeros is meant, or a NaN that is assigned."
        )
    losses = [case.calls[place].loss for place in places]
    if any(loss is not None and math.isinf(loss) for loss in losses):
        return (
            "it is so with large weights alone: usually the logarithm of a p that is 0; compute "
            "ln p as o - max(o) - ln(sum(exp(o - max(o))))."
        )
    if any(loss is not None and math.isnan(loss) for loss in losses):
        return (
            "it is so with large weights alone: usually exp of a large logit, which is infinite, and "
            "infinity / infinity is not a number; subtract the largest logit before exp."
        )
    return (
        "it is so with large weights alone, and the loss is finite: usually exp of a large number in "
        "a derivative, or a division by a p or an h that is 0 there."
    )


def called(name: str) -> str:
    """What a gradient, or the loss, is called in a sentence."""
    return THE_LOSS if name == LOSS else f"d{name}"
