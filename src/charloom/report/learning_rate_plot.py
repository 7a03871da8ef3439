"""Draws the losses of a search for a learning rate over the rates."""

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

LABEL: Final = "The loss of short trials over their learning rates, and the chosen rate"

# The colour and the marker of each round. The fourth round has those of the first one, and so on.
SERIES: Final = (("series-2", "o"), ("series-3", "s"), ("series-1", "^"))
ROOM: Final = (
    1.15  # how far the vertical axis reaches above the loss at the lowest rate, as a factor
)


def search_figure(
    search: LearningRateSearch,
    *,
    one: str = "character",
    size: tuple[int, int] = WIDE,
    palette: Palette = LIGHT,
) -> Figure:
    """Return a plot of the losses of a search, with a curve for each round and a line at the chosen rate.

    A loss far above that of the network before training is above the plot, and its curve leaves the plot there.

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
        loc="upper right" if narrow else "lower center",
        bbox_to_anchor=(1, 1) if narrow else (0.55, 1),
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
    losses = [loss for trials in search.rounds for loss in trials.losses if loss is not None]
    untrained = next((loss for loss in search.rounds[0].losses if loss is not None), 0.0)
    low, high = min(losses, default=0.0), ROOM * untrained
    margin = max(0.05 * (high - low), 0.01) if high > low else 1.0
    axes.set_ylim(low - margin, max(high, low + margin))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=5 if is_narrow(width) else 9))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("learning rate", color=palette["muted"], fontsize=font_size(width), labelpad=4)


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
