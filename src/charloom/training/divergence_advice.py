"""Suggests which setting to change when the loss or the weights grow without limit.

The suggestion depends only on the settings, the learning-rate factor and the number of updates. This module
does not detect divergence.
"""

import math
from typing import Final

from charloom.config import Config, default_of
from charloom.messages import Placeholder, argument, arguments, command
from charloom.model import Learner

# With this momentum, a step can be 100 times as large as without momentum.
HIGH_MOMENTUM: Final = 0.99
USUAL_DECAY: Final = 0.01
# With initial logits above this size, an untrained model is almost certain of its wrong predictions.
LARGE_LOGITS: Final = 10.0


def advice(learner: Learner) -> str:
    """Return the advice of `advice_for` for a learner."""
    return advice_for(learner.config, learner.update, learner.learning_rate_factor)


def advice_for(config: Config, update: int, learning_rate_factor: float) -> str:
    """Return a message that says what makes the numbers grow and which setting to change.

    The message has placeholders for the names of settings (see `charloom.messages`).

    Args:
        config: the settings of the run.
        update: number of updates that were applied.
        learning_rate_factor: factor by which a command or a rollback multiplied the learning rate.
    """
    rate = config.learning_rate * learning_rate_factor
    if config.init == "normal" and config.sigma * math.sqrt(config.hidden_size) > LARGE_LOGITS:
        return (
            f"The initial weights are too large: {argument('sigma')} is {config.sigma:g}. Train again with "
            f"{argument('sigma', default_of('sigma'))}."
        )
    if update == 0:
        return (
            f"No update was applied yet, so the initial weights are too large. Train again with another "
            f"{argument('init')}, or from another model."
        )
    if rate * config.weight_decay > _most_decay(config):
        return (
            f"Learning rate × weight decay is {rate * config.weight_decay:g}, so each update makes the "
            f"weights larger, not smaller. Train again with {arguments(weight_decay=USUAL_DECAY)} or less."
        )
    if learning_rate_factor > 1:
        back = command("control", Placeholder("RUN"), "run", learning_rate_factor=1)
        return (
            f"A command made the learning rate {learning_rate_factor:g} times as high. Undo this "
            f"while the run trains: {back}."
        )
    lower = f"a lower {argument('learning_rate')} than {rate:g}"
    if config.optimizer == "sgd" and config.momentum >= HIGH_MOMENTUM:
        return (
            f"With a momentum of {config.momentum:g}, a step is up to {1 / (1 - config.momentum):,.0f} "
            f"times as large as without momentum. Train again with "
            f"{argument('momentum', default_of('momentum'))}, or with {lower}."
        )
    if not config.clip:
        clip = argument("clip", default_of("clip"))
        return f"The gradient is not clipped. Train again with {clip}, or with {lower}."
    return f"Train again with {lower}."


def _most_decay(config: Config) -> float:
    """Return the largest product of learning rate and weight decay with which the weights do not grow.

    The result is infinite for optimizers that divide each step by the size of the gradient.
    """
    if config.optimizer == "adamw":
        # Weight decay multiplies the weights by 1 - learning rate × weight decay at each update. If the product
        # learning rate × weight decay is at most 2, this does not make the weights larger.
        return 2.0
    return 2.0 * (1 + config.momentum) if config.optimizer == "sgd" else float("inf")
