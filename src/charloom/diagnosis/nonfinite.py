"""Finds where a function first returns numbers that are not finite, and names their usual cause.

It does not use the list of known mistakes.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from charloom.diagnosis.case import Case
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.formatting import listing

EVERYTHING: Final = "everything"
THE_LOSS: Final = "the loss"
OUTPUT: Final = ("V", "c")  # the parameters whose gradients the backward pass computes first
SMALL: Final = 0.1  # weights with this standard deviation or less cannot make exp overflow


def not_numbers(case: Case) -> str:
    """Return the names of the results that are not finite in some trial, such as "dU and the loss".

    Return "everything" if no number of any trial is finite, and "" if all numbers are finite.
    """
    trials = range(len(case.calls))
    if all(none_finite(case, trial) for trial in trials):
        return EVERYTHING
    names = [
        name
        for name in (*case.exact[0].gradients, LOSS)
        if any(name in not_finite(case, trial) for trial in trials)
    ]
    return listing([in_words(name) for name in names])


def not_finite(case: Case, trial: int) -> list[str]:
    """Return the names of the results that are not finite in a trial, such as ["W", "loss"].

    A gradient has the name of its parameter. It is not finite if one of its entries is not.
    """
    call = case.calls[trial]
    names = [name for name, given in call.gradients.items() if not np.isfinite(given).all()]
    return names if call.loss is None or math.isfinite(call.loss) else [*names, LOSS]


def none_finite(case: Case, trial: int) -> bool:
    """Return True if neither the loss nor any entry of a gradient of a trial is finite."""
    call = case.calls[trial]
    loss_finite = call.loss is not None and math.isfinite(call.loss)
    return not loss_finite and not any(np.isfinite(g).any() for g in call.gradients.values())


def clues(case: Case) -> Iterator[str]:
    """Yield two sentences: where numbers are first not finite, and what the usual cause is.

    Yield nothing if all numbers are finite.
    """
    trials = [trial for trial in range(len(case.calls)) if not_finite(case, trial)]
    if not trials:
        return
    first = trials[0]
    names = not_finite(case, first)
    earliest = [LOSS] if LOSS in names else [name for name in names if name in OUTPUT] or names
    where = f"in the trial with {case.trials[first].info.description()}"
    yield (
        f"the first numbers that are not finite are in {listing([in_words(name) for name in earliest])}, "
        f"{where}; {len(trials)} of {len(case.trials)} trials have such numbers."
    )
    yield usual_cause(case, trials)


def usual_cause(case: Case, trials: list[int]) -> str:
    """Return sentences about the usual cause of numbers that are not finite.

    `trials` are the indices of the trials with such numbers.
    """
    if any(case.trials[trial].info.sigma <= SMALL for trial in trials):
        return (
            "it happens with small weights too, where nothing overflows. Usual causes: 0 / 0, the "
            "logarithm of 0 or of a negative number, np.empty instead of np.zeros, or a NaN in the code."
        )
    losses = [case.calls[trial].loss for trial in trials]
    if any(loss is not None and math.isinf(loss) for loss in losses):
        return (
            "it happens only with large weights. The usual cause is the logarithm of a p that is 0; "
            "compute ln p as o - max(o) - ln(sum(exp(o - max(o))))."
        )
    if any(loss is not None and math.isnan(loss) for loss in losses):
        return (
            "it happens only with large weights. The usual cause is exp of a large logit: it is "
            "infinite, and infinity / infinity is NaN; subtract the largest logit before exp."
        )
    return (
        "it happens only with large weights, and the loss is finite. Usual causes: exp of a large "
        "number in a derivative, or a division by a p or an h that is 0."
    )


def in_words(name: str) -> str:
    """Return the words for a result in a sentence: "dU" for the gradient "U", and "the loss" for "loss"."""
    return THE_LOSS if name == LOSS else f"d{name}"
