"""One recurrent layer: over a whole window with PyTorch's kernels, or step by step (spec/mathematics.md: The cells).

A layer's state is a dict of tensors (B, H): `h`, and for the LSTM also `cell`. A layer's weights are a dict of U, W,
b, and for the GRU d. PyTorch has two biases: the second is 0, but for the GRU it has d in the rows of gate n.
Autograd computes the backward pass of both ways.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch.nn.functional import linear

from charloom.engines.torch.item_pieces import ItemPieces, reset
from charloom.engines.torch.tensors import Tensors

Weights = Mapping[str, torch.Tensor]


def layer_over_window(
    cell: str,
    weights: Weights,
    x: torch.Tensor,
    carried: Weights,
    pieces: ItemPieces | None = None,
) -> tuple[torch.Tensor, Tensors]:
    """Return a layer's outputs (T, B, H) and its state after the window, by PyTorch's kernel for the cell.

    `x` is the input, (T, B, inputs); `carried` is the state before the window. `pieces` cuts the window where items
    begin; None reads it in one piece.
    """
    W = weights["W"]
    rows, H = W.shape
    if "d" in weights:
        second = torch.cat([W.new_zeros(rows - H), weights["d"]])
    else:
        second = W.new_zeros(rows)
    flat = (weights["U"], W, weights["b"], second)
    if pieces is not None:
        return _over_pieces(cell, flat, x, carried, pieces)
    # the last option: the first axis is not time but the batch
    options = (*_options(), False)
    h = carried["h"].unsqueeze(0)
    if cell == "lstm":
        outputs, h, s = torch.lstm(x, (h, carried["cell"].unsqueeze(0)), flat, *options)
        return outputs, {"h": h[0], "cell": s[0]}
    kernel = torch.gru if cell == "gru" else torch.rnn_tanh
    outputs, h = kernel(x, h, flat, *options)
    return outputs, {"h": h[0]}


def _options() -> tuple[bool, int, float, bool, bool]:
    """Return the options that PyTorch's kernels have in common."""
    # has biases, one layer, no dropout, whether a backward pass may follow, not bidirectional
    return True, 1, 0.0, torch.is_grad_enabled(), False


def _over_pieces(
    cell: str,
    flat: tuple[torch.Tensor, ...],
    x: torch.Tensor,
    carried: Weights,
    pieces: ItemPieces,
) -> tuple[torch.Tensor, Tensors]:
    """Return what `layer_over_window` returns for a window with items; each piece is a packed sequence."""
    rows, sizes = pieces.packed(x), pieces.sizes
    states = {name: pieces.first_states(array).unsqueeze(0) for name, array in carried.items()}
    if cell == "lstm":
        hidden = states["h"], states["cell"]
        outputs, h, s = torch.lstm(rows, sizes, hidden, flat, *_options())
        after = {"h": h[0], "cell": s[0]}
    else:
        kernel = torch.gru if cell == "gru" else torch.rnn_tanh
        outputs, h = kernel(rows, sizes, states["h"], flat, *_options())
        after = {"h": h[0]}
    last = {name: pieces.last_states(array) for name, array in after.items()}
    return pieces.unpacked(outputs), last


def layer_in_steps(
    cell: str,
    weights: Weights,
    x: torch.Tensor,
    carried: Weights,
    added: torch.Tensor | None,
    begins: torch.Tensor | None,
) -> list[Tensors]:
    """Return a layer's state after each step.

    `added` is added to U x, such as the inputs of pairs, (T, B, G·H). `begins` is True where a stream begins an item,
    (T, B); None without a boundary of items. The other arguments are those of `layer_over_window`.
    """
    read = linear(x, weights["U"], weights["b"])
    if added is not None:
        read = read + added
    states, state = [], dict(carried)
    for t, a in enumerate(read.unbind(0)):
        before = reset(state, None if begins is None else begins[t])
        state = STEPS[cell](a, before, weights)
        states.append(state)
    return states


def rnn_step(a: torch.Tensor, prev: Weights, weights: Weights) -> Tensors:
    """Return the state of a plain cell after a step. `a` is U x + b."""
    return {"h": torch.tanh(a + linear(prev["h"], weights["W"]))}


def lstm_step(a: torch.Tensor, prev: Weights, weights: Weights) -> Tensors:
    """Return the state of an LSTM after a step. `a` is U x + b."""
    i, f, g, o = (a + linear(prev["h"], weights["W"])).chunk(4, -1)
    s = torch.sigmoid(f) * prev["cell"] + torch.sigmoid(i) * torch.tanh(g)
    return {"h": torch.sigmoid(o) * torch.tanh(s), "cell": s}


def gru_step(a: torch.Tensor, prev: Weights, weights: Weights) -> Tensors:
    """Return the state of a GRU after a step. `a` is U x + b."""
    read_r, read_z, read_n = a.chunk(3, -1)
    held_r, held_z, held_n = linear(prev["h"], weights["W"]).chunk(3, -1)
    r, z = torch.sigmoid(read_r + held_r), torch.sigmoid(read_z + held_z)
    n = torch.tanh(read_n + r * (held_n + weights["d"]))
    return {"h": (1 - z) * n + z * prev["h"]}


STEPS: Final[dict[str, Callable[[torch.Tensor, Weights, Weights], Tensors]]] = {
    "rnn": rnn_step,
    "lstm": lstm_step,
    "gru": gru_step,
}
