"""Finds out whether the losses of a function are rounded: computed in float32, or cut to some decimals.

Gradients are often exact although the loss is rounded, because only the loss is printed. This module knows
no network.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.outcome import Call

DECIMALS: Final = range(3, 9)  # numbers of decimals to which a loss is usually rounded
SINGLE: Final = 1e-5  # relative error of a loss that is computed in float32
NOISE: Final = 1e-10  # a relative rounding error of the loss above this is not one of float64


def loss_errors(calls: Sequence[Call], noise: float) -> list[float] | None:
    """Return the relative error that rounding may cause in the loss of each call; None if none is rounded.

    `noise` is the relative rounding error that was measured in the losses; 0 if it is not known.
    """
    losses = [call.loss for call in calls if call.loss is not None and math.isfinite(call.loss)]
    if len(losses) < 2 or not any(losses) or all(call.float32 for call in calls):
        return None
    for decimals in DECIMALS:
        if all(round(loss, decimals) == loss for loss in losses):
            return [0.51 * 10**-decimals / max(abs(call.loss or 0.0), 1e-300) for call in calls]
    if NOISE < noise < SINGLE or all(float(np.float32(loss)) == loss for loss in losses):
        return [SINGLE] * len(calls)
    return None
