"""Fits a power law with a limit to the loss as a function of a size: bits = limit + factor · size^(-exponent)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_POINTS: Final = 4  # a power law has three numbers, and fits three points always
EXPONENTS: Final = (0.02, 4.0)
TRIED: Final = 200  # exponents that are tried at each refinement
REFINEMENTS: Final = 6
AT_END: Final = 0.01  # relative distance from an end of EXPONENTS


@dataclass(frozen=True)
class PowerLaw:
    """A fitted power law.

    Attributes:
        limit: the loss that larger sizes approach.
        factor: the factor of the power.
        exponent: how fast the loss falls, above 0.
        explained: the fraction of the variance that the law explains (R²), at most 1.
    """

    limit: float
    factor: float
    exponent: float
    explained: float

    def __call__(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the losses for sizes."""
        return np.asarray(self.limit + self.factor * sizes**-self.exponent)


def fit_power_law(sizes: Sequence[float], losses: Sequence[float]) -> PowerLaw | None:
    """Return the power law with the least squared error; None if there are too few sizes, or if the loss rises.

    For each exponent, limit and factor follow from linear least squares. The limit is at least 0.

    Args:
        sizes: positive sizes, such as numbers of parameters.
        losses: the loss for each.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if len(set(sizes)) < LEAST_POINTS or min(sizes) <= 0:
        return None
    low, high = EXPONENTS
    best = (np.inf, 0.0, 0.0, 0.0)
    for _ in range(REFINEMENTS):
        tried = np.geomspace(low, high, TRIED)
        best = min((squared_error(x, y, exponent) for exponent in tried), key=lambda one: one[0])
        step = (high / low) ** (2 / TRIED)
        low, high = max(best[3] / step, EXPONENTS[0]), min(best[3] * step, EXPONENTS[1])
    error, limit, factor, exponent = best
    variance = float(((y - y.mean()) ** 2).sum())
    # A fit at the end of the searched exponents is none: the true one is beyond.
    at_end = min(abs(math.log(exponent / end)) for end in EXPONENTS) < AT_END
    if factor <= 0 or not variance or at_end:
        return None
    return PowerLaw(limit, float(factor), float(exponent), 1 - error / variance)


def squared_error(
    x: NDArray[np.float64], y: NDArray[np.float64], exponent: float
) -> tuple[float, float, float, float]:
    """Return the least squared error for an exponent, with the limit, the factor and the exponent."""
    power = (x / x.min()) ** -exponent
    centred = power - power.mean()
    spread = float(centred @ centred)
    factor = float(centred @ y) / spread if spread else 0.0
    limit = float(y.mean() - factor * power.mean())
    if limit < 0:
        limit, factor = 0.0, float(power @ y) / float(power @ power)
    error = float(((limit + factor * power - y) ** 2).sum())
    return error, limit, factor * float(x.min()) ** exponent, exponent
