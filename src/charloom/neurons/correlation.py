"""Pearson's correlation of many rows of numbers with many columns, a block at a time.

Means, squares and products about the means are kept and merged (Chan, Golub and LeVeque 1983), in
float64, so that neither the length of a text nor a value far from zero costs digits. It knows
nothing of networks and texts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Correlation:
    """The correlation of each of P properties with each of M values over all characters so far.

    Args:
        properties: P.
        values: M.
    """

    def __init__(self, properties: int, values: int) -> None:
        self.count = 0
        self._rows = _Moments(properties)
        self._columns = _Moments(values)
        self._products = np.zeros((properties, values))

    def add(self, properties: Array, values: Array) -> None:
        """Read the numbers of some more characters, shapes (P, n) and (n, M); n of 1 or more."""
        n = values.shape[0]
        rows = np.asarray(properties, dtype=np.float64).T
        columns = np.asarray(values, dtype=np.float64)
        row_steps, rows = self._rows.add(rows, self.count)
        column_steps, columns = self._columns.add(columns, self.count)
        self._products += rows.T @ columns
        share = self.count * n / (self.count + n)
        self._products += share * np.outer(row_steps, column_steps)
        self.count += n

    def coefficients(self) -> NDArray[np.float64]:
        """r, shape (P, M), from -1 to 1; NaN where a property or a value never changed."""
        scale = np.outer(self._rows.deviations(), self._columns.deviations())
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.clip(self._products / scale, -1, 1))


class _Moments:
    """Mean, sum of squares about it, least and most of some columns."""

    def __init__(self, columns: int) -> None:
        self.mean = np.zeros(columns)
        self.squares = np.zeros(columns)
        self.least = np.full(columns, np.inf)
        self.most = np.full(columns, -np.inf)

    def add(self, block: Array, count: int) -> tuple[Array, Array]:
        """Merge a block (n, columns) with what was read of `count` characters; return how far its
        mean is from theirs, and the block about its own mean."""
        n = len(block)
        np.minimum(self.least, block.min(axis=0), out=self.least)
        np.maximum(self.most, block.max(axis=0), out=self.most)
        mean = block.mean(axis=0)
        about = block - mean
        steps = mean - self.mean
        self.squares += np.square(about).sum(axis=0) + steps * steps * (count * n / (count + n))
        self.mean += steps * (n / (count + n))
        return steps, about

    def deviations(self) -> Array:
        """The root of the squares; NaN for a column that never changed, whatever its rounding."""
        return np.where(self.least < self.most, np.sqrt(self.squares), np.nan)
