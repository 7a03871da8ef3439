"""Pearson's correlation of many properties with many values, computed block by block.

For each block, the means and the sums of squares and products about the means are computed in
float64 and merged with those of the earlier blocks (Chan, Golub and LeVeque 1983). So no digits are
lost in long texts or with values far from zero. This module does not depend on networks or texts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Correlation:
    """The correlation of each of P properties with each of M values, over the characters added so far.

    Args:
        properties: the number of properties, P.
        values: the number of values, M.
    """

    def __init__(self, properties: int, values: int) -> None:
        self.count = 0
        self._rows = _Moments(properties)
        self._columns = _Moments(values)
        self._products = np.zeros((properties, values))

    def add(self, properties: Array, values: Array) -> None:
        """Add n more characters: their P properties and their M values. n is at least 1.

        `properties` has shape (P, n), and `values` has shape (n, M).
        """
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
        """Return the correlation coefficient of each of P properties with each of M values.

        The coefficients are from -1 to 1, shape (P, M). A coefficient is NaN if the property or the
        value was the same at all characters.
        """
        scale = np.outer(self._rows.deviations(), self._columns.deviations())
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.clip(self._products / scale, -1, 1))


class _Moments:
    """The mean, sum of squares about the mean, minimum and maximum of each column of numbers."""

    def __init__(self, columns: int) -> None:
        self.mean = np.zeros(columns)
        self.squares = np.zeros(columns)
        self.least = np.full(columns, np.inf)
        self.most = np.full(columns, -np.inf)

    def add(self, block: Array, count: int) -> tuple[Array, Array]:
        """Add the rows of `block`, shape (n, columns), to the `count` rows added before.

        Returns:
            Two arrays: each column's mean in the block minus its mean before, shape (columns,); and
            the block minus the block's own means, shape (n, columns).
        """
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
        """Return the square root of each column's sum of squares about the mean, shape (columns,).

        The root is NaN for a column that never changed.
        """
        return np.where(self.least < self.most, np.sqrt(self.squares), np.nan)
