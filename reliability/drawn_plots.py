"""Keeps the plots that reports have drawn, so that equal plots are drawn once."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from matplotlib.figure import Figure

from charloom.report import run_report
from charloom.report.loss_plot import loss_figure
from charloom.report.page_data import Picture
from charloom.report.plot_files import picture_of, png_of, svg_of

KEPT: dict[tuple[str, bytes], Any] = {}
PICTURES: dict[bytes, Picture] = {}


class Plot:
    """A plot of the loss that is drawn only if no plot of the same inputs was drawn before."""

    def __init__(self, *inputs: Any, **named: Any) -> None:
        self._inputs = pickle.dumps((inputs, sorted(named.items())))
        self._draw = partial(loss_figure, *inputs, **named)

    def converted(self, convert: Callable[[Figure], Any]) -> Any:
        """Return the plot as `convert` gives it."""
        key = convert.__name__, self._inputs
        if key not in KEPT:
            KEPT[key] = convert(self._draw())
        return KEPT[key]


def converted(convert: Callable[[Figure], Any], figure: Figure | Plot) -> Any:
    """Convert a figure or a kept plot."""
    return figure.converted(convert) if isinstance(figure, Plot) else convert(figure)


def kept_picture(draw: Callable[..., Figure], name: str, label: str) -> Picture:
    """Return the plot for a page as `picture_of` does; equal plots are drawn once."""
    key = pickle.dumps((draw, name, label))
    if key not in PICTURES:
        PICTURES[key] = picture_of(draw, name, label)
    return PICTURES[key]


def keep_plots(patch: pytest.MonkeyPatch) -> None:
    """Let reports draw the plots of the same inputs once: drawing takes most of their time."""
    patch.setattr(run_report, "loss_figure", Plot)
    patch.setattr(run_report, "svg_of", partial(converted, svg_of))
    patch.setattr(run_report, "png_of", partial(converted, png_of))
    patch.setattr(run_report, "picture_of", kept_picture)
