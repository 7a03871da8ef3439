"""Converts a model's parameters to a PyTorch state_dict, and a state_dict to parameters.

A state_dict has the arrays of a network by PyTorch's names: those of nn.RNN, nn.LSTM, nn.GRU and
nn.Linear. This module does not know files, so its error messages do not contain a file's name.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS, Cell
from charloom.errors import NotAModelError
from charloom.formatting import shortened
from charloom.messages import Placeholder, argument
from charloom.model import Learner
from charloom.model.parameters import Parameters
from charloom.registered_cells import built_in_cell

Array = NDArray[Any]

UNSUPPORTED: Final = {
    "_reverse": "reads both ways (bidirectional)",
    "weight_hr_l": "projects its states (proj_size)",
}


def to_state_dict(learner: Learner) -> Parameters:
    """Return a model's parameters by PyTorch's names, as arrays of the model's dtype.

    The PyTorch network reads one-hot vectors, with batch_first=False. A cell has G blocks of
    weights: one for the plain cell, or one for each gate. For each layer l the result has
    `rnn.weight_ih_l{l}` of shape (G·H, K) for layer 0 and (G·H, H) for the others,
    `rnn.weight_hh_l{l}` (G·H, H), `rnn.bias_ih_l{l}` and `rnn.bias_hh_l{l}` (G·H). The output has
    `head.weight` (K, H) and `head.bias` (K). bias_hh is zero, except that a GRU has the bias d in
    the rows of its candidate n.
    """
    H, ours = learner.config.hidden_size, learner.parameters
    cell = built_in_cell(learner.config.cell, "a PyTorch file")
    state_dict: Parameters = {}
    for layer in range(learner.config.layers):
        b = ours[f"layers.{layer}.b"]
        bias_hh = np.zeros_like(b)
        if cell.second_bias:
            bias_hh[cell.rows(cell.second_bias, H)] = ours[f"layers.{layer}.d"]
        state_dict |= {
            f"rnn.weight_ih_l{layer}": ours[f"layers.{layer}.U"],
            f"rnn.weight_hh_l{layer}": ours[f"layers.{layer}.W"],
            f"rnn.bias_ih_l{layer}": b,
            f"rnn.bias_hh_l{layer}": bias_hh,
        }
    return {**state_dict, "head.weight": ours["V"], "head.bias": ours["c"]}


@dataclass(frozen=True)
class Prefixes:
    """The prefixes of the names of the recurrent part and of the head (nn.Linear) in a state_dict.

    An example is `model.rnn`. A prefix that is None is detected from names and shapes.
    """

    recurrent: str | None = None
    head: str | None = None


DETECTED: Final = Prefixes()


def find_network(arrays: dict[str, Array], prefixes: Prefixes) -> tuple[str, Parameters]:
    """Return the name of the cell, and the parameters of the network by charloom's names.

    Rows and columns that stand for ids keep the order that they have in `arrays`. If there is an
    nn.Embedding, U of layer 0 is the product of weight_ih_l0 and the transposed embedding.

    Args:
        arrays: the arrays of the state_dict by name, all of one dtype.
        prefixes: the prefixes of the names of the recurrent layers and of the output layer.

    Raises:
        NotAModelError: `arrays` are not those of an nn.RNN, nn.LSTM or nn.GRU with an nn.Linear; or
            a prefix in `prefixes` does not fit, or is None although several prefixes fit.
    """
    for part, meaning in UNSUPPORTED.items():
        if any(part in name for name in arrays):
            raise NotAModelError(f"its network {meaning}, which charloom does not support.")
    found = [name.removesuffix("weight_hh_l0") for name in arrays if name.endswith("weight_hh_l0")]
    none = "no weight_hh_l0, as nn.RNN, nn.LSTM and nn.GRU name it"
    rnn = _choose(found, prefixes.recurrent, "recurrent", none)
    rest = dict(arrays)
    cell, parameters = _take_layers(rest, rnn)
    H = parameters["layers.0.W"].shape[1]
    head = _head_prefix(rest, prefixes.head, H)
    V = rest.pop(f"{head}weight")
    c = rest.pop(f"{head}bias", np.zeros(len(V), V.dtype))
    U = parameters["layers.0.U"]
    if len(rest) == 1:
        ((name, embedding),) = rest.items()
        if embedding.ndim == 2 and embedding.shape == (len(V), U.shape[1]):
            U = np.asarray(U.astype(np.float64) @ embedding.T, dtype=U.dtype)
            del rest[name]
    if rest:
        raise NotAModelError(
            f"{_listed(rest)} does not belong to a network of nn.RNN, nn.LSTM or nn.GRU, with "
            f"nn.Linear after it and possibly nn.Embedding before it; charloom supports no other parts."
        )
    if U.shape[1] != len(V):
        raise NotAModelError(
            f"layer 0 reads {U.shape[1]:,} inputs, but the output has {len(V):,} characters; "
            f"layer 0 needs {len(V):,} one-hot inputs, or an nn.Embedding of shape ({len(V)}, {U.shape[1]})."
        )
    return cell, {**parameters, "layers.0.U": U, "V": V, "c": c}


def _take_layers(rest: dict[str, Array], prefix: str) -> tuple[str, Parameters]:
    """Return the name of the cell, and the parameters of all layers by charloom's names.

    Removes the arrays of the layers, whose names begin with `prefix`, from `rest`, the arrays of
    the state_dict by name. Raises NotAModelError if an array is missing or has a wrong shape.
    """
    name = f"{prefix}weight_hh_l0"
    cell = _cell_of(rest[name], name)
    H = rest[name].shape[1]
    parameters: Parameters = {}
    layer = 0
    while f"{prefix}weight_hh_l{layer}" in rest:
        name = f"{prefix}weight_ih_l{layer}"
        shapes = cell.shapes(H, H if layer else _columns(rest.get(name)))
        U = _take(rest, name, shapes["U"])
        W = _take(rest, f"{prefix}weight_hh_l{layer}", shapes["W"])
        b_ih, b_hh = (
            _take(rest, f"{prefix}bias_{kind}_l{layer}", shapes["b"], zeros=W.dtype)
            for kind in ("ih", "hh")
        )
        found = {"U": U, "W": W, **_biases(cell, b_ih, b_hh, H)}
        parameters |= {f"layers.{layer}.{name}": array for name, array in found.items()}
        layer += 1
    return cell.name, parameters


def _cell_of(weight_hh: Array, name: str) -> Cell:
    """Return the kind of cell that has recurrent weights of the shape of `weight_hh`.

    A state_dict does not say whether its network is an LSTM, a GRU or a plain RNN, but the shapes
    differ. `name` is the name of `weight_hh` in the error message.
    """
    for cell in CELLS.values():
        if (
            weight_hh.ndim == 2
            and weight_hh.size
            and weight_hh.shape == cell.shapes(weight_hh.shape[1], 0)["W"]
        ):
            return cell
    *others, last = (
        f"({len(cell.blocks) if cell.gates else ''}H, H) for nn.{cell.torch_class}"
        for cell in CELLS.values()
    )
    raise NotAModelError(
        f"{name} has shape {weight_hh.shape}; it must have shape {', '.join(others)} or {last}."
    )


def _biases(cell: Cell, b_ih: Array, b_hh: Array, H: int) -> Parameters:
    """Return the biases of a layer by charloom's names: b, and d for a cell with a second bias.

    b is the sum of PyTorch's two biases, `b_ih` and `b_hh`. The rows of the gate with the second bias
    are an exception: there, b is equal to `b_ih`, and d is equal to `b_hh`.
    """
    b = np.asarray(b_ih.astype(np.float64) + b_hh, dtype=b_ih.dtype)
    if not cell.second_bias:
        return {"b": b}
    rows = cell.rows(cell.second_bias, H)
    b[rows] = b_ih[rows]
    return {"b": b, "d": b_hh[rows]}


def _columns(array: Array | None) -> int:
    """Return the number of columns of a matrix; 0 if `array` is None or not a matrix."""
    return array.shape[1] if array is not None and array.ndim == 2 else 0


def _take(rest: dict[str, Array], name: str, shape: tuple[int, ...], zeros: Any = None) -> Array:
    """Remove the array `name` from `rest` and return it. Its shape must be `shape`.

    If the array is missing and `zeros` is a dtype, return zeros of this dtype, because a module
    with bias=False has no biases.
    """
    if name not in rest and zeros is not None:
        return np.zeros(shape, zeros)
    if name not in rest:
        raise NotAModelError(f"{name} is missing; its shape must be {shape}.")
    array = rest.pop(name)
    if array.shape != shape:
        raise NotAModelError(f"{name} has shape {array.shape}; it must have shape {shape}.")
    return array


def _head_prefix(rest: dict[str, Array], given: str | None, H: int) -> str:
    """Return the prefix of the names of the nn.Linear that computes the logits from H inputs.

    `given` is the prefix that the user gave; None if it must be detected.
    """
    found = []
    for name, array in rest.items():
        prefix = name.removesuffix("weight")
        bias = rest.get(f"{prefix}bias")
        if (
            name.endswith("weight")
            and array.ndim == 2
            and array.shape[1] == H
            and (bias is None or bias.shape == array.shape[:1])
        ):
            found.append(prefix)
    with_bias = [prefix for prefix in found if f"{prefix}bias" in rest]
    if given is None and with_bias:
        # The output layer usually has a bias. A matrix without a bias may be an nn.Embedding.
        found = with_bias
    return _choose(found, given, "head", f"no nn.Linear with {H} inputs on top of the layers")


def _choose(found: list[str], given: str | None, name: str, none: str) -> str:
    """Return the prefix that the user selected, or the only prefix that was found.

    Args:
        found: the prefixes of the arrays that fit.
        given: the prefix that the user selected; None to take the only one in `found`.
        name: the name of the user's argument, for the error message.
        none: the words of the error message if `found` is empty, such as "no nn.Linear".

    Raises:
        NotAModelError: `given` is not in `found`; or `given` is None, and `found` does not have
            exactly one prefix.
    """
    if given is not None:
        wanted = f"{given}." if given and not given.endswith(".") else given
        if wanted in found:
            return wanted
        raise NotAModelError(
            f"{argument(name)} {shortened(given)} does not fit; "
            f"{'it can be ' + _listed(found) if found else 'it has ' + none}."
        )
    if not found:
        raise NotAModelError(f"it has {none}.")
    if len(found) > 1:
        raise NotAModelError(
            f"several parts fit: {_listed(found)}. Select one with "
            f"{argument(name, Placeholder('NAME'))}."
        )
    return found[0]


def _listed(names: Any) -> str:
    """Return untrusted names as text: the first four, and how many more there are."""
    shown = [shortened(name.removesuffix(".")) for name in sorted(names)]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
