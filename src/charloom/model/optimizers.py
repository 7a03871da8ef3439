"""The update rules, written on NumPy arrays as SPEC.md has them.

The reference engine calls them; the native engine has its own twin of each.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SLOTS = ("accumulator",)


def clip(gradient: Array, limit: float) -> Array:
    """Each entry cut to [-limit, limit]; a NaN stays a NaN, so that it is seen."""
    return np.clip(gradient, -limit, limit)


def adagrad(
    parameter: Array, gradient: Array, accumulator: Array, learning_rate: float, epsilon: float
) -> None:
    """AdaGrad with the constant under the root, in place (Duchi, Hazan and Singer 2011)."""
    accumulator += gradient * gradient
    parameter -= learning_rate * gradient / np.sqrt(accumulator + epsilon)
