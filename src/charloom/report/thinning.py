"""Fewer things in the place of many: points of a line that look the same, and an even choice of a stream.

It knows nothing of runs.
"""

from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Thing = TypeVar("Thing")


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


class Spread(Generic[Thing]):
    """Keeps at most `most` of the things that it is given, evenly spread, the first and the last too.

    Args:
        most: at least 3.

    Attributes:
        total: how many things it was given.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._room = most - 1  # one place is for the last thing
        self._stride = 1
        self._kept: list[Thing] = []
        self._last: list[Thing] = []

    def add(self, thing: Thing) -> None:
        """Take the next thing."""
        if self.total % self._stride == 0:
            if len(self._kept) == self._room:
                del self._kept[1::2]
                self._stride *= 2
            if self.total % self._stride == 0:
                self._kept.append(thing)
        self._last = [thing]
        self.total += 1

    def kept(self) -> list[Thing]:
        """The things that were kept, in order."""
        last_is_kept = not self.total or (self.total - 1) % self._stride == 0
        return self._kept + ([] if last_is_kept else self._last)
