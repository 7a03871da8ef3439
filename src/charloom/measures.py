"""Measures how far one array of numbers is from another: the errors of a gradient.

The measures are those of spec/mathematics.md: The gradient check.
It knows nothing of what the numbers are.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# An entry of a gradient is a sum over the window; its rounding error is set by the terms, not by
# what is left of them. Entries are therefore measured against no less than this share of the
# largest entry. Under the limit of 1e-10, an entry below the floor can be off by 1e-14 of the
# largest at most: nothing hides there.
ELEMENTWISE_FLOOR: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far a gradient a is from another one n, over some entries of one parameter.

    Attributes:
        absolute: the largest |a - n|.
        elementwise: the largest |a - n| / max(|a| + |n|, 1e-4 · the largest |n|).
        norm_relative: ‖a - n‖ / (‖a‖ + ‖n‖), Euclidean norms.
    """

    absolute: float
    elementwise: float
    norm_relative: float


def errors(a: Array, n: Array) -> Errors:
    """The three errors of a against n, of one shape."""
    norms = float(np.linalg.norm(a) + np.linalg.norm(n))
    return Errors(
        absolute=largest(np.abs(a - n)),
        elementwise=largest(distances(a, n)),
        norm_relative=0.0 if norms == 0 else float(np.linalg.norm(a - n)) / norms,
    )


def distances(a: Array, n: Array) -> Array:
    """Elementwise-relative error of each entry, shaped like them."""
    floor = max(ELEMENTWISE_FLOOR * largest(np.abs(n)), np.finfo(np.float64).tiny)
    return np.asarray(np.abs(a - n) / np.maximum(np.abs(a) + np.abs(n), floor))


def largest(sizes: Array) -> float:
    """The largest of some sizes, 0 where there are none; not a number where one is not."""
    return float(sizes.max(initial=0.0))


def rank(error: float) -> float:
    """An error to compare by: one that is not a number is the worst."""
    return math.inf if math.isnan(error) else error
