"""Compares the gradients of a batch with those of its texts.

The gradient of a batch must be the sum of the gradients of its texts, or their mean. If every gradient has the
same factor, it may be either: the loss is often printed in another way than it is differentiated. This module
does not run the user's code.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array
from charloom.formatting import listing

SAME_SUM: Final = 1e-6  # largest relative difference of two gradients in float64 that are the same
SAME_SLOPE: Final = 1e-4  # the same for a gradient in a direction and a central difference
SAME_SUM32: Final = 1e-3  # the same in float32


def batch_mistakes(calls: Sequence[Call]) -> list[Found]:
    """Return the mistake that the calls on a batch show, if they show one.

    `calls` are the calls on each text alone, and then the one on the batch. The variant names the gradients
    that are wrong, and says what they are.
    """
    if not calls or not all(call.is_finite() for call in calls):
        return []
    *alone, batch = calls
    limit = SAME_SUM32 if batch.float32 else SAME_SUM
    shares = {}
    for name, given in batch.gradients.items():
        parts = [call.gradients[name] for call in alone]
        if any(part.shape != given.shape for part in parts):
            return []
        total = np.sum(parts, axis=0)
        size = float(np.linalg.norm(total))
        if size > 0:
            near = (
                s
                for s in (1.0, 1 / len(alone))
                if np.linalg.norm(given - s * total) <= limit * size
            )
            shares[name] = next(near, 0.0)
    usual = [share for share in shares.values() if share]
    if not usual:
        return []
    most = max(set(usual), key=lambda share: (usual.count(share), share))
    wrong = [f"d{name}" for name, share in shares.items() if share != most]
    return [Found("batch-not-summed", ", ".join(wrong))] if wrong else []


def mistakes_in_training(texts: Sequence[Call], later: Sequence[Call]) -> list[Found]:
    """Return the mistakes that a batch of texts and the second iteration of a training show.

    Args:
        texts: the derivatives of the loss of a batch and the gradients, in one direction of each block.
        later: the same in the second iteration, and the gradients of the first one; each may be empty.
    """
    found = []
    if texts and (wrong := differing(*texts)):
        found.append(Found("batch-not-summed", named(wrong, texts[0])))
    if later:
        right, given, first = (call.gradients for call in later)
        added = {name: right[name] + first[name] for name in right}
        wrong = [name for name in right if not near(given[name], right[name])]
        if wrong and all(near(given[name], added[name]) for name in wrong):
            found.append(Found("gradients-carried-over", named(wrong, later[0])))
    return found


def near(given: Array, right: Array) -> bool:
    """Return True if a gradient in a direction is a derivative, up to the error of central differences."""
    return bool(np.linalg.norm(given - right) <= SAME_SLOPE * np.linalg.norm(right))


def differing(right: Call, given: Call) -> list[str]:
    """Return the blocks of the gradients that are not derivatives, if most of them are, up to a factor that they share."""
    ratios = {
        name: float(given.gradients[name][0] / slope[0])
        for name, slope in right.gradients.items()
        if slope.any()
    }
    values = list(ratios.values())
    agreeing = [sum(abs(one - r) <= SAME_SLOPE * abs(r) for one in values) for r in values]
    if not values or max(agreeing) < 2:
        return []
    usual = values[agreeing.index(max(agreeing))]
    return [n for n, r in ratios.items() if abs(r - usual) > SAME_SLOPE * abs(usual)]


def named(wrong: Sequence[str], every: Call) -> str:
    """Return the names of wrong gradients, such as "dU, dW of f, db of f", for blocks such as "W f"."""
    gates: dict[str, list[str]] = {}
    for block in wrong:
        name, gate = block.split(" ")
        gates.setdefault(name, []).append(gate)
    whole = [
        n
        for n, some in gates.items()
        if len(some) == sum(b.split(" ")[0] == n for b in every.gradients)
    ]
    return ", ".join(
        f"d{n}" if n in whole else f"d{n} of {listing(some)}" for n, some in gates.items()
    )
