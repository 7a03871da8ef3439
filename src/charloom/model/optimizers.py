"""The update rules, written on NumPy arrays (spec/mathematics.md: Optimizers and clipping).

The reference engine calls them; the native engine has its own twin of each.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config

Array = NDArray[Any]

# What each rule remembers of every parameter, by name.
SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "adagrad": ("accumulator",),
    "sgd": ("velocity",),
    "rmsprop": ("square",),
    "adam": ("mean", "square"),
    "adamw": ("mean", "square"),
}
SQUARES: Final = ("accumulator", "square")  # sums or means of squares: never negative

NORM_GUARD: Final = 1e-6  # added to the norm before dividing by it, as PyTorch does


def clip_by_value(gradient: Array, limit: float) -> Array:
    """Each entry cut to [-limit, limit]; a NaN stays a NaN, so that it is seen."""
    return np.clip(gradient, -limit, limit)


def norm_factor(norm: float, limit: float) -> float:
    """What the whole gradient is multiplied by, so that its norm is at most about `limit`."""
    return min(1.0, limit / (norm + NORM_GUARD))


def step(
    config: Config,
    parameter: Array,
    gradient: Array,
    slots: Mapping[str, Array],
    learning_rate: float,
    update: int,
) -> None:
    """Apply the config's rule to one parameter and its slots, in place.

    Args:
        gradient: clipped; shaped like the parameter and the slots.
        update: the number of this update, from 1.
    """
    # At an absurd learning rate it overflows; the next loss shows it, and nothing of it is saved.
    with np.errstate(over="ignore", invalid="ignore"):
        _step(config, parameter, gradient, slots, learning_rate, update)


def _step(
    config: Config,
    parameter: Array,
    gradient: Array,
    slots: Mapping[str, Array],
    learning_rate: float,
    update: int,
) -> None:
    """`step`, with NumPy's warnings."""
    if config.weight_decay and config.optimizer == "adamw":
        parameter *= 1 - learning_rate * config.weight_decay
    elif config.weight_decay:
        gradient = gradient + config.weight_decay * parameter
    if config.optimizer == "adagrad":
        adagrad(parameter, gradient, slots["accumulator"], learning_rate, config.epsilon)
    elif config.optimizer == "sgd":
        sgd(parameter, gradient, slots["velocity"], learning_rate, config.momentum)
    elif config.optimizer == "rmsprop":
        rmsprop(parameter, gradient, slots["square"], learning_rate, config.decay, config.epsilon)
    else:
        betas = config.beta1, config.beta2
        moments = slots["mean"], slots["square"]
        adam(parameter, gradient, moments, learning_rate, betas, config.epsilon, update)


def adagrad(
    parameter: Array, gradient: Array, accumulator: Array, learning_rate: float, epsilon: float
) -> None:
    """AdaGrad with the constant under the root, in place (Duchi, Hazan and Singer 2011)."""
    accumulator += gradient * gradient
    parameter -= learning_rate * gradient / np.sqrt(accumulator + epsilon)


def sgd(
    parameter: Array, gradient: Array, velocity: Array, learning_rate: float, momentum: float
) -> None:
    """Gradient descent with momentum, in place (Polyak 1964, as PyTorch writes it)."""
    velocity *= momentum
    velocity += gradient
    parameter -= learning_rate * velocity


def rmsprop(
    parameter: Array,
    gradient: Array,
    square: Array,
    learning_rate: float,
    decay: float,
    epsilon: float,
) -> None:
    """RMSprop, in place (Tieleman and Hinton 2012, as PyTorch writes it)."""
    square *= decay
    square += (1 - decay) * gradient * gradient
    parameter -= learning_rate * gradient / (np.sqrt(square) + epsilon)


def adam(
    parameter: Array,
    gradient: Array,
    moments: tuple[Array, Array],
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    update: int,
) -> None:
    """Adam, in place (Kingma and Ba 2015, as PyTorch writes it)."""
    (mean, square), (beta1, beta2) = moments, betas
    mean *= beta1
    mean += (1 - beta1) * gradient
    square *= beta2
    square += (1 - beta2) * gradient * gradient
    rate = learning_rate / (1 - beta1**update)
    correction = math.sqrt(1 - beta2**update)
    parameter -= rate * mean / (np.sqrt(square) / correction + epsilon)
