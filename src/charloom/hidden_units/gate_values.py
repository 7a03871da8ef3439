"""Compute the gates of a network from its inputs and hidden states (spec/mathematics.md: Inside a network).

An engine returns only the states, so the gates are computed again from the states. The gates of a
step depend only on its input and the state before it, so one call computes the gates of all steps.

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
from charloom.registered_cells import cell_named

Array = NDArray[Any]

# A description of each value of a unit of the built-in cells.
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


def value_names(cell: str) -> tuple[str, ...]:
    """Return the names of the values that a unit of a cell has: its states, then its gates."""
    found = cell_named(cell)
    return (*found.states, *found.gates)


def meaning(what: str) -> str:
    """Return a description of a value of a unit, such as "update gate"."""
    return MEANINGS.get(what, f"{what} of a registered cell")


def require_value_name(what: str, cell: str) -> None:
    """Raise ConfigError if the units of `cell` have no value with the name `what`."""
    if what not in value_names(cell):
        raise ConfigError(
            f"{argument('what')} is {shortened(what)}, but the units of this model (cell {cell}) have "
            f"only {', '.join(value_names(cell))}."
        )


def gates(
    cell: str,
    parameters: Mapping[str, Array],
    layer: int,
    x: Array,
    h_prev: Array,
    from_pairs: Array | float = 0.0,
) -> dict[str, Array]:
    """Return the gates of one layer at N steps, by name; each gate has shape (N, H).

    Args:
        cell: name of the network's cell.
        parameters: the network's parameters.
        layer: number of the layer, from 0.
        x: the layer's input at each step: ids (N,), or the outputs (N, H) of the layer below.
        h_prev: the layer's h before each step, shape (N, H).
        from_pairs: what the pairs of characters add to the sums of the gates of layer 0, shape (N, G·H);
            0 without pairs and above layer 0.

    Returns:
        The gates i, f, g and o for an LSTM; r, z and n for a GRU; an empty dict for the plain cell.
    """
    if not CELLS[cell].gates:
        return {}
    U, W, b = (parameters[f"layers.{layer}.{name}"] for name in "UWb")
    read = (U.T[x] if np.issubdtype(x.dtype, np.integer) else x @ U.T) + b + from_pairs
    held = h_prev @ W.T
    if cell == "lstm":
        return lstm_gates(read + held)
    return gru_gates(read, held, parameters[f"layers.{layer}.d"])


def lstm_gates(sums: Array) -> dict[str, Array]:
    """Return the gates i, f, g and o of an LSTM by name, each of shape (N, H).

    `sums` are U x + b + W h for the four gates side by side, shape (N, 4H).
    """
    a_i, a_f, a_g, a_o = np.split(sums, 4, axis=1)
    return {"i": sigmoid(a_i), "f": sigmoid(a_f), "g": np.tanh(a_g), "o": sigmoid(a_o)}


def gru_gates(read: Array, held: Array, d: Array) -> dict[str, Array]:
    """Return the gates r, z and n of a GRU by name, each of shape (N, H).

    `read` is U x + b and `held` is W h, each for the three gates side by side, shape (N, 3H). `d`
    is the second bias of n, shape (H,).
    """
    read_r, read_z, read_n = np.split(read, 3, axis=1)
    held_r, held_z, held_n = np.split(held, 3, axis=1)
    r = sigmoid(read_r + held_r)
    n = np.tanh(read_n + r * (held_n + d))
    return {"r": r, "z": sigmoid(read_z + held_z), "n": n}


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), computed with tanh, which never overflows."""
    return np.asarray((1 + np.tanh(a / 2)) / 2)
