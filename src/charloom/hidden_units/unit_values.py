"""Compute the values of units after each token of a text, block by block.

This module does not depend on properties of texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from charloom.config import as_whole
from charloom.cooperative import LEAST_TOKENS
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, DivergedError
from charloom.formatting import shortened
from charloom.hidden_units.gate_values import Array, gates, require_value_name, value_names
from charloom.messages import argument
from charloom.model import Learner, State, zero_state
from charloom.model.input_pairs import PAIRS
from charloom.model.item_resets import item_beginnings
from charloom.model.recent_ids import pair_rows_of
from charloom.registered_cells import cell_named
from charloom.scoring import tokens_of_a_product

# Largest number of values in a block, to limit the memory. A block has at least 16 tokens, even if
# the values of 16 tokens exceed this number.
NUMBERS: Final = 1 << 20
MOST_TOKENS: Final = 4_096


@dataclass(frozen=True)
class Choice:
    """The selected units of a model and their selected values.

    Attributes:
        layers: numbers of the layers, from 0, ascending.
        units: numbers of the units in each layer, from 0, ascending.
        whats: names of the values, in the order of `value_names`.
    """

    layers: tuple[int, ...]
    units: tuple[int, ...]
    whats: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the number of selected values per token."""
        return len(self.layers) * len(self.units) * len(self.whats)


def choose(
    learner: Learner, layer: int | None = None, unit: int | None = None, what: str | None = None
) -> Choice:
    """Select units of a model and values of these units, and return the selection.

    Args:
        learner: the model.
        layer: number of the layer, from 0; None selects all layers.
        unit: number of the unit in each layer, from 0; None selects all units.
        what: name of the value: h, cell or a gate; None selects all values.

    Raises:
        ConfigError: the model has no such layer, unit or value.
    """
    config = learner.config
    if what is not None:
        require_value_name(what, config.cell)
    return Choice(
        _places("layer", layer, config.layers),
        _places("unit", unit, config.hidden_size),
        value_names(config.cell) if what is None else (what,),
    )


def blocks(learner: Learner, engine: Engine, ids: Ids, choice: Choice) -> Iterator[Array]:
    """Yield the selected values of units after each token of a text, for one block of tokens at a time.

    The model reads the text from the zero state.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the states.
        ids: ids of the text, shape (tokens,).
        choice: the selected units and their selected values, such as h or a gate.

    Yields:
        An array for each block of n tokens, shape (n, values, layers, units): for each token, each
        selected value of each selected unit.

    Raises:
        DivergedError: a value is not finite.
    """
    config = learner.config
    kept = config.layers * config.hidden_size * len(value_names(config.cell))
    step = max(LEAST_TOKENS, min(tokens_of_a_product(learner, most=MOST_TOKENS), NUMBERS // kept))
    state = zero_state(config)
    for start in range(0, len(ids), step):
        tokens = np.ascontiguousarray(ids[start : start + step])
        before = state
        values, state = engine.activations(learner, tokens, before)
        yield _chosen(learner, tokens, values, before, choice)


def _chosen(
    learner: Learner, tokens: Ids, states: dict[str, Array], before: State, choice: Choice
) -> Array:
    """Return the selected values of units for one block of n tokens of a text.

    The result has the shape (n, values, layers, units), where the second axis has the selected
    values of a unit, such as h or a gate.

    Args:
        learner: the model.
        tokens: ids of the block, shape (n,).
        states: states after each token, each of shape (n, L, H).
        before: the state before the first token, arrays of one stream.
        choice: the selected units and their selected values.
    """
    h = states["h"]
    h_prev = np.concatenate([before["h"][np.newaxis, :, 0], h[:-1]])
    begins = item_beginnings(learner, tokens)
    if begins is not None:
        h_prev[begins] = 0
    cell = cell_named(learner.config.cell)
    # The engine returns the gates of a registered cell with its states.
    wants_gates = any(what in cell.gates and what not in states for what in choice.whats)
    of_layers = []
    for layer in choice.layers:
        found = {name: values[:, layer] for name, values in states.items()}
        if wants_gates:
            x = h[:, layer - 1] if layer else tokens
            pairs = 0.0 if layer else _from_pairs(learner, tokens, before)
            found |= gates(cell.name, learner.parameters, layer, x, h_prev[:, layer], pairs)
        of_layers.append(np.stack([found[what] for what in choice.whats], axis=1))
    chosen = np.stack(of_layers, axis=2)
    if len(choice.units) < chosen.shape[3]:
        chosen = chosen[..., list(choice.units)]
    if not np.isfinite(chosen).all():
        raise DivergedError(
            "a unit's value is not finite: the model diverged; use an earlier checkpoint."
        )
    return chosen


def _from_pairs(learner: Learner, tokens: Ids, before: State) -> Array | float:
    """Return what the pairs of characters add to the sums of the gates of layer 0, shape (n, G·H).

    The result is 0 without pairs. The arguments are those of `_chosen`.
    """
    found = pair_rows_of(learner, tokens[:, np.newaxis], before)
    if found is None:
        return 0.0
    return np.where(found >= 0, learner.parameters[PAIRS][found[:, 0]], 0)


def _places(name: str, given: int | None, count: int) -> tuple[int, ...]:
    """Return the numbers of the layers or units that the user selected.

    If `given` is None, these are all numbers from 0 to `count` - 1. Otherwise, it is the number
    `given` alone. `name` is the name of the user's argument, for the error message.

    Raises:
        ConfigError: `given` is not a whole number from 0 to `count` - 1.
    """
    if given is None:
        return tuple(range(count))
    place = as_whole(given)
    if place is None or not 0 <= place < count:
        existing = f"{name}s 0 to {count - 1}" if count > 1 else f"only {name} 0"
        raise ConfigError(f"{argument(name)} is {shortened(given)}, but this model has {existing}.")
    return (place,)
