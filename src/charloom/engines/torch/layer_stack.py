"""The network over a window: the layers one after another, and the output (spec/mathematics.md: The network).

Ids have shape (T, B). A state is a dict of tensors (L, B, H). Parameters have the learner's names.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from charloom.engines.torch.item_pieces import ItemPieces
from charloom.engines.torch.layers import Weights, layer_in_steps, layer_over_window
from charloom.engines.torch.registered_layers import (
    gates_over_window,
    states_before,
    states_over_window,
)
from charloom.engines.torch.tensors import Tensors
from charloom.registered_cells import registered_cell


@dataclass(frozen=True)
class Inputs:
    """What a network reads in a window.

    Attributes:
        ids: the ids, int64 of shape (T, B).
        pairs: the learned inputs of the pairs, (T, B, G·H); None without pairs.
        masks: the dropout masks, (L, T, B, H); None without dropout.
        log_q: the logarithms of the n-grams' probabilities, (T, B, K); None without n-grams.
        begins: True where a stream begins an item, (T, B); None without a boundary of items.
    """

    ids: torch.Tensor
    pairs: torch.Tensor | None = None
    masks: torch.Tensor | None = None
    log_q: torch.Tensor | None = None
    begins: torch.Tensor | None = None


def layer_weights(parameters: Weights, layer: int) -> Tensors:
    """Return the parameters of a layer by the names U, W, b and d, or by those of a registered cell."""
    start = f"layers.{layer}."
    return {
        name.removeprefix(start): value
        for name, value in parameters.items()
        if name.startswith(start)
    }


def one_hot(ids: torch.Tensor, parameters: Weights) -> torch.Tensor:
    """Return ids (T, B) as vectors (T, B, K) in the dtype of the parameters."""
    V = parameters["V"]
    return V.new_zeros((*ids.shape, len(V))).scatter_(2, ids.unsqueeze(2), 1)


def run_layers(
    cell: str, parameters: Weights, inputs: Inputs, state: Weights
) -> tuple[torch.Tensor, Tensors]:
    """Return the top layer's outputs, (T, B, H), after dropout, and the state after the window.

    Layer 0 with pairs, and a window of one step, are computed step by step; all else by PyTorch's kernels. A registered
    cell is computed by its own code.
    """
    x, after = one_hot(inputs.ids, parameters), []
    own = registered_cell(cell)
    pieces = None if inputs.begins is None or len(x) == 1 else ItemPieces.of(inputs.begins)
    for layer in range(len(state["h"])):
        weights = layer_weights(parameters, layer)
        carried = {name: array[layer] for name, array in state.items()}
        added = inputs.pairs if layer == 0 else None
        if own is not None:
            found = states_over_window(own, weights, x, carried, inputs.begins)
            x, last = found["h"], {name: array[-1] for name, array in found.items()}
        elif added is None and len(x) > 1:
            x, last = layer_over_window(cell, weights, x, carried, pieces)
        else:
            states = layer_in_steps(cell, weights, x, carried, added, inputs.begins)
            x, last = torch.stack([each["h"] for each in states]), states[-1]
        after.append(last)
        if inputs.masks is not None:
            x = x * inputs.masks[layer]
    return x, {name: torch.stack([last[name] for last in after]) for name in state}


def all_states(
    cell: str, parameters: Weights, inputs: Inputs, state: Weights
) -> tuple[Tensors, Tensors]:
    """Return the states after each step, tensors (T, L, B, H), and the state after the window.

    With the states of a registered cell are the values of its gates.
    """
    x, found = one_hot(inputs.ids, parameters), []
    own = registered_cell(cell)
    for layer in range(len(state["h"])):
        weights = layer_weights(parameters, layer)
        carried = {name: array[layer] for name, array in state.items()}
        if own is None:
            added = inputs.pairs if layer == 0 else None
            states = layer_in_steps(cell, weights, x, carried, added, inputs.begins)
            found.append({name: torch.stack([each[name] for each in states]) for name in state})
        else:
            after = states_over_window(own, weights, x, carried, inputs.begins)
            before = states_before(after, carried, inputs.begins)
            found.append({**after, **gates_over_window(own, weights, x, before)})
        x = found[-1]["h"]
    values = {name: torch.stack([each[name] for each in found], dim=1) for name in found[0]}
    return values, {name: values[name][-1] for name in state}


def logits_of(parameters: Weights, top: torch.Tensor, log_q: torch.Tensor | None) -> torch.Tensor:
    """Return the logits, (T, B, K). `top` is what `run_layers` returns."""
    logits = linear(top, parameters["V"], parameters["c"])
    if log_q is None:
        return logits
    weight = linear(top, parameters["ngram.weight"], parameters["ngram.bias"])
    return logits + weight * log_q
