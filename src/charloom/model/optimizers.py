"""The optimizers' update rules on NumPy arrays (spec/mathematics.md: Optimizers and clipping).

The reference engine calls these functions. The native engine implements each rule again in C++.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config

Array = NDArray[Any]

# The names of the arrays (slots) that each optimizer stores for every parameter.
SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "adagrad": ("accumulator",),
    "sgd": ("velocity",),
    "rmsprop": ("square",),
    "adam": ("mean", "square"),
    "adamw": ("mean", "square"),
}
# The slot of the averaged weights. A learner has it if the setting `averaging` is not 0.
AVERAGE: Final = "average"
# The weights are averaged after every so many updates, because this costs almost nothing. The average is
# as good as one after every update, because it lasts over hundreds of updates.
AVERAGED_EVERY: Final = 16
# Slots that hold sums or means of squares, so that their entries are never negative.
SQUARES: Final = ("accumulator", "square")

NORM_GUARD: Final = 1e-6  # added to a gradient norm before the division by this norm, as in PyTorch


def slot_names(config: Config) -> tuple[str, ...]:
    """Return the names of the arrays (slots) that training with `config` stores for every parameter."""
    return SLOTS[config.optimizer] + ((AVERAGE,) if config.averaging else ())


def averaging_rate(averaging: float, update: int) -> float:
    """Return the rate at which the averaged weights move to the weights after an update.

    The rate is 1 while the average would last over at most AVERAGED_EVERY updates. Later it is positive
    after every AVERAGED_EVERY updates, and 0 after the others. So the weights of update t count for the
    average after update n in proportion to (t/n)^(1/averaging - 1).

    Args:
        averaging: the fraction of the updates over which the weights are averaged, above 0.
        update: the number of the update, from 1.
    """
    length = averaging * update
    if length <= AVERAGED_EVERY:
        return 1.0
    return 0.0 if update % AVERAGED_EVERY else AVERAGED_EVERY / length


def clip_by_value(gradient: Array, limit: float) -> Array:
    """Return `gradient` with each entry clipped to [-limit, limit]. A NaN stays a NaN."""
    return np.clip(gradient, -limit, limit)


def norm_factor(norm: float, limit: float) -> float:
    """Return the factor that scales a gradient of norm `norm` down to a norm of about `limit`.

    The factor is at most 1, so that a gradient with a smaller norm does not change.
    """
    return min(1.0, limit / (norm + NORM_GUARD))


def step(
    config: Config,
    parameter: Array,
    gradient: Array,
    slots: Mapping[str, Array],
    learning_rate: float,
    update: int,
) -> None:
    """Apply one update of `config` to one parameter and its slots, in place.

    Args:
        config: the settings, with the optimizer and its constants.
        parameter: the parameter; changed in place. A bias has one axis, weights have two.
        gradient: its gradient, already clipped, in the shape of the parameter.
        slots: the arrays of `slot_names` for this parameter, by name; changed in place.
        learning_rate: the learning rate of this update.
        update: the number of this update, from 1.
    """
    descend(config, parameter, gradient, slots, learning_rate, update)
    average(config, parameter, slots, update)


# A learning rate that is far too high makes numbers overflow in this function. The next loss is then not
# finite, and training stops before it saves anything. So NumPy's warnings are not needed.
@np.errstate(over="ignore", invalid="ignore")
def descend(
    config: Config,
    parameter: Array,
    gradient: Array,
    slots: Mapping[str, Array],
    learning_rate: float,
    update: int,
) -> None:
    """Apply the optimizer of `config` to one parameter, without averaging.

    The arguments are those of `step`.
    """
    decays = config.weight_decay_on == "all" or parameter.ndim > 1
    if config.weight_decay and decays and config.optimizer == "adamw":
        parameter *= 1 - learning_rate * config.weight_decay
    elif config.weight_decay and decays:
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


@np.errstate(over="ignore", invalid="ignore")
def average(config: Config, parameter: Array, slots: Mapping[str, Array], update: int) -> None:
    """Move the averaged weights towards a parameter, in place, if training averages the weights.

    The arguments are those of `step`.
    """
    rate = averaging_rate(config.averaging, update) if config.averaging else 0.0
    if rate == 1:  # a sum would round
        slots[AVERAGE][...] = parameter
    elif rate:
        slots[AVERAGE][...] += rate * (parameter - slots[AVERAGE])


def step_rows(
    config: Config,
    rows: Array,
    parameter: Array,
    gradient: Array,
    slots: Mapping[str, Array],
    learning_rate: float,
    update: int,
) -> None:
    """Apply one update of `config` to some rows of a matrix and of its slots, in place.

    All other rows keep their values, also with weight decay; only their averages move. `rows` are the indices
    of the rows, without repetitions. The other arguments are those of `step`.
    """
    some = parameter[rows]
    slots_of_some = {name: slots[name][rows] for name in SLOTS[config.optimizer]}
    descend(config, some, gradient[rows], slots_of_some, learning_rate, update)
    parameter[rows] = some
    for name, array in slots_of_some.items():
        slots[name][rows] = array
    average(config, parameter, slots, update)


def adagrad(
    parameter: Array, gradient: Array, accumulator: Array, learning_rate: float, epsilon: float
) -> None:
    """Apply AdaGrad to `parameter` and `accumulator` in place (Duchi, Hazan and Singer 2011).

    `epsilon` is added under the root.
    """
    accumulator += gradient * gradient
    parameter -= learning_rate * gradient / np.sqrt(accumulator + epsilon)


def sgd(
    parameter: Array, gradient: Array, velocity: Array, learning_rate: float, momentum: float
) -> None:
    """Apply gradient descent with momentum to `parameter` and `velocity` in place.

    Source: Polyak 1964, in PyTorch's form.
    """
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
    """Apply RMSprop to `parameter` and `square` in place.

    Source: Tieleman and Hinton 2012, in PyTorch's form.
    """
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
    """Apply Adam to `parameter` and `moments` in place (Kingma and Ba 2015, in PyTorch's form).

    `moments` are the running means of the gradients and of their squares.
    """
    (mean, square), (beta1, beta2) = moments, betas
    mean *= beta1
    mean += (1 - beta1) * gradient
    square *= beta2
    square += (1 - beta2) * gradient * gradient
    rate = learning_rate / (1 - beta1**update)
    correction = math.sqrt(1 - beta2**update)
    parameter -= rate * mean / (np.sqrt(square) / correction + epsilon)
