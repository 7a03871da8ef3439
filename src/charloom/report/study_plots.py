"""Draws the pictures of a study: curves with bands, the effect of a setting, parallel coordinates, and pairs.

This module knows nothing about studies: it draws lines and points that are given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from charloom.report.comparison_plot import LEGEND_LINE, line_style, marked_points, short_count
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

PLOT_HEIGHT: Final = 260  # of the axes of a plot, in units of 1/72 inch
LABELS_HEIGHT: Final = 52  # below the axes
BAND: Final = 0.16  # opacity of a band
MOST_TICKS: Final = 9  # of single values on an axis
TICK_ROOM: Final = 0.09  # least distance between two ticks, as a fraction of the axis
# Losses are shown up to this quantile, and this many times its distance from the lowest one above it.
SHOWN_QUANTILE: Final = 0.75
SHOWN_ABOVE: Final = 1.0
# Bands are shown up to this many times the distance between the lowest and the highest mean beyond these.
BAND_ROOM: Final = 0.5
DOTTED: Final[dict[str, Any]] = {"linestyle": (0, (2, 2)), "linewidth": 1.2}  # a fitted curve
CURVE_POINTS: Final = 200  # of a fitted curve

Law = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class BandLine:
    """A line with a band around it.

    Attributes:
        label: its name in the legend.
        x: the horizontal values, rising.
        y: the means.
        low: the lower ends of the band.
        high: the upper ends of the band.
        law: a function whose curve is drawn dotted; None draws none.
        joined: whether the points are joined by a line, if there is no law.
        extra: a single point with an interval that is drawn in the same colour; None draws none.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    law: Law | None = None
    joined: bool = True
    extra: "BandLine | None" = None


@dataclass(frozen=True)
class Coordinate:
    """An axis of parallel coordinates or of pairs.

    Attributes:
        name: the name of the setting.
        values: the value of each point: numbers, or names.
        log: whether the axis is logarithmic.
    """

    name: str
    values: Sequence[float | str]
    log: bool = False

    @property
    def names(self) -> list[str]:
        """The distinct names in the order of their first points; empty if the values are numbers."""
        if all(isinstance(value, (int, float)) for value in self.values):
            return []
        return list(dict.fromkeys(map(str, self.values)))

    def places(self) -> NDArray[np.float64]:
        """Return the place of each point on the axis: its number, or the index of its name."""
        names = self.names
        if not names:
            return np.asarray(self.values, dtype=np.float64)
        return np.array([names.index(str(value)) for value in self.values], dtype=np.float64)

    def shares(self) -> NDArray[np.float64]:
        """Return the place of each point as a fraction of the axis, from 0 to 1."""
        places = np.log(self.places()) if self.log else self.places()
        low, high = places.min(), places.max()
        return np.asarray((places - low) / (high - low) if high > low else places * 0 + 0.5)


def band_figure(
    lines: Sequence[BandLine],
    name: str,
    title: str,
    log: bool = False,
    *,
    width: int = WIDE[0],
    palette: Palette = LIGHT,
) -> Figure:
    """Return a plot of lines with bands.

    Args:
        lines: the lines.
        name: the name of the horizontal axis.
        title: the name of the vertical axis.
        log: whether the horizontal axis is logarithmic.
        width: width in units of 1/72 inch.
        palette: the colours by name.
    """
    above = LEGEND_LINE * len(lines) + 34
    height = above + PLOT_HEIGHT + LABELS_HEIGHT
    figure = blank_figure((width, height), palette)
    axes = figure.add_axes(
        (MARGIN / width, LABELS_HEIGHT / height, 1 - 2 * MARGIN / width, PLOT_HEIGHT / height)
    )
    for n, line in enumerate(lines):
        style = line_style(n, palette)
        if line.law is not None:
            x = np.geomspace(min(line.x), max(line.x), CURVE_POINTS)
            axes.plot(x, line.law(x), color=style["color"], **DOTTED)
        if line.law is not None or not line.joined:
            style["linestyle"] = "none"
        axes.fill_between(
            line.x, line.low, line.high, color=style["color"], alpha=BAND, linewidth=0
        )
        marked = marked_points(len(line.x), n, len(lines)) if line.joined else None
        axes.plot(line.x, line.y, **style, markevery=marked, gid=f"line-{n + 1}")
        for single in [one for one in (line, line.extra) if one is not None and len(one.x) == 1]:
            draw_interval(axes, single, style, n)
    style_axes(axes, palette, font_size(width))
    scale_horizontally(axes, log)
    title += limit_vertically(axes, [one for line in lines for one in (line, line.extra) if one])
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(name, color=palette["muted"], fontsize=font_size(width), labelpad=4)
    heading(axes, title, 0.0, palette, font_size(width))
    add_legend(figure, lines, palette, width, height)
    return figure


