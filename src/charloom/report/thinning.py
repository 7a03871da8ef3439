"""Removes those points of a curve that make no visible difference in a plot."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decimate(x: NDArray[Any], y: NDArray[Any], columns: int) -> NDArray[np.bool_]:
    """Return a mask that is True for the points to keep.

    The curve of these points looks the same as the whole curve in a plot that is `columns` pixels wide:
    in each column of pixels, the first, the last, the lowest and the highest point are kept.
    """
    keep = np.zeros(len(x), dtype=bool)
    column = ((x - x[0]) / (np.ptp(x) or 1.0) * columns).astype(np.int64)
    edges = np.flatnonzero(np.diff(column, prepend=-1, append=columns + 1))
    for start, end in pairwise(edges):
        keep[[start, end - 1, start + np.argmin(y[start:end]), start + np.argmax(y[start:end])]] = (
            True
        )
    return keep
