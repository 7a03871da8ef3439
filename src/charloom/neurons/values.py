"""The value of every unit after each token of a text, a block at a time.

It knows what a network computes, and nothing of what its units may mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from charloom.config import as_whole
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, DivergedError
from charloom.messages import argument
from charloom.model import Learner, zero_state
from charloom.neurons.gates import GATE_NAMES, WHATS, Array, gates, require_what
from charloom.spelling import shortened
from charloom.steps import LEAST_TOKENS, tokens_of_a_step

NUMBERS: Final = 1 << 20  # numbers of a block at most: what is in memory at once
MOST_TOKENS: Final = 4_096


@dataclass(frozen=True)
class Choice:
    """Some of a model's units, and which of their values.

    Attributes:
        layers: from 0, rising.
        units: of each layer, from 0, rising.
        whats: names of values, in the order of `WHATS`.
    """

    layers: tuple[int, ...]
    units: tuple[int, ...]
    whats: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many values there are after each token."""
        return len(self.layers) * len(self.units) * len(self.whats)


def choose(
    learner: Learner, layer: int | None = None, unit: int | None = None, what: str | None = None
) -> Choice:
    """The units and values that are meant; None means all.

    Raises:
        ConfigError: the model has no such layer, unit or value.
    """
    config = learner.config
    if what is not None:
        require_what(what, config.cell)
    return Choice(
        _places("layer", layer, config.layers),
        _places("unit", unit, config.hidden_size),
        WHATS[config.cell] if what is None else (what,),
    )


def blocks(learner: Learner, engine: Engine, ids: Ids, choice: Choice) -> Iterator[Array]:
    """The chosen values after each token of one text, which is read from the zero state.

    Args:
        learner: the model; not changed.
        engine: what computes.
        ids: the text, shape (tokens,).
        choice: which units and values.

    Yields:
        Arrays of shape (n, whats, layers, units), one after another until all tokens are read.

    Raises:
        DivergedError: a value is not finite.
    """
    config = learner.config
    kept = config.layers * config.hidden_size * len(WHATS[config.cell])
    weights = sum(parameter.size for parameter in learner.parameters.values())
    heard = tokens_of_a_step(weights, MOST_TOKENS)
    step = max(LEAST_TOKENS, min(heard, MOST_TOKENS, NUMBERS // kept))
    state = zero_state(config)
    for start in range(0, len(ids), step):
        tokens = np.ascontiguousarray(ids[start : start + step])
        before = state["h"][:, 0]
        values, state = engine.activations(learner, tokens, state)
        yield _chosen(learner, tokens, values, before, choice)


def _chosen(
    learner: Learner, tokens: Ids, states: dict[str, Array], before: Array, choice: Choice
) -> Array:
    """The chosen values of one block, shape (n, whats, layers, units).

    `states` are those after each token, (n, L, H); `before` is h before the first, (L, H).
    """
    h = states["h"]
    h_prev = np.concatenate([before[np.newaxis], h[:-1]])
    wants_gates = any(what in GATE_NAMES[learner.config.cell] for what in choice.whats)
    of_layers = []
    for layer in choice.layers:
        found = {name: values[:, layer] for name, values in states.items()}
        if wants_gates:
            x = h[:, layer - 1] if layer else tokens
            found |= gates(learner.parameters, layer, x, h_prev[:, layer])
        of_layers.append(np.stack([found[what] for what in choice.whats], axis=1))
    chosen = np.stack(of_layers, axis=2)
    if len(choice.units) < chosen.shape[3]:
        chosen = chosen[..., list(choice.units)]
    if not np.isfinite(chosen).all():
        raise DivergedError("a unit's value is not finite: the model diverged; use an earlier one.")
    return chosen


def _places(name: str, given: int | None, count: int) -> tuple[int, ...]:
    """All places, or the one that was given."""
    if given is None:
        return tuple(range(count))
    place = as_whole(given)
    if place is None or not 0 <= place < count:
        places = f"{name}s 0 to {count - 1}" if count > 1 else f"{name} 0 alone"
        raise ConfigError(f"{argument(name)} is {shortened(given)}, but this model has {places}.")
    return (place,)