def limit_vertically(axes: Axes, lines: Sequence[BandLine]) -> str:
    """Leave out far higher losses and the ends of wide bands, so that these do not flatten the lines.

    Returns:
        A remark for the title of the axis, which says so; "" if everything is shown.
    """
    means = [y for line in lines for y in line.y]
    lowest, top = min(means), highest_shown(means)
    if top is not None:
        axes.set_ylim(lowest - 0.05 * (top - lowest), top)
        return " (far higher losses are above the plot)"
    room = BAND_ROOM * (max(means) - lowest)
    low, high = lowest - room, max(means) + room
    ends = [end for line in lines for end in (*line.low, *line.high)]
    if not room or low <= min(ends) <= max(ends) <= high:
        return ""
    margin = 0.05 * (max(means) - lowest)
    axes.set_ylim(max(low, min(ends) - margin), min(high, max(ends) + margin))
    return " (wide bands are cut)"


def draw_interval(axes: Axes, single: BandLine, style: dict[str, Any], n: int) -> None:
    """Draw a line that has only one point: the point, and its band as a vertical line."""
    axes.vlines(single.x, single.low, single.high, color=style["color"], linewidth=2.4, alpha=0.6)
    drawn = {**style, "linestyle": "none", "markersize": 8}
    axes.plot(single.x, single.y, **drawn, gid=f"point-{n + 1}")


def highest_shown(losses: Sequence[float]) -> float | None:
    """Return the largest loss that a plot shows, so that a few diverged runs do not flatten the others.

    Return None if all losses can be shown.
    """
    lowest, upper = float(np.min(losses)), float(np.quantile(losses, SHOWN_QUANTILE))
    top = upper + SHOWN_ABOVE * (upper - lowest)
    return top if max(losses) > top > lowest else None


def scale_horizontally(axes: Axes, log: bool) -> None:
    """Make the horizontal axis linear or logarithmic, with short numbers at its ticks."""
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(
        FuncFormatter(
            lambda value, _: short_count(value, abs(value) if log else axes.get_xlim()[1])
        )
    )


def add_legend(
    figure: Figure, lines: Sequence[BandLine], palette: Palette, width: int, height: int
) -> None:
    """Add a legend above the plot, with each line as it is drawn: joined, as points, or with a fitted curve."""
    samples = []
    for n, line in enumerate(lines):
        drawn = DOTTED if line.law is not None else {} if line.joined else {"linestyle": "none"}
        samples.append(Line2D([], [], label=line.label, **{**line_style(n, palette), **drawn}))
    figure.legend(
        handles=samples,
        loc="upper left",
        bbox_to_anchor=(0, 1 - 4 / height),
        borderaxespad=0,
        handlelength=4.2,
        labelspacing=0.35,
        fontsize=font_size(width),
        labelcolor=palette["ink"],
        facecolor=palette["paper"],
        edgecolor="none",
        framealpha=1,
    )


