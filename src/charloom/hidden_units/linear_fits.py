"""Fits linear functions of states to a property: ridge regression, and logistic regression by Newton's method.

See spec/mathematics.md: Probes. The inputs are standardized, so one penalty suits all units.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS: Final = 100  # Newton steps of a logistic regression; it usually needs fewer than ten
SETTLED: Final = 1e-9  # the fit ends when no entry of the gradient is larger
LOSS_HALVINGS: Final = 30  # of one Newton step


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear function of M values: weights · values + bias.

    Attributes:
        weights: for the values as they are, not standardized, shape (M,).
        bias: the constant.
    """

    weights: Array
    bias: float

    def __call__(self, values: NDArray[Any]) -> Array:
        """Return the function at each row of `values`, shape (N, M): for a logistic fit, the logits."""
        return np.asarray(values @ self.weights + self.bias)


def ridge(values: NDArray[Any], targets: NDArray[Any], penalty: float) -> LinearFit:
    """Return the linear function with the least mean of (y - ŷ)² / 2 + penalty |w|² / 2.

    Args:
        values: the inputs, shape (N, M). A column that never changes gets the weight 0.
        targets: the numbers y, shape (N,).
        penalty: above 0; w are the weights for the standardized inputs. The bias has no penalty.
    """
    x, centre, scale = standardized(values)
    y = targets.astype(np.float64)
    matrix = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(matrix, x.T @ (y - y.mean()) / len(x))
    return _unscaled(weights, float(y.mean()), centre, scale)


def logistic(values: NDArray[Any], targets: NDArray[Any], penalty: float) -> LinearFit:
    """Return the linear function a with the least mean of ln(1 + exp(a)) - y a + penalty |w|² / 2.

    The arguments are those of `ridge`; the targets are 0 or 1.
    """
    plain, centre, scale = standardized(values)
    x = np.concatenate([plain, np.ones((len(plain), 1))], axis=1)
    y = targets.astype(np.float64)
    decay = np.full(x.shape[1], penalty)
    decay[-1] = 0
    weights, loss = np.zeros(x.shape[1]), np.inf
    for _ in range(STEPS):
        a = x @ weights
        p = (1 + np.tanh(a / 2)) / 2
        gradient = x.T @ (p - y) / len(x) + decay * weights
        if np.abs(gradient).max() <= SETTLED:
            break
        curvature = (x.T * (p * (1 - p))) @ x / len(x) + np.diag(decay)
        # A bias without penalty has no curvature left if all targets are fitted perfectly.
        curvature[-1, -1] += 1e-12
        move = np.linalg.solve(curvature, gradient)
        loss = _logistic_loss(x, y, weights, decay)
        share = 1.0
        for _ in range(LOSS_HALVINGS):
            if _logistic_loss(x, y, weights - share * move, decay) <= loss:
                break
            share /= 2
        weights = weights - share * move
    return _unscaled(weights[:-1], float(weights[-1]), centre, scale)


def standardized(values: NDArray[Any]) -> tuple[Array, Array, Array]:
    """Return the values minus the mean of their column and divided by its deviation, the means and the deviations.

    A column that never changes becomes 0; its deviation is given as 1.
    """
    x = values.astype(np.float64)
    centre = x.mean(axis=0)
    x -= centre
    scale = np.sqrt(np.square(x).mean(axis=0))
    never = values.min(axis=0) == values.max(axis=0)
    scale[never] = 1
    x[:, never] = 0
    x /= scale
    return x, centre, scale


def _logistic_loss(x: Array, y: Array, weights: Array, decay: Array) -> float:
    """Return the mean of ln(1 + exp(a)) - y a, plus the penalty."""
    a = x @ weights
    return float((np.logaddexp(0, a) - y * a).mean() + (decay * weights * weights).sum() / 2)


def _unscaled(weights: Array, bias: float, centre: Array, scale: Array) -> LinearFit:
    """Return a fit of standardized inputs as a fit of the inputs as they are."""
    plain = weights / scale
    return LinearFit(plain, bias - float(plain @ centre))
