"""The loss of a window and its exact gradient, by autograd (spec/mathematics.md: The network)."""

from dataclasses import dataclass, replace

import torch
from torch.nn.functional import cross_entropy

from charloom.config import Config
from charloom.engines.torch.devices import wide_dtype
from charloom.engines.torch.layer_stack import Inputs, logits_of, run_layers
from charloom.engines.torch.layers import Weights
from charloom.engines.torch.tensors import Tensors


@dataclass(frozen=True)
class ReadPairs:
    """The inputs of the pairs that a window reads.

    Attributes:
        rows: the rows of `pairs.weight` that the window reads, each once, (R',); the first may be -1.
        place: the index in `rows` of the row that each stream reads at each step, (T, B).
        values: the inputs in these rows, (R', G·H), a leaf of autograd; that of the row -1 has no meaning.
    """

    rows: torch.Tensor
    place: torch.Tensor
    values: torch.Tensor

    @classmethod
    def of(cls, inputs: torch.Tensor, rows: torch.Tensor) -> "ReadPairs":
        """Return what a window with these rows (T, B) reads from the learned inputs (R, G·H)."""
        found, place = torch.unique(rows, return_inverse=True)
        values = inputs.detach()[found.clamp(min=0)].requires_grad_()
        return cls(found, place, values)

    def inputs(self) -> torch.Tensor:
        """Return the input of each stream at each step, (T, B, G·H); 0 for a pair without a row."""
        return torch.where(self.has_row.unsqueeze(1), self.values, 0)[self.place]

    @property
    def has_row(self) -> torch.Tensor:
        """True for each of `rows` that is a row."""
        return self.rows >= 0


@dataclass(frozen=True)
class WindowResult:
    """The results of a window.

    Attributes:
        loss: summed over T and averaged over B, without axes.
        gradients: the gradient of the minimised loss by parameter name, without the inputs of pairs.
        pair_gradient: that of `ReadPairs.values`; None without pairs.
        state: the state after the window.
    """

    loss: torch.Tensor
    gradients: Tensors
    pair_gradient: torch.Tensor | None
    state: Tensors


def window_result(
    config: Config,
    parameters: Weights,
    inputs: Inputs,
    targets: torch.Tensor,
    state: Weights,
    pairs: ReadPairs | None = None,
    mean: bool = False,
) -> WindowResult:
    """Return the loss of a window, its gradient and the next state.

    Args:
        config: the settings.
        parameters: leaves of autograd, by name, without the inputs of pairs.
        inputs: what the network reads, without its pairs.
        targets: the target ids, int64 of shape (T, B).
        state: the state before the window.
        pairs: the inputs of pairs that the window reads; None without pairs.
        mean: the minimised loss is the loss divided by T.
    """
    T, B = targets.shape
    compute = compute_dtype(config)
    with torch.enable_grad():
        used = {name: p if compute is None else p.to(compute) for name, p in parameters.items()}
        given = {name: s if compute is None else s.to(compute) for name, s in state.items()}
        added = None if pairs is None else pairs.inputs()
        top, after = run_layers(config.cell, used, in_dtype(inputs, added, compute), given)
        logits = logits_of(used, top, inputs.log_q)
        if compute is not None:
            logits = logits.float()
        nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        loss = nats.sum(dtype=wide_dtype(targets.device)) / B
        leaves = [*parameters.values(), *([] if pairs is None else [pairs.values])]
        gradients = torch.autograd.grad(loss / T if mean else loss, leaves)
    dtype = next(iter(parameters.values())).dtype
    return WindowResult(
        loss.detach(),
        dict(zip(parameters, gradients, strict=False)),
        None if pairs is None else gradients[-1],
        {name: array.detach().to(dtype) for name, array in after.items()},
    )


def compute_dtype(config: Config) -> torch.dtype | None:
    """Return the dtype in which training computes; None if it is that of the parameters."""
    return torch.bfloat16 if config.compute_dtype == "bfloat16" else None


def in_dtype(inputs: Inputs, pairs: torch.Tensor | None, dtype: torch.dtype | None) -> Inputs:
    """Return the inputs with the inputs of pairs, both in a dtype; None leaves their dtype."""
    masks = inputs.masks
    if dtype is not None:
        masks = None if masks is None else masks.to(dtype)
        pairs = None if pairs is None else pairs.to(dtype)
    return replace(inputs, pairs=pairs, masks=masks)
