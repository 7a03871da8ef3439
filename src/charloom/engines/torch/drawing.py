"""Draws one character from the logits (spec/mathematics.md: Sampling), with tensors on the processor."""

import numpy as np
import torch

from charloom.engines.base import Ids, Sampler
from charloom.errors import EngineError


def draw(logits: torch.Tensor, sampler: Sampler, recent: Ids, uniform: float) -> int:
    """Return one id, drawn from the logits (K,) by inverse transform sampling.

    Args:
        logits: one logit for each id, on the processor.
        sampler: the settings for drawing the id.
        recent: the last ids that were read; the repetition penalty makes them less likely.
        uniform: a random number in [0, 1).

    Raises:
        EngineError: a logit is not finite.
    """
    if not bool(torch.isfinite(logits).all()):
        raise EngineError(
            "the model's logits are not finite: the model diverged; use an earlier checkpoint."
        )
    if sampler.repetition_penalty != 1:
        logits = penalised(logits, recent, sampler.repetition_penalty)
    temperature = in_precision(sampler.temperature, logits.dtype)
    if temperature == 0:
        return int((logits == logits.max()).nonzero()[0])
    weights = ((logits - logits.max()) / temperature).exp().double()
    ids = kept_ids(weights, sampler)
    sums = weights[ids].cumsum(0)
    # The product may be rounded up to the last sum; then draw the last id.
    place = int(torch.searchsorted(sums, uniform * sums[-1], right=True))
    return int(ids[min(place, len(ids) - 1)])


def in_precision(number: float, dtype: torch.dtype) -> float:
    """Return a number rounded to a dtype; infinite if it is too large for the dtype."""
    return float(torch.tensor(number, dtype=torch.float64).to(dtype))


def penalised(logits: torch.Tensor, recent: Ids, penalty: float) -> torch.Tensor:
    """Return a copy of the logits in which recent ids are less likely (Keskar and others 2019)."""
    ids = torch.from_numpy(np.unique(recent).astype(np.int64))
    own, changed = logits[ids], logits.clone()
    changed[ids] = torch.where(own > 0, own / penalty, own * penalty)
    return changed


def kept_ids(weights: torch.Tensor, sampler: Sampler) -> torch.Tensor:
    """Return the ids that may be drawn after top-k, top-p and min-p, ascending, at least one."""
    order = torch.sort(-weights, stable=True).indices
    if sampler.top_k:
        order = order[: sampler.top_k]
    if sampler.top_p < 1:
        sums = weights[order].cumsum(0)
        order = order[: int(torch.searchsorted(sums, sampler.top_p * sums[-1])) + 1]
    return order[weights[order] >= sampler.min_p * weights.max()].sort().values
