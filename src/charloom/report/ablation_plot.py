"""Draws the cost of each hidden unit of a model in bits per character, sorted, with intervals."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from matplotlib.figure import Figure

from charloom.report.plot_style import (
    LIGHT,
    SMALL_FONT,
    WIDE,
    Palette,
    figure_with_axes,
    style_axes,
)

LEFT: Final = 60  # space for the labels of the costs, in 1/72 inch
NAMED: Final = 8  # units that the plot names


class Cost(Protocol):
    """The cost of a held unit; the fields of `charloom.api.unit_ablation.UnitCost`."""

    @property
    def layer(self) -> int:
        """Return the number of the layer."""

    @property
    def unit(self) -> int:
        """Return the number of the unit."""

    @property
    def bits(self) -> float:
        """Return the cost in bits per character."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the cost; None if it is not known."""


def ablation_figure(costs: Sequence[Cost], held: str, *, palette: Palette = LIGHT) -> Figure:
    """Return a plot of the costs of units, in the given order, with the names of the first ones.

    Args:
        costs: the cost of each unit, highest first.
        held: "zero" or "mean": the value at which the units are held.
        palette: the colours.
    """
    figure, axes = figure_with_axes(WIDE, palette)
    figure.subplots_adjust(left=LEFT / WIDE[0])
    style_axes(axes, palette, SMALL_FONT)
    ranks = np.arange(1, len(costs) + 1)
    bits = [cost.bits for cost in costs]
    intervals = [cost.interval or (cost.bits, cost.bits) for cost in costs]
    low, high = np.array(intervals).T
    axes.vlines(ranks, low, high, color=palette["series-1"], alpha=0.35, linewidth=2)
    axes.plot(ranks, bits, "o", color=palette["series-1"], markersize=3)
    axes.axhline(0, color=palette["muted"], linewidth=1)
    for rank, cost in zip(ranks[:NAMED].tolist(), costs, strict=False):
        axes.annotate(
            f"{cost.layer}:{cost.unit}",
            (rank, cost.bits),
            xytext=(5, 0),
            textcoords="offset points",
            color=palette["ink"],
            fontsize=SMALL_FONT - 1,
            va="center",
        )
    axes.set_xlabel("units, highest cost first", color=palette["muted"], fontsize=SMALL_FONT)
    axes.set_title(
        f"bits per character more if a unit is held at {'0' if held == 'zero' else 'its mean'}, with 95 % intervals",
        loc="left",
        color=palette["ink"],
        fontsize=SMALL_FONT + 1,
    )
    return figure
