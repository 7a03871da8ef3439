"""Holds hidden units of a network at constant values, by changing its weights (spec/mathematics.md: Held units).

Every weight that reads the unit is set to 0, and what it would add is added to the bias. So every engine and every
exported file computes the network with the held unit, without any change.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS
from charloom.errors import ConfigError
from charloom.model.clamp import Clamp
from charloom.model.input_pairs import PAIRS
from charloom.model.learner import Learner, hidden_arrays
from charloom.model.parameters import Parameters
from charloom.registered_cells import built_in_cell


def clamped(learner: Learner, clamp: Clamp) -> Learner:
    """Return a model whose hidden unit is held at a value, also before the first step.

    In the returned network, nothing reads the unit. Its candidate gets no input, so its own h and LSTM cell state
    are 0 from the zero state on. Training or dynamic evaluation keeps it so, because its gradients are 0.

    Args:
        learner: the model; it is not changed. The result shares the arrays that are the same.
        clamp: the unit, which must exist, and its value.

    Raises:
        ConfigError: the unit is held already, so nothing reads it any more; or the cell is a registered one.
    """
    _refuse_second_hold(learner, clamp)
    parameters = dict(learner.parameters)
    for weights, bias, rows in readers(learner, clamp.layer):
        _move_into_bias(parameters, weights, bias, rows, clamp)
    _cut_candidate(parameters, learner.config.cell, clamp)
    state = dict(learner.state)
    for name, array in hidden_arrays(learner.state).items():
        state[name] = array.copy()
        state[name][clamp.layer, :, clamp.unit] = 0
    # The losses were measured with the unit.
    return replace(
        learner,
        parameters=parameters,
        state=state,
        start_losses=None,
        best_loss=None,
        best_update=None,
        clamps=(*learner.clamps, clamp),
    )


def _refuse_second_hold(learner: Learner, clamp: Clamp) -> None:
    """Raise ConfigError if the unit is held already."""
    for held in learner.clamps:
        if (held.layer, held.unit) == (clamp.layer, clamp.unit):
            raise ConfigError(
                f"unit {held.unit} of layer {held.layer} is already held at {held.value:g}; to hold it at "
                f"{clamp.value:g}, begin with the model in which it is not held."
            )


def is_held(learner: Learner, clamp: Clamp) -> bool:
    """Return True if no weight of a model reads the unit, so that it is still held."""
    return not any(
        learner.parameters[weights][rows, clamp.unit].any()
        for weights, _, rows in readers(learner, clamp.layer)
    )


def readers(learner: Learner, layer: int) -> list[tuple[str, str, slice]]:
    """Return the weights that read the h of a layer: the matrix, the bias added to its product, and the matrix's rows.

    The bias has as many entries as there are rows. In a GRU, W h of gate n is inside the product with the reset
    gate, so its bias is d.
    """
    config = learner.config
    cell, H = built_in_cell(config.cell, "holding a unit"), config.hidden_size
    W, b = f"layers.{layer}.W", f"layers.{layer}.b"
    everything = slice(None)
    if cell.second_bias:
        inside = cell.rows(cell.second_bias, H)
        found = [(W, b, slice(0, inside.start)), (W, f"layers.{layer}.d", inside)]
    else:
        found = [(W, b, everything)]
    if layer + 1 < config.layers:
        found.append((f"layers.{layer + 1}.U", f"layers.{layer + 1}.b", everything))
    else:
        found.append(("V", "c", everything))
        if config.ngram_order:
            found.append(("ngram.weight", "ngram.bias", everything))
    return found


def _move_into_bias(
    parameters: Parameters, weights: str, bias: str, rows: slice, clamp: Clamp
) -> None:
    """Set the unit's column of some rows of a matrix to 0, and add the column times the value to the bias."""
    column = parameters[weights][rows, clamp.unit].astype(np.float64)
    matrix = parameters[weights] = parameters[weights].copy()
    matrix[rows, clamp.unit] = 0
    if clamp.value:
        added = parameters[bias] = parameters[bias].copy()
        first = added[: len(column)]  # the rows without a bias of their own are the last ones
        first[...] = first.astype(np.float64) + column * clamp.value


def _cut_candidate(parameters: Parameters, cell_name: str, clamp: Clamp) -> None:
    """Set everything that the candidate of a unit reads to 0, so that the unit's h stays 0."""
    cell, H = CELLS[cell_name], len(parameters["V"][0])
    candidate = next(gate for gate in cell.blocks if gate not in cell.sigmoid_gates)
    row = cell.rows(candidate, H).start + clamp.unit
    for name in ("U", "W", "b"):
        _set_to_zero(parameters, f"layers.{clamp.layer}.{name}", row)
    if cell.second_bias:
        _set_to_zero(parameters, f"layers.{clamp.layer}.d", clamp.unit)
    if clamp.layer == 0 and PAIRS in parameters:
        _set_to_zero(parameters, PAIRS, (slice(None), row))


def _set_to_zero(parameters: Parameters, name: str, place: Any) -> None:
    """Replace a parameter by a copy with zeros at `place`."""
    array: NDArray[Any] = parameters[name].copy()
    array[place] = 0
    parameters[name] = array
