"""Fine-tuning: a new training run, on any text, that starts with the weights of a model.

The network, the vocabulary and the weights come from the model. Settings that the user does not
give also come from the model, or from a recipe. The optimizer, the hidden state and the counters
start from zero.
"""

import dataclasses
from typing import Any, Final

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import Learner, first_slots, new_learner
from charloom.model.input_pairs import PAIRS, pair_rows
from charloom.text.vocabulary import Vocabulary

# The settings that always come from the model, because they determine the shapes of the weights or
# whether the vocabulary has characters or bytes.
NETWORK: Final = ("cell", "hidden_size", "layers", "ngram_order", "input_pairs", "tokens")
# The settings for characters of the text that the model's vocabulary does not have.
UNKNOWN_CHARACTERS: Final = ("unknown", "replacement")
# The settings with which the model's weights were initialized.
BEGINNING: Final = ("init", "sigma", "forget_bias")


def tuned_config(model: Config, recipe: Config | None = None, **changes: Any) -> Config:
    """Return the settings of a training run that starts with the weights of a model.

    Args:
        model: the model's settings.
        recipe: the settings to train with. None takes the settings of the model with two exceptions:
            the training run ends after `epochs`, because `updates` is set to None; and unknown
            characters are refused.
        **changes: settings to change; a setting given as None does not change.

    Raises:
        ConfigError: a setting is unknown, is out of its range or contradicts the model.
    """
    for name in NETWORK + BEGINNING:
        asked, has = changes.get(name), getattr(model, name)
        if asked is not None and asked != has:
            verb = "has" if name in NETWORK else "was initialized with"
            raise ConfigError(
                f"{argument(name)} is {shortened(asked)}, but the given model {verb} "
                f"{has!r}; "
                f"omit the setting, or train a new model."
            )
    base = recipe or dataclasses.replace(model, updates=None, unknown="refuse", replacement="")
    own = {name: getattr(model, name) for name in (*NETWORK, *BEGINNING, "dtype")}
    return base.replace(**own).replace(**changes)


def tuned_learner(config: Config, model: Learner, vocabulary: Vocabulary) -> Learner:
    """Return a new learner with the model's weights, before its first update.

    The weights are converted to the dtype of `config`. The pairs of characters are those of the model, because
    their inputs are among its weights. The units that the model holds stay held, because their gradients are 0.

    Args:
        config: the settings of the training run.
        model: the model; it is not changed.
        vocabulary: that of the model, or one with further characters. The weights of these (a column of U of the first
            layer, a row of V and of c) have the values with which a new network begins.
    """
    learner = new_learner(config, vocabulary)
    ids = model.vocabulary.ids_in(vocabulary)
    of_characters: dict[str, Any] = {"layers.0.U": (slice(None), ids), "V": ids, "c": ids}
    for name, array in model.parameters.items():
        if name == PAIRS:
            learner.parameters[name][: len(array)] = array
        else:
            learner.parameters[name][of_characters.get(name, ...)] = array
    learner.slots = first_slots(config, learner.parameters)
    learner.clamps = model.clamps
    learner.pairs = model.pairs and model.pairs.renumbered(
        ids, len(vocabulary), pair_rows(config, len(vocabulary))
    )
    return learner
