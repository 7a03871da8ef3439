"""Draws how much of what a model writes occurs verbatim in its training text, by length, beside held-out text."""

from collections.abc import Sequence
from typing import Final

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

LEAST: Final = 1e-4  # smaller shares are below the plot


def verbatim_figure(
    lines: Sequence[tuple[str, Sequence[float]]], tokens: str, *, palette: Palette = LIGHT
) -> Figure:
    """Return a plot of shares over the length of the stretches, both on logarithmic axes.

    Args:
        lines: for each line its label, and the share for each length from 1 on.
        tokens: the unit of the lengths, characters or bytes.
        palette: the colours.
    """
    figure, axes = figure_with_axes(WIDE, palette)
    figure.subplots_adjust(left=60 / WIDE[0])
    style_axes(axes, palette, SMALL_FONT)
    for n, (label, shares) in enumerate(lines):
        axes.plot(
            np.arange(1, len(shares) + 1),
            np.maximum(np.array(shares), LEAST / 10),
            color=palette[f"series-{n + 1}"],
            linewidth=1.8,
            linestyle="-" if n == 0 else "--",
            label=label,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(LEAST, 1.3)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xlabel(f"length in {tokens}", color=palette["muted"], fontsize=SMALL_FONT)
    axes.set_title(
        "share of the stretches of each length that occur verbatim in the searched text",
        loc="left",
        color=palette["ink"],
        fontsize=SMALL_FONT + 1,
    )
    axes.legend(frameon=False, fontsize=SMALL_FONT, labelcolor=palette["ink"])
    return figure
