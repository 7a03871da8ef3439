"""Measures how far one array of numbers is from another: the errors of a gradient.

The measures are those of spec/mathematics.md: The gradient check. This module does not depend on
what the numbers mean.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# An entry of a gradient is a sum over the window. Its rounding error depends on the size of the
# terms and not on the sum, which may be tiny. So the error of an entry is divided by at least 1e-4
# of the largest entry. As the limit of errors is 1e-10, a tiny entry may be wrong by at
# most 1e-14 of the largest entry, which is too little to hide a real fault.
ELEMENTWISE_FLOOR: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Errors:
    """The errors of a gradient `a` compared with a gradient `n`, over the entries of one parameter.

    Attributes:
        absolute: the largest |a - n|.
        elementwise: the largest |a - n| / max(|a| + |n|, 1e-4 · the largest |n|).
        norm_relative: ‖a - n‖ / (‖a‖ + ‖n‖), Euclidean norms.
    """

    absolute: float
    elementwise: float
    norm_relative: float


def errors(a: Array, n: Array) -> Errors:
    """Return the errors of the array `a` compared with the array `n` of the same shape."""
    norms = float(np.linalg.norm(a) + np.linalg.norm(n))
    return Errors(
        absolute=largest(np.abs(a - n)),
        elementwise=largest(distances(a, n)),
        norm_relative=0.0 if norms == 0 else float(np.linalg.norm(a - n)) / norms,
    )


def distances(a: Array, n: Array) -> Array:
    """Return the relative error of each entry of `a`, compared with the same entry of `n`.

    The largest one is `Errors.elementwise`. The result has the shape of `a`.
    """
    floor = max(ELEMENTWISE_FLOOR * largest(np.abs(n)), np.finfo(np.float64).tiny)
    return np.asarray(np.abs(a - n) / np.maximum(np.abs(a) + np.abs(n), floor))


def largest(sizes: Array) -> float:
    """Return the largest entry of `sizes`; 0 if `sizes` is empty, NaN if an entry is NaN."""
    return float(sizes.max(initial=0.0))


def rank(error: float) -> float:
    """Return a number by which errors can be sorted: the error, or infinity if it is NaN."""
    return math.inf if math.isnan(error) else error