def parallel_figure(
    coordinates: Sequence[Coordinate], *, width: int = WIDE[0], palette: Palette = LIGHT
) -> Figure:
    """Return parallel coordinates: a vertical axis for each coordinate, and a line for each point.

    The last coordinate is the loss. The best tenth of the lines, at least one, is drawn in colour and above the others.
    """
    height = PLOT_HEIGHT + 90
    figure = blank_figure((width, height), palette)
    axes = figure.add_axes((0.08, 44 / height, 0.84, PLOT_HEIGHT / height))
    loss = np.asarray(coordinates[-1].values, dtype=np.float64)
    top = highest_shown(loss.tolist())
    if top is not None:
        cut = Coordinate(f"{coordinates[-1].name} (cut)", np.minimum(loss, top).tolist())
        coordinates = [*coordinates[:-1], cut]
    shares = np.array([coordinate.shares() for coordinate in coordinates])
    best = loss <= np.sort(loss)[max(1, len(loss) // 10) - 1]
    across = np.arange(len(coordinates))
    for n in np.argsort(-loss):
        colour, wide = ("series-2", 2.0) if best[n] else ("line", 0.7)
        axes.plot(
            across,
            shares[:, n],
            color=palette[colour],
            linewidth=wide,
            alpha=1.0 if best[n] else 0.35,
        )
    font = font_size(width)
    axes.axis("off")
    axes.set_ylim(-0.02, 1.02)
    for place, coordinate in enumerate(coordinates):
        axes.plot([place, place], [0, 1], color=palette["muted"], linewidth=1)
        up = 1.12 if is_narrow(width) and place % 2 else 1.05
        axes.text(place, up, coordinate.name, ha="center", color=palette["ink"], fontsize=font)
        for share, text in tick_texts(coordinate):
            axes.text(
                place + 0.02,
                share,
                text,
                va="center",
                color=palette["muted"],
                fontsize=font - 1.5,
                bbox={
                    "facecolor": palette["paper"],
                    "edgecolor": "none",
                    "pad": 0.8,
                    "alpha": 0.85,
                },
            )
    return figure


def tick_texts(coordinate: Coordinate) -> list[tuple[float, str]]:
    """Return the ticks of a parallel coordinate: the fraction of the axis, and the text."""
    names = coordinate.names
    if names:
        last = max(1, len(names) - 1)
        chosen = names if len(names) <= MOST_TICKS else [names[0], names[-1]]
        return [(names.index(name) / last if len(names) > 1 else 0.5, name) for name in chosen]
    places = coordinate.places()
    low, high = float(places.min()), float(places.max())
    few = sorted(set(zip(coordinate.shares().tolist(), places.tolist(), strict=True)))
    if len(few) <= MOST_TICKS and all(b[0] - a[0] >= TICK_ROOM for a, b in pairwise(few)):
        return [(share, f"{place:.4g}") for share, place in few]
    if low == high:
        return [(0.5, f"{low:.4g}")]
    middle = (low * high) ** 0.5 if coordinate.log else (low + high) / 2
    if middle != round(middle) and (low, high) == (round(low), round(high)):
        return [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    return [(0.0, f"{low:.4g}"), (0.5, f"{middle:.4g}"), (1.0, f"{high:.4g}")]


def pairs_figure(
    coordinates: Sequence[Coordinate],
    loss: Sequence[float],
    *,
    width: int = WIDE[0],
    palette: Palette = LIGHT,
) -> Figure:
    """Return pair plots: a small plot for each pair of coordinates, whose points are larger the lower the loss is.

    Args:
        coordinates: at least two.
        loss: the loss of each point.
        width: width in units of 1/72 inch.
        palette: the colours by name.
    """
    count = len(coordinates) - 1
    cell = (width - 2 * MARGIN) / count
    height = int(cell * count * (1.0 if is_narrow(width) else 0.62)) + 60
    figure = blank_figure((width, height), palette)
    values = np.asarray(loss, dtype=np.float64)
    order = np.argsort(np.argsort(values)) / max(1, len(values) - 1)
    for row in range(count):
        for column in range(row + 1):
            axes = figure.add_subplot(count, count, row * count + column + 1)
            across, up = coordinates[column], coordinates[row + 1]
            for best, colour in ((False, "line"), (True, "series-2")):
                chosen = (order < 0.1) == best
                axes.scatter(
                    across.places()[chosen],
                    up.places()[chosen],
                    s=4 + 30 * (1 - order[chosen]) ** 2,
                    color=palette[colour],
                    alpha=0.7,
                    linewidth=0,
                )
            style_pair(
                axes, across, up, row == count - 1, column == 0, palette, font_size(width) - 2
            )
    figure.subplots_adjust(
        left=1.6 * MARGIN / width, right=1 - 8 / width, bottom=46 / height, top=1 - 10 / height
    )
    return figure


def style_pair(
    axes: Axes,
    across: Coordinate,
    up: Coordinate,
    bottom: bool,
    left: bool,
    palette: Palette,
    font: float,
) -> None:
    """Style a small plot. Only the lowest row and the first column have names and numbers."""
    style_axes(axes, palette, font)
    for axis, coordinate, shown, scale in (
        (axes.xaxis, across, bottom, axes.set_xscale),
        (axes.yaxis, up, left, axes.set_yscale),
    ):
        if coordinate.log:
            scale("log")
            axis.set_minor_formatter(NullFormatter())
        names = coordinate.names
        if names:
            axis.set_ticks(range(len(names)), names)
        if not shown:
            axis.set_ticklabels([])
    if bottom:
        axes.set_xlabel(across.name, color=palette["muted"], fontsize=font)
    if left:
        axes.set_ylabel(up.name, color=palette["muted"], fontsize=font)
