"""The interval of a mean of a few numbers, from Student's t distribution.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev
from typing import Final

LEVEL: Final = 0.95
HALVINGS: Final = 200  # of the interval in which the quantile is searched; enough for every digit


def inside(t: float, freedom: int) -> float:
    """Return the probability that a number with Student's distribution is between -t and t.

    Args:
        t: the limit, at least 0.
        freedom: the degrees of freedom, at least 1.
    """
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    if freedom == 1:
        total = 0.0
    for n in range(2 + odd, freedom - 1, 2):
        term *= square * (n - 1) / n
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


@lru_cache(maxsize=256)
def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """Return t such that a number with Student's distribution is between -t and t with the probability `level`."""
    low, high = 0.0, 1.0
    while inside(high, freedom) < level:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if inside(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of the numbers from which `values` are drawn; None for fewer than two."""
    if len(values) < 2:
        return None
    half = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    middle = fmean(values)
    return middle - half, middle + half
