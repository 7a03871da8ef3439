"""Compute the gates of a network from its inputs and hidden states (spec/mathematics.md: Inside a network).

An engine returns states only, so the gates are computed again from them. No step needs the result
of another one, so all steps are computed in one call.

Shapes: N tokens, H hidden units, G gates.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument

Array = NDArray[Any]

# The names of the values that each unit of a cell has: states, then gates. MEANINGS describes them.
WHATS: Final = {name: (*cell.states, *cell.gates) for name, cell in CELLS.items()}
MEANINGS: Final = {
    "h": "output",
    "cell": "cell",
    "i": "input gate",
    "f": "forget gate",
    "g": "candidate",
    "o": "output gate",
    "r": "reset gate",
    "z": "update gate",
    "n": "candidate",
}


def require_value_name(what: str, cell: str) -> None:
    """Raise ConfigError unless the units of `cell` have a value named `what`."""
    if what not in WHATS[cell]:
        raise ConfigError(
            f"{argument('what')} is {shortened(what)}, but the units of this model (cell {cell}) have "
            f"only {', '.join(WHATS[cell])}."
        )


def gates(
    cell: str, parameters: Mapping[str, Array], layer: int, x: Array, h_prev: Array
) -> dict[str, Array]:
    """Return the gates of one layer at each of N steps, by name; each has shape (N, H).

    Args:
        cell: name of the network's cell.
        parameters: the network's parameters.
        layer: number of the layer, from 0.
        x: the layer's input at each step: ids (N,), or the outputs (N, H) of the layer below.
        h_prev: the layer's h before each step, shape (N, H).

    Returns:
        i, f, g and o of an LSTM; r, z and n of a GRU; nothing for the plain cell.
    """
    if not CELLS[cell].gates:
        return {}
    U, W, b = (parameters[f"layers.{layer}.{name}"] for name in "UWb")
    read = (U.T[x] if np.issubdtype(x.dtype, np.integer) else x @ U.T) + b
    held = h_prev @ W.T
    if cell == "lstm":
        return lstm_gates(read + held)
    return gru_gates(read, held, parameters[f"layers.{layer}.d"])


def lstm_gates(sums: Array) -> dict[str, Array]:
    """Return the gates of an LSTM, from their stacked sums (N, 4H)."""
    a_i, a_f, a_g, a_o = np.split(sums, 4, axis=1)
    return {"i": sigmoid(a_i), "f": sigmoid(a_f), "g": np.tanh(a_g), "o": sigmoid(a_o)}


def gru_gates(read: Array, held: Array, d: Array) -> dict[str, Array]:
    """Return the gates of a GRU, from the stacked U x + b and W h (N, 3H), and d (H)."""
    read_r, read_z, read_n = np.split(read, 3, axis=1)
    held_r, held_z, held_n = np.split(held, 3, axis=1)
    r = sigmoid(read_r + held_r)
    n = np.tanh(read_n + r * (held_n + d))
    return {"r": r, "z": sigmoid(read_z + held_z), "n": n}


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), computed with tanh, which never overflows."""
    return np.asarray((1 + np.tanh(a / 2)) / 2)
