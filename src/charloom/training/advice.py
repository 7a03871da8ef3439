"""Says what to change when a loss or a weight grows without end: the term of the update that makes
it grow.

It looks at the settings and at how far the training is; it does not judge whether anything diverged.
"""

import math
from typing import Final

from charloom.config import Config, default_of
from charloom.messages import Placeholder, argument, arguments, command
from charloom.model import Learner

HIGH_MOMENTUM: Final = 0.99  # from here on a step is a hundred times the learning rate and more
USUAL_DECAY: Final = 0.01
LARGE_LOGITS: Final = 10.0  # of first weights: such a network is sure of what it cannot know


def advice(learner: Learner) -> str:
    """What makes the numbers grow, and what to train again with, as a marked message."""
    config, rate = learner.config, learner.config.learning_rate * learner.learning_rate_factor
    if config.init == "normal" and config.sigma * math.sqrt(config.hidden_size) > LARGE_LOGITS:
        return (
            f"The weights that training began with are too large: sigma is {config.sigma:g}. Train again "
            f"with {argument('sigma', default_of('sigma'))}."
        )
    if learner.update == 0:
        return (
            f"No update was applied yet, so that the weights that training began with are too large. "
            f"Train again with another {argument('init')}, or from another model."
        )
    if rate * config.weight_decay > _most_decay(config):
        return (
            f"Learning rate × weight decay is {rate * config.weight_decay:g}, so that each update makes "
            f"the weights larger, not smaller. Train again with "
            f"{arguments(weight_decay=USUAL_DECAY)} or less."
        )
    if learner.learning_rate_factor > 1:
        back = command("control", Placeholder("RUN"), "run", learning_rate_factor=1)
        return (
            f"Steering made the learning rate {learner.learning_rate_factor:g} times as high. While the "
            f"run trains, take that back: {back}."
        )
    lower = f"a lower {argument('learning_rate')} than {rate:g}"
    if config.optimizer == "sgd" and config.momentum >= HIGH_MOMENTUM:
        return (
            f"With a momentum of {config.momentum:g} a step is up to {1 / (1 - config.momentum):,.0f} "
            f"times as large as without. Train again with "
            f"{argument('momentum', default_of('momentum'))}, or with {lower}."
        )
    if not config.clip:
        clip = argument("clip", default_of("clip"))
        return f"The gradient is not clipped. Train again with {clip}, or with {lower}."
    return f"Train again with {lower}."


def _most_decay(config: Config) -> float:
    """Learning rate × weight decay from which on the decay alone makes weights grow; infinite where
    the rule divides it by its own size."""
    if config.optimizer == "adamw":
        return 2.0  # θ is multiplied by 1 - η λ
    return 2.0 * (1 + config.momentum) if config.optimizer == "sgd" else float("inf")
