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

SAME_SUM: Final = 1e-6  # largest relative difference of two gradients in float64 that are the same
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
