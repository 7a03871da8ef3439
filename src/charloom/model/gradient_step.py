"""Applies gradients to a learner as training does: clips them, and lets the optimizer change the weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.model import optimizers
from charloom.model.input_pairs import PAIRS
from charloom.model.learner import Learner
from charloom.model.parameters import Parameters
from charloom.model.recent_ids import read_rows


def training_gradients(config: Config, gradients: Parameters) -> Parameters:
    """Return the gradients of the loss that training lowers, from those of the loss summed over the steps T.

    They differ only if the setting `reduction` is "mean".
    """
    if config.reduction == "sum":
        return gradients
    return {name: gradient / config.seq_length for name, gradient in gradients.items()}


def gradient_norm(gradients: Parameters) -> float:
    """Return the Euclidean norm of all gradients together, summed in float64."""
    return float(np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values())))


def apply_gradients(
    learner: Learner,
    gradients: Parameters,
    learning_rate: float,
    x: NDArray[Any],
    norm: float | None = None,
) -> None:
    """Clip gradients, and let the optimizer change the parameters and slots of a learner in place.

    The state and the counters of the learner do not change.

    Args:
        learner: its parameters and slots change in place.
        gradients: a gradient for each parameter that changes, in its shape, as `training_gradients` returns them.
        learning_rate: the learning rate of this update.
        x: the ids that the learner has read in this update, shape (T, B). Only a learner with pairs needs them.
        norm: the gradient norm for clipping by norm; None means that of `gradients`.
    """
    config, update = learner.config, learner.update + 1
    norm = gradient_norm(gradients) if norm is None else norm
    for name, gradient in gradients.items():
        if config.clip and config.clip_by == "value":
            gradient = optimizers.clip_by_value(gradient, config.clip)
        elif config.clip:
            gradient = gradient * optimizers.norm_factor(norm, config.clip)
        slots = {slot: arrays[name] for slot, arrays in learner.slots.items()}
        parameter = learner.parameters[name]
        if name == PAIRS:
            rows = read_rows(learner, x)
            optimizers.step_rows(config, rows, parameter, gradient, slots, learning_rate, update)
        else:
            optimizers.step(config, parameter, gradient, slots, learning_rate, update)
