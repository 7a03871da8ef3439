"""The two parts of a model with n-grams, each as a model of its own: the network and the n-grams.

See spec/mathematics.md: N-grams.
"""

from dataclasses import replace

import numpy as np

from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.model.learner import RECENT, Learner, state_for, zero_slots, zero_state
from charloom.model.parameters import Parameters, parameter_shapes


def network_alone(learner: Learner) -> Learner:
    """Return the network of a model without the n-grams, whose logits are V h + c.

    The result shares arrays with `learner`. It has the same counters, and no n-grams.

    Raises:
        ConfigError: the model has no n-grams.
    """
    require_ngrams(learner)
    config = learner.config.replace(ngram_order=0)
    names = parameter_shapes(config, len(learner.vocabulary)).keys()

    def without_mixture(arrays: Parameters) -> Parameters:
        return {name: arrays[name] for name in names}

    return replace(
        learner,
        config=config,
        parameters=without_mixture(learner.parameters),
        slots={slot: without_mixture(arrays) for slot, arrays in learner.slots.items()},
        state=state_for(config, learner.state),
        ngrams=None,
        start_losses=None,
    )


def ngrams_alone(learner: Learner) -> Learner:
    """Return the n-grams of a model as a model that predicts with exactly their probabilities.

    Its network is as small as possible: one hidden unit, and all weights are 0. The weight of the
    n-grams is always 1. The result has the counters of `learner`, and shares its n-grams and
    recent ids.

    Raises:
        ConfigError: the model has no n-grams.
    """
    require_ngrams(learner)
    config = learner.config.replace(cell="rnn", hidden_size=1, layers=1, input_pairs=0)
    shapes = parameter_shapes(config, len(learner.vocabulary))
    parameters = {name: np.zeros(shape, config.dtype) for name, shape in shapes.items()}
    parameters["ngram.bias"][...] = 1
    streams = learner.state[RECENT].shape[1]
    return replace(
        learner,
        config=config,
        parameters=parameters,
        slots=zero_slots(config, parameters),
        state={**zero_state(config, streams), RECENT: state_for(config, learner.state)[RECENT]},
        pairs=None,
        start_losses=None,
        clamps=(),
    )


def require_ngrams(learner: Learner) -> None:
    """Raise ConfigError if the model has no n-grams."""
    if learner.ngrams is None:
        raise ConfigError(
            f"the model has no n-grams: its {argument('ngram_order')} is 0. Train one with {argument('ngram_order', 8)}."
        )


class HasNGramsError(ConfigError):
    """The model has n-grams, which an exported file cannot have. Its network alone can be exported."""


def refuse_ngrams(learner: Learner, reason: str) -> None:
    """Raise HasNGramsError if the model has n-grams, because an exported file cannot have them.

    `reason` says why, such as "which the modules of PyTorch cannot express".
    """
    if learner.config.ngram_order:
        raise HasNGramsError(
            f"the model has n-grams, {reason}. To export only its network, "
            f"whose loss is far higher than the model's, give {argument('network_alone', True)}. To get a "
            f"model that can be exported whole, train with {argument('ngram_order', 0)}."
        )
