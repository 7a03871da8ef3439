"""Draws the curves of several runs into one picture: the smooth losses above, the validation losses below.

Each run has its own pair of dashes and marker besides its colour, so that the picture can be read in black and white.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from charloom.report.comparison_curves import (
    BEGINNING,
    COMPARISON_AXES,
    DASH_SHIFT,
    ComparedCurve,
    Points,
    range_of_bits,
)
from charloom.report.plot_style import (
    LIGHT,
    MARGIN,
    WIDE,
    Palette,
    blank_figure,
    font_size,
    heading,
    style_axes,
)

PANEL_HEIGHT: Final = 290  # of the axes of a panel with its labels, in units of 1/72 inch
LEGEND_LINE: Final = 20  # height of a line of the legend
MARKERS_SHOWN: Final = 10  # markers on the longest curve, so that they do not hide it
# The colour and the dashes of each run. The lengths of dashes are in units of the width of the line.
STROKE_STYLES: Final = (
    ("series-1", (0, ())),
    ("series-2", (0, (5, 1.5))),
    ("series-3", (0, (1.2, 1.2))),
    ("series-4", (0, (6, 1.5, 1.2, 1.5))),
    ("series-5", (0, (9, 2))),
    ("cross", (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2))),
    ("muted", (0, (1.2, 3))),
)
# The markers. From the eighth run on, the colours come again, but with other dashes, and with other and empty markers.
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
EDGE: Final = 8  # space left and right of the picture
BESIDE: Final = (
    0.012  # space left and right of the curves, as a share of the axis, so that no marker is cut
)


def comparison_figure(
    curves: Sequence[ComparedCurve],
    over: str = "characters",
    *,
    width: int = WIDE[0],
    palette: Palette = LIGHT,
) -> Figure:
    """Return a plot of the losses of runs in bits per character.

    The smooth losses are above, and the validation losses below if a run has any. The beginnings of the curves, where all
    losses are high, may be above the plot.

    Args:
        curves: the curves of the runs; at least one has a point.
        over: the horizontal axis, a key of `COMPARISON_AXES`.
        width: width in units of 1/72 inch.
        palette: the colours by name.
    """
    panels = [("smooth loss", [curve.smooth_points(over) for curve in curves])]
    judged = [curve.validation_points(over) for curve in curves]
    if any(judged):
        panels.append(("validation loss", judged))
    above = LEGEND_LINE * len(curves) + 14
    height = above + PANEL_HEIGHT * len(panels)
    figure = blank_figure((width, height), palette)
    last = max(line[-1][0] for _, lines in panels for line in lines if line)
    for n, (name, lines) in enumerate(panels):
        bottom = height - above - PANEL_HEIGHT * (n + 1) + 48
        box = (
            (MARGIN + EDGE) / width,
            bottom / height,
            1 - 2 * (MARGIN + EDGE) / width,
            (PANEL_HEIGHT - 78) / height,
        )
        axes = figure.add_axes(box)
        draw_panel(axes, name, lines, palette)
        scale_panel(axes, lines, last, over, palette, width)
    add_key(figure, curves, palette, width, height)
    return figure


def draw_panel(axes: Axes, name: str, lines: Sequence[Points], palette: Palette) -> None:
    """Draw the curves of one loss."""
    for n, points in enumerate(lines):
        if not points:
            continue
        x, y = np.asarray(points, dtype=np.float64).T
        axes.plot(
            x,
            y,
            **line_style(n, palette),
            markevery=marked_points(len(points), n, len(lines)),
            gid=f"{name.split()[0]}-{n + 1}",
        )
    axes.set_gid(name.replace(" ", "-"))


def line_style(run: int, palette: Palette) -> dict[str, Any]:
    """Return matplotlib's options for the curve of the run with an index, counted from 0."""
    again, place = divmod(run, len(STROKE_STYLES))
    colour, _ = STROKE_STYLES[place]
    _, dashes = STROKE_STYLES[(place + DASH_SHIFT * again) % len(STROKE_STYLES)]
    return {
        "color": palette[colour],
        "markerfacecolor": palette["paper"] if again % 2 else palette[colour],
        "linestyle": dashes,
        "linewidth": 1.7,
        "marker": MARKERS[(place + again) % len(MARKERS)],
        "markersize": 5,
    }


def marked_points(count: int, run: int, runs: int) -> list[int]:
    """Return the indices of the points of a curve with a marker. Those of different runs are at different places.

    Args:
        count: number of points of the curve.
        run: index of the run.
        runs: number of runs.
    """
    if count <= MARKERS_SHOWN:
        return list(range(count))
    places = (np.arange(MARKERS_SHOWN) + (run + 0.5) / runs) / MARKERS_SHOWN
    return sorted({*(places * (count - 1)).astype(int).tolist(), count - 1})


def scale_panel(
    axes: Axes, lines: Sequence[Points], last: float, over: str, palette: Palette, width: int
) -> None:
    """Set the limits, ticks and names of the axes. `last` is the largest value of the horizontal axis."""
    font = font_size(width)
    style_axes(axes, palette, font)
    axes.set_xlim(-BESIDE * (last or 1), (1 + BESIDE) * (last or 1))
    shown = range_of_bits(lines)
    if shown is not None:
        axes.set_ylim(shown)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=over in ("characters", "updates")))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value, last)))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    title, _ = COMPARISON_AXES[over]
    axes.set_xlabel(title, color=palette["muted"], fontsize=font, labelpad=4)
    above = shown is not None and any(y > shown[1] for line in lines for _, y in line)
    name = str(axes.get_gid()).replace("-", " ")
    if name == "smooth loss":
        name = "smooth training loss without the loss of the first update"
    cut = ""
    if above:
        cut = f" (the first {BEGINNING:.0%} of a run, and far higher losses, may be above the plot)"
    heading(axes, f"{name}, bits per character{cut}", 0.0, palette, font)


def add_key(
    figure: Figure, curves: Sequence[ComparedCurve], palette: Palette, width: int, height: int
) -> None:
    """Add the legend: a line for each run above the plots, with its style and its label."""
    samples = [
        Line2D([], [], label=curve.label, **line_style(n, palette))
        for n, curve in enumerate(curves)
    ]
    figure.legend(
        handles=samples,
        loc="upper left",
        bbox_to_anchor=(EDGE / width, 1 - 6 / height),
        borderaxespad=0,
        handlelength=4.2,
        labelspacing=0.35,
        fontsize=font_size(width),
        labelcolor=palette["ink"],
        facecolor=palette["paper"],
        edgecolor="none",
        framealpha=1,
    )


def short_count(value: float, largest: float) -> str:
    """Return a value of the horizontal axis as short text, such as 250k, 1.5M or 0.5.

    All values of an axis are written in the unit that its largest value has.
    """
    if not value or largest < 1e4:
        return f"{value:,g}"
    return f"{value / 1e6:g}M" if largest >= 1e6 else f"{value / 1e3:g}k"
