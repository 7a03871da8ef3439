"""Draws how far the gradients of a gradient check are from central differences, at each step size, and
from the gradients of the complex step.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from charloom.formatting import THIN, power_of_ten
from charloom.gradient_check import GradientCheck
from charloom.report import prose
from charloom.report.plot_style import (
    LIGHT,
    MARGIN,
    WIDE,
    Palette,
    blank_figure,
    font_size,
    heading,
    is_narrow,
    style_axes,
)

# The colour and the marker of the curve of each parameter, in the order of the parameters in a gradient check.
# The sixth parameter has the same colour and marker as the first, and so on.
SERIES: Final = (
    ("series-1", "o"), ("series-2", "s"), ("series-3", "^"), ("series-4", "D"), ("series-5", "v"),
)  # fmt: skip
# The line styles: solid for the first five parameters, dashed for the next five, and so on.
DASHES: Final = ("solid", "dashed", "dotted", "dashdot")
LEGEND_COLUMNS: Final = 6
LEAST_ERROR, MOST_ERROR = 1e-18, 3e2  # limits of the vertical axis


def curve_figure(
    checks: Sequence[GradientCheck], *, width: int = WIDE[0], palette: Palette = LIGHT
) -> Figure:
    """Return a plot of the error of central differences over their step size.

    There is a panel for each problem, which is a network with its data. Checks of different engines on one
    problem share its panel, because their central differences are equal. A panel has a curve for each
    parameter. A dashed line marks the largest norm-relative error of the engines' gradients, measured with
    the complex step. An error of zero is drawn at the lower limit of the axis, and NaN at its upper limit.

    Args:
        checks: one or more gradient checks.
        width: width in units of 1/72 inch; the height depends on the number of panels.
        palette: the colours by name.
    """
    narrow, font = is_narrow(width), font_size(width)
    problems = _by_problem(checks)
    columns = 1 if narrow else min(len(problems), 2)
    rows = -(-len(problems) // columns)
    # The legend has six entries in a row. Each row after the first makes the plot higher.
    more = 18 * ((max(len(check.rows) for check in checks)) // LEGEND_COLUMNS)
    height = (68 if narrow else 52) + more + rows * (215 if narrow else 250)
    figure = blank_figure((width, height), palette)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=MARGIN / width,
        right=1 - 2 / width,
        bottom=46 / height,
        top=1 - ((76 if narrow else 58) + more) / height,
        wspace=0.08,
        hspace=0.38 if narrow else 0.36,
    )
    panels = grid.ravel().tolist()
    for panel in panels[len(problems) :]:
        panel.set_visible(False)
    for place, (axes, problem) in enumerate(zip(panels, problems, strict=False)):
        style_axes(axes, palette, font)
        _draw_curves(axes, problem, palette, font, f"problem-{place}", 48 if narrow else 56)
        if place + columns >= len(problems):
            label = "step s of the central difference"
            axes.set_xlabel(label, color=palette["muted"], fontsize=font, labelpad=4)
    heading(panels[0], "norm-relative error", 0.0, palette, font, up=28 if narrow else 44)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="upper left" if narrow else "upper right",
        ncols=LEGEND_COLUMNS,
        frameon=False,
        labelcolor=palette["ink"],
        fontsize=font,
        handlelength=1.5,
        columnspacing=1.0,
        handletextpad=0.4,
        borderaxespad=0.2,
        borderpad=0.1,
    )
    return figure


def _by_problem(checks: Sequence[GradientCheck]) -> list[list[GradientCheck]]:
    """Return the checks in groups; the checks of a group differ only in their engine.

    The groups are in the order in which their first checks are in `checks`.
    """
    groups: dict[Any, list[GradientCheck]] = {}
    for check in checks:
        groups.setdefault(dataclasses.replace(check.settings, engine=""), []).append(check)
    return list(groups.values())


def _draw_curves(
    axes: Axes,
    checks: Sequence[GradientCheck],
    palette: Palette,
    font: float,
    gid: str,
    room: int,
) -> None:
    """Draw the panel of one problem: a curve per parameter, and a dashed line.

    The dashed line marks the largest error of the engines' gradients, measured with the complex step. If
    a curve rises towards the smallest step size, write "rounding" there; if a curve rises towards the
    largest step size, write "truncation" there.

    Args:
        axes: the panel.
        checks: the gradient checks of the problem (a network with its data), one check per engine.
        palette: the colours by name.
        font: font size.
        gid: prefix of the SVG ids.
        room: number of characters that fit above the panel.
    """
    check = checks[0]
    curves = _drawable([row.curve for row in check.rows])
    steps = np.array(check.steps)
    for place, (row, curve) in enumerate(zip(check.rows, curves, strict=True)):
        series, marker = SERIES[place % len(SERIES)]
        axes.plot(
            steps,
            curve,
            marker=marker,
            linestyle=DASHES[place // len(SERIES) % len(DASHES)],
            markersize=5,
            linewidth=1.3,
            color=palette[series],
            label=row.parameter,
            gid=f"{gid}-{row.parameter}",
        )
    errors = [row.norm_relative for one in checks for row in one.rows]
    exact = float(_drawable(errors).max())
    dashes = (0, (5, 3))
    axes.axhline(exact, color=palette["ink"], linewidth=1.3, linestyle=dashes, label="complex step")
    bottom = curves.min(axis=1)
    for end, side, arm in (
        (np.argmin(steps), "left", "rounding"),
        (np.argmax(steps), "right", "truncation"),
    ):
        if (curves[:, end] > 10 * bottom).any():
            axes.annotate(
                arm, (steps[end], curves[:, end].max()), xytext=(0, 9), textcoords="offset points",
                ha=side, color=palette["muted"], fontsize=font - 1, fontstyle="italic",
            )  # fmt: skip

    size = f"{prose.size(check).replace(THIN, ' ')}, {check.settings.dtype}"
    start = prose.initial_values_text(check)
    above: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom", "parse_math": False}
    axes.text(0, 1.03, size, color=palette["ink"], fontsize=font, **above)
    if len(size) + len(start) <= room:
        axes.text(1, 1.03, start, color=palette["muted"], fontsize=font - 1, ha="right", **above)

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(LEAST_ERROR, MOST_ERROR)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_locator(LogLocator(base=1000, numticks=12))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


def _drawable(errors: Sequence[Any]) -> NDArray[np.float64]:
    """Return the errors as an array, clipped to the limits of the axis; NaN becomes the upper limit."""
    values = np.nan_to_num(np.array(errors, dtype=np.float64), nan=MOST_ERROR)
    return np.clip(values, LEAST_ERROR, MOST_ERROR)
