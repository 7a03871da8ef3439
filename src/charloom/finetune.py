"""Fine-tuning: a new training that begins with the weights of a model, on whatever text.

The model gives network, vocabulary and weights, and the settings of the training where none are
asked for. The optimizer, the state and the counters begin anew.
"""

import dataclasses
from typing import Any, Final

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.model import Learner, new_learner
from charloom.spelling import shortened

NETWORK: Final = ("cell", "hidden_size", "layers", "tokens")  # what the weights are made for
BEGINNING: Final = ("init", "sigma", "forget_bias")  # how they began, long ago


def tuned_config(model: Config, recipe: Config | None = None, **changes: Any) -> Config:
    """The settings of a training that begins with a model.

    Args:
        model: the model's settings.
        recipe: those to train by; by default as the model was trained, to the end of its epochs,
            with unknown characters refused.
        **changes: any setting; None changes nothing.

    Raises:
        ConfigError: no such setting, a value out of its range, or one that contradicts the model.
    """
    for name in NETWORK + BEGINNING:
        asked, has = changes.get(name), getattr(model, name)
        if asked is not None and asked != has:
            why = "has" if name in NETWORK else "began with"
            raise ConfigError(
                f"{argument(name)} is {shortened(asked)}, but the model that is to be trained further {why} {has!r}; "
                f"leave the setting out, or train a new model."
            )
    base = recipe or dataclasses.replace(model, updates=None, unknown="refuse", replacement="")
    own = {name: getattr(model, name) for name in (*NETWORK, *BEGINNING, "dtype")}
    return base.replace(**own).replace(**changes)


def tuned_learner(config: Config, model: Learner) -> Learner:
    """A learner before its first update, with a model's weights in the dtype of the settings."""
    learner = new_learner(config, model.vocabulary)
    learner.parameters = {
        name: array.astype(config.dtype) for name, array in model.parameters.items()
    }
    return learner
