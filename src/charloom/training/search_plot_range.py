"""Chooses which learning rates and losses of a search a plot shows, for the report and the page."""

from dataclasses import dataclass
from typing import Final

from charloom.training.learning_rate_search import STEPS_PER_DECADE, LearningRateSearch

# How far the vertical axis reaches above the loss at the lowest rate, as a factor.
HEADROOM: Final = 1.15
# The space left of the lowest rate and right of the highest one: half a step of the scale, as a factor.
HALF_STEP: Final = 10 ** (0.5 / STEPS_PER_DECADE)


@dataclass(frozen=True)
class PlotRange:
    """The range of each axis in a plot of a search.

    Attributes:
        learning_rates: the lowest and the highest rate of the horizontal axis.
        losses: the lowest and the highest loss of the vertical axis in nats per character.
        left_out: the rates right of the last one with a loss in the plot, ascending. Each of their trials has a
            higher loss or diverged.
    """

    learning_rates: tuple[float, float]
    losses: tuple[float, float]
    left_out: tuple[float, ...]


def plot_range(search: LearningRateSearch) -> PlotRange:
    """Return the ranges in which a plot shows `search`.

    Large rates have losses far above that of the network before training. They would flatten the curves, so they are
    above the plot, and the plot ends where the curve leaves it.
    """
    low, high = loss_range(search)
    tried = {rate for trials in search.rounds for rate in trials.learning_rates}
    shown = {search.learning_rate} | {
        rate
        for trials in search.rounds
        for rate, loss in zip(trials.learning_rates, trials.losses, strict=True)
        if loss is not None and loss <= high
    }
    first, last = min(tried | shown), max(shown)
    left_out = tuple(sorted(rate for rate in tried if rate > last))
    end = left_out[0] if left_out else HALF_STEP * last
    return PlotRange((first / HALF_STEP, end), (low, high), left_out)


def loss_range(search: LearningRateSearch) -> tuple[float, float]:
    """Return the lowest and the highest loss of the vertical axis of a plot of `search`."""
    losses = [loss for trials in search.rounds for loss in trials.losses if loss is not None]
    untrained = next((loss for loss in search.rounds[0].losses if loss is not None), 0.0)
    low, high = min(losses, default=0.0), HEADROOM * untrained
    margin = max(0.05 * (high - low), 0.01) if high > low else 1.0
    return low - margin, max(high, low + margin)
