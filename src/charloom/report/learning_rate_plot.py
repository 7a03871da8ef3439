"""Draws the losses of a search for a learning rate over the rates."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from charloom.formatting import counted
from charloom.report.page_data import Picture
from charloom.report.plot_files import coloured, inline_svg, png_of, svg_of
from charloom.report.plot_style import (
    LIGHT,
    NARROW,
    SENTINELS,
    WIDE,
    Palette,
    figure_with_axes,
    font_size,
    heading,
    is_narrow,
    style_axes,
)
from charloom.run_file_names import LEARNING_RATES_PNG, LEARNING_RATES_SVG
from charloom.store import replace_file
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.search_plot_range import plot_range

LABEL: Final = "The loss of short trials over their learning rates, and the chosen rate"

# The colour and the marker of each round. The fourth round has those of the first one, and so on.
SERIES: Final = (("series-2", "o"), ("series-3", "s"), ("series-1", "^"))


def search_figure(
    search: LearningRateSearch,
    *,
    one: str = "character",
    size: tuple[int, int] = WIDE,
    palette: Palette = LIGHT,
) -> Figure:
    """Return a plot of the losses of a search, with a curve for each round and a line at the chosen rate.

    The plot ends at the rate at which the loss becomes far larger than that of the network before training. Below the
    axis, the plot names the larger rates that were tried.

    Args:
        search: the search.
        one: unit of prediction: character or byte.
        size: width and height in units of 1/72 inch.
        palette: the colours by name.
    """
    figure, axes = figure_with_axes(size, palette)
    for place, trials in enumerate(search.rounds):
        colour, marker = SERIES[place % len(SERIES)]
        axes.plot(
            trials.learning_rates,
            [np.nan if loss is None else loss for loss in trials.losses],
            color=palette[colour],
            marker=marker,
            markersize=5,
            linewidth=1.4,
            label=f"after {counted(trials.updates, 'update')}",
            gid=f"round-{place + 1}",
        )
    axes.axvline(
        search.learning_rate,
        color=palette["ink"],
        linewidth=1.3,
        linestyle=(0, (5, 3)),
        label=f"chosen: {search.learning_rate:g}",
        gid="chosen-rate",
    )
    _scale(axes, search, size[0], palette)
    heading(axes, f"nats per {one}", 0.0, palette, font_size(size[0]))
    narrow = is_narrow(size[0])
    axes.legend(
        # A narrow plot has no space for the legend above it. "best" is where the legend hides least of the curves.
        loc="best" if narrow else "lower center",
        bbox_to_anchor=None if narrow else (0.55, 1),
        ncols=1 if narrow else len(search.rounds) + 1,
        borderaxespad=0.3 if narrow else 0.1,
        fontsize=font_size(size[0]) - 1,
        labelcolor=palette["ink"],
        facecolor=palette["paper"],
        edgecolor="none",
        framealpha=1,
    )
    return figure


def _scale(axes: Axes, search: LearningRateSearch, width: int, palette: Palette) -> None:
    """Set the limits, ticks and labels of the horizontal axis (rate) and the vertical axis (loss)."""
    style_axes(axes, palette, font_size(width))
    shown = plot_range(search)
    axes.set_ylim(shown.losses)
    axes.set_xscale("log")
    axes.set_xlim(shown.learning_rates)
    axes.xaxis.set_major_locator(LogLocator(numticks=5 if is_narrow(width) else 9))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    label = "learning rate" + left_out_text(shown.left_out)
    axes.set_xlabel(label, color=palette["muted"], fontsize=font_size(width), labelpad=4)


def left_out_text(rates: Sequence[float]) -> str:
    """Return a part of a label saying which rates, ascending, the plot leaves out; "" if there are none."""
    if not rates:
        return ""
    span = f"{rates[0]:g}" if len(rates) == 1 else f"{rates[0]:g} to {rates[-1]:g}"
    return f" ({span}: loss too large for the plot)"


def search_picture(search: LearningRateSearch, one: str) -> Picture:
    """Return the plot of a search for a page. `one` is the unit of prediction: character or byte."""
    wide, narrow = (
        svg_of(search_figure(search, one=one, size=size, palette=SENTINELS))
        for size in (WIDE, NARROW)
    )
    return Picture(inline_svg(wide, "rates-wide", LABEL), inline_svg(narrow, "rates-narrow", LABEL))


def save_search_pictures(search: LearningRateSearch, one: str, run: Path) -> None:
    """Write the plot of a search into a run directory, as learning_rates.svg and learning_rates.png.

    Args:
        search: the search.
        one: unit of prediction: character or byte.
        run: the run directory.

    Raises:
        WriteError: a file cannot be written.
    """
    draw = partial(search_figure, search, one=one)
    # Do not wait until the files are on the disk: a report writes them again.
    svg = coloured(svg_of(draw(palette=SENTINELS)), LIGHT).encode()
    replace_file(run / LEARNING_RATES_SVG, svg, durable=False)
    replace_file(run / LEARNING_RATES_PNG, png_of(draw()), durable=False)
