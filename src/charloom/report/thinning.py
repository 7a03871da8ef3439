"""Thins the points of a line to fewer that look the same."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decimate(x: NDArray[Any], y: NDArray[Any], columns: int) -> NDArray[np.bool_]:
    """Which points of a line to keep so that it looks the same `columns` pixels wide.

    Of the points in one column those that enter, leave, and lie lowest and highest are kept.
    """
    keep = np.zeros(len(x), dtype=bool)
    column = ((x - x[0]) / (np.ptp(x) or 1.0) * columns).astype(np.int64)
    edges = np.flatnonzero(np.diff(column, prepend=-1, append=columns + 1))
    for start, end in pairwise(edges):
        keep[[start, end - 1, start + np.argmin(y[start:end]), start + np.argmax(y[start:end])]] = (
            True
        )
    return keep
