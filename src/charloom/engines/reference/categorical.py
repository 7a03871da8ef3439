"""Draws one character from the logits (spec/mathematics.md: Sampling). It does not know networks."""

import numpy as np

from charloom.engines.base import Array, Ids, Sampler
from charloom.errors import EngineError


def draw(logits: Array, sampler: Sampler, recent: Ids, uniform: float) -> int:
    """Return one id, drawn from the logits by inverse transform sampling.

    The probabilities have the logits' dtype; their sums are in float64.

    Args:
        logits: one logit for each id, shape (K,).
        sampler: the settings for drawing the id.
        recent: the last ids that were read; the repetition penalty makes them less likely.
        uniform: a random number in [0, 1).

    Raises:
        EngineError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise EngineError(
            "the model's logits are not finite: the model diverged; use an earlier checkpoint."
        )
    if sampler.repetition_penalty != 1:
        logits = penalised(logits, recent, sampler.repetition_penalty)
    # Allow overflow: a very high temperature becomes infinite in float32, and dividing the logits by a very
    # low temperature gives infinite numbers.
    with np.errstate(over="ignore"):
        temperature = logits.dtype.type(sampler.temperature)
        if temperature == 0:
            return int(np.argmax(logits))
        weights = np.exp((logits - logits.max()) / temperature).astype(np.float64)
    ids = kept(weights, sampler)
    sums = np.cumsum(weights[ids])
    # `uniform` is below 1, but the product `uniform * sums[-1]` may be rounded up to `sums[-1]`. The search
    # then finds no id, so draw the last id.
    place = min(int(np.searchsorted(sums, uniform * sums[-1], side="right")), len(ids) - 1)
    return int(ids[place])


def penalised(logits: Array, recent: Ids, penalty: float) -> Array:
    """Return a copy of the logits in which recent ids are less likely (Keskar and others 2019).

    `penalty` is the repetition penalty; 1 changes nothing.
    """
    logits, ids = logits.copy(), np.unique(recent)
    own = logits[ids]
    logits[ids] = np.where(own > 0, own / penalty, own * penalty)
    return logits


def kept(weights: Array, sampler: Sampler) -> Ids:
    """Return the ids that may be drawn after top-k, top-p and min-p, in ascending order, at least one id.

    `weights` are the probabilities of all ids, times any common factor.
    """
    order = np.argsort(-weights, kind="stable")
    if sampler.top_k:
        order = order[: sampler.top_k]
    if sampler.top_p < 1:
        sums = np.cumsum(weights[order])
        order = order[: int(np.searchsorted(sums, sampler.top_p * sums[-1])) + 1]
    return np.sort(order[weights[order] >= sampler.min_p * weights.max()])
