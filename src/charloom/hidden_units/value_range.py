"""The range of a unit's values that colours show: without the lowest and the highest percent of the values."""

from collections.abc import Sequence
from typing import Final

import numpy as np

EDGES: Final = (1, 99)  # the two percentiles of the values between which colours differ


def usual_range(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 1st and the 99th percentile of one or more values.

    If they are equal, return the lowest and the highest value. Return None if all values are equal.
    """
    low, high = np.percentile(np.asarray(values, dtype=np.float64), EDGES).tolist()
    if not low < high:
        low, high = min(values), max(values)
    return (low, high) if low < high else None
