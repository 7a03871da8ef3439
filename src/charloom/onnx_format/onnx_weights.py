"""The weights of a network in the forms that ONNX's operators want: in float32, with the gates in ONNX's order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS
from charloom.model import Learner

Array = NDArray[Any]


def in_float32(array: Array) -> Array:
    """Return an array in float32."""
    return array.astype(np.float32)


def in_onnx_order(learner: Learner, array: Array) -> Array:
    """Return an array in float32, with its G blocks of H rows in ONNX's order of the gates."""
    cell, H = CELLS[learner.config.cell], learner.config.hidden_size
    return in_float32(np.concatenate([array[cell.rows(gate, H)] for gate in cell.onnx_blocks]))


def biases(learner: Learner, layer: int) -> Array:
    """Return the biases of a layer in ONNX's form (2·G·H): those of the input, then those of the state.

    charloom has only the first ones, except for the second bias of a gate, such as d of the GRU.
    """
    cell, H = CELLS[learner.config.cell], learner.config.hidden_size
    b = learner.parameters[f"layers.{layer}.b"]
    of_state = np.zeros_like(b)
    if cell.second_bias:
        of_state[cell.rows(cell.second_bias, H)] = learner.parameters[f"layers.{layer}.d"]
    return np.concatenate([in_onnx_order(learner, b), in_onnx_order(learner, of_state)])
