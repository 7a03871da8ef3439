"""Draws the loss over the updates of a run."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from charloom.formatting import bits_per_character, count
from charloom.report.plot_style import (
    LIGHT,
    MARGIN,
    UNITS_PER_INCH,
    WIDE,
    Palette,
    blank_figure,
    font_size,
    heading,
    is_narrow,
    style_axes,
)
from charloom.report.records import Records

LARGE_LOSS: Final = 10_000.0  # ticks of an axis with a loss from here on are shortened
CROSS: Final = (
    7.5  # size of the red cross at the end of an epoch, if the crosses are far enough apart
)
CROSS_LINE: Final = 2.2  # width of the lines of a cross of that size
LABEL_PAD: Final = (
    5.5  # from the axes to the labels of losses: a cross on the edge does not reach them
)
DOT: Final = 3.0  # size of the dot at a validation loss
# The least distance from one mark to the next, as a factor of their size. Closer marks hide the curve below them.
LEAST_GAP: Final = 1.5
BELOW, ABOVE = 50, 30  # margins below and above the axes of a panel, in 1/72 inch
# The dashes of the lines at events, one for each kind: in units of the width of the line.
EVENT_DASHES: Final = ((0, (2, 3)), (0, (7, 3)), (0, (7, 3, 2, 3)))
# Beside the names of the axes is room for this many entries of the legend, and for more with less space between them.
ROOMY: Final = 3
TIGHT: Final = {"handlelength": 1.3, "columnspacing": 1.0}
# The panel of the run after its first epoch: its height, as a factor of the first panel's; the latest end of the first
# epoch, as a fraction of the run; and the least number of points of the curve that it shows.
ZOOM_HEIGHT: Final = 0.7
LATEST_ZOOM: Final = 0.7
ZOOM_POINTS: Final = 8


def loss_figure(
    records: Records,
    seq_length: int,
    *,
    one: str = "character",
    size: tuple[int, int] = WIDE,
    palette: Palette = LIGHT,
    marks: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Figure:
    """Return a plot of the smooth loss over the updates, with red crosses at the ends of epochs.

    If there are many crosses, they are smaller, and only some epochs have one (`Records.crosses`). If the run has
    validation losses, a second line shows them, with a dot at each of them unless the dots would touch. Light vertical
    lines mark events. If enough of the run follows the first epoch, a second panel shows only this part, with a vertical
    axis of its own.

    Args:
        records: the records of a run.
        seq_length: sequence length T, to convert nats per window to bits per character.
        one: unit of prediction: character or byte.
        size: width and height of a panel in units of 1/72 inch. The second panel is lower.
        palette: the colours by name.
        marks: the updates of events by the words of the legend (`curve_events.event_marks`).
    """
    (width, height), start = size, zoom_start(records)
    lower = 0 if start is None else round(ZOOM_HEIGHT * height)
    figure = blank_figure((width, height + lower), palette)
    axes = _add_panel(figure, lower, height)
    lines = _draw_losses(axes, records, seq_length, width, palette)
    _scale(axes, records.last.update, lines, width, palette)
    lines |= _mark_events(axes, marks, palette)
    _add_bits(axes, seq_length, one, width, palette)
    _add_legend(axes, lines, width, palette)
    if start is not None:
        zoom = _add_panel(figure, 0, lower)
        lines = _draw_losses(zoom, records, seq_length, width, palette, "zoom-")
        _scale(zoom, records.last.update, lines, width, palette, start)
        _mark_events(zoom, marks, palette, "zoom-")
        _add_bits(zoom, seq_length, one, width, palette)
        _name_zoom(zoom, width, palette)
    return figure


def zoom_start(records: Records) -> float | None:
    """Return the update at which the panel of the later part of a run starts: the end of the first epoch.

    Return None if the run is too short for this panel.
    """
    if not records.ends or records.ends[0].epoch > 1:
        return None
    start = float(records.ends[0].update)
    shown = np.count_nonzero(records.updates >= start)
    late_enough = start <= LATEST_ZOOM * records.last.update
    return start if late_enough and shown >= ZOOM_POINTS else None


def _add_panel(figure: Figure, bottom: int, height: int) -> Axes:
    """Add axes to a figure. `bottom` and `height` are those of the axes with their margins, in 1/72 inch."""
    width, total = UNITS_PER_INCH * figure.get_size_inches()
    return figure.add_axes(
        (MARGIN / width, (bottom + BELOW) / total, 1 - 2 * MARGIN / width, (height - BELOW - ABOVE) / total)
    )  # fmt: skip


def _name_zoom(axes: Axes, width: int, palette: Palette) -> None:
    """Write above the second panel what it shows."""
    axes.annotate(
        "after the first epoch",
        (0.5, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        color=palette["ink"],
        fontsize=font_size(width),
        annotation_clip=False,
    )


def _draw_losses(
    axes: Axes, records: Records, seq_length: int, width: int, palette: Palette, prefix: str = ""
) -> dict[str, Line2D]:
    """Draw the losses in nats per window; return the lines by their names in the legend.

    `width` is the width of the plot with its margins. `prefix` is the beginning of the ids in an SVG file.
    """
    lines = {}
    cross = min(CROSS, _distance(len(records.crosses), width) / LEAST_GAP)
    (lines["smooth loss"],) = axes.plot(
        records.updates,
        records.losses,
        color=palette["line"],
        linewidth=1.4,
        gid=f"{prefix}smooth-loss",
    )
    (crosses,) = axes.plot(
        [end.update for end in records.crosses],
        [end.smooth_loss for end in records.crosses],
        linestyle="none",
        marker="x",
        markersize=cross,
        markeredgewidth=CROSS_LINE * cross / CROSS,
        color=palette["cross"],
        clip_on=False,
        zorder=3,
        gid=f"{prefix}epoch-ends",
    )
    if records.judged:
        (lines["validation"],) = axes.plot(
            [record.update for record in records.judged],
            [seq_length * (record.validation_nats or 0.0) for record in records.judged],
            color=palette["series-2"],
            marker="o" if _distance(len(records.judged), width) >= LEAST_GAP * DOT else "",
            markersize=DOT,
            linewidth=1.4,
            gid=f"{prefix}validation",
        )
    if records.ends:
        lines["end of an epoch"] = crosses
    return lines


def _mark_events(
    axes: Axes, marks: Mapping[str, Sequence[int]], palette: Palette, prefix: str = ""
) -> dict[str, Line2D]:
    """Draw a light vertical line at each update of `marks`; return one line of each kind for the legend."""
    lines = {}
    for place, (name, updates) in enumerate(marks.items()):
        dashes = EVENT_DASHES[place % len(EVENT_DASHES)]
        for update in updates:
            lines[name] = axes.axvline(
                update,
                color=palette["muted"],
                linewidth=0.9,
                linestyle=dashes,
                zorder=1,
                gid=f"{prefix}{name.replace(' ', '-')}-{update}",
            )
    return lines


def _distance(marks: int, width: int) -> float:
    """Return the distance between two of `marks` evenly spread marks in a plot that is `width` wide with its margins."""
    return (width - 2 * MARGIN) / max(1, marks)


def _scale(
    axes: Axes,
    end: int,
    lines: dict[str, Line2D],
    width: int,
    palette: Palette,
    start: float = 0.0,
) -> None:
    """Set the limits, ticks and labels of the horizontal axis (updates) and the vertical axis (loss).

    The horizontal axis goes from update `start` to update `end`.
    """
    style_axes(axes, palette, font_size(width))
    axes.set_xlim(start, max(end, 1))
    curves = [lines[name] for name in ("smooth loss", "validation") if name in lines]
    losses = np.concatenate([_losses_from(curve, start) for curve in curves])
    # With a much smaller range, the labels of the ticks would need more digits than have room.
    margin = max(0.05 * (losses.max() - losses.min()), 0.025 * losses.max()) or 1.0
    axes.set_ylim(losses.min() - margin, losses.max() + margin)
    narrow = is_narrow(width)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(_loss_formatter(axes.get_ylim()[1]))
    thousands = narrow and end >= 10_000
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _updates_text(value, thousands)))
    axes.tick_params(axis="y", pad=LABEL_PAD)
    axes.set_xlabel("updates", color=palette["muted"], fontsize=font_size(width), labelpad=4)
    heading(axes, "nats per window", 0.0, palette, font_size(width))


def _losses_from(curve: Line2D, start: float) -> NDArray[np.float64]:
    """Return the losses of a curve from update `start` on."""
    updates = np.asarray(curve.get_xdata(), np.float64)
    return np.asarray(curve.get_ydata(), np.float64)[updates >= start]


def _add_bits(axes: Axes, seq_length: int, one: str, width: int, palette: Palette) -> None:
    """Add an axis on the right that shows the loss in bits per character or byte. `one` names the unit."""
    bit = bits_per_character(1.0, seq_length)
    bits = axes.secondary_yaxis(
        "right",
        functions=(lambda nats: np.multiply(nats, bit), lambda bits: np.divide(bits, bit)),
    )
    bits.yaxis.set_major_locator(MaxNLocator(6))
    bits.yaxis.set_major_formatter(_loss_formatter(bit * axes.get_ylim()[1]))
    bits.tick_params(colors=palette["muted"], length=0, labelsize=font_size(width), pad=LABEL_PAD)
    bits.spines[:].set_visible(False)
    heading(axes, f"bits per {one}", 1.0, palette, font_size(width))
    bits.set_facecolor("none")


def _add_legend(axes: Axes, lines: dict[str, Line2D], width: int, palette: Palette) -> None:
    """Add a legend: beside the headings of a wide plot, else in the empty corner above the curve."""
    narrow = is_narrow(width)
    axes.legend(
        list(lines.values()),
        list(lines),
        loc="upper right" if narrow else "lower center",
        bbox_to_anchor=(1, 1) if narrow else (0.5, 1),
        ncols=1 if narrow else len(lines),
        **(TIGHT if len(lines) > ROOMY else {}),
        borderaxespad=1.2 if narrow else 0.1,
        fontsize=font_size(width),
        labelcolor=palette["ink"],
        facecolor=palette["paper"],
        edgecolor="none",
        framealpha=1,
    )


def _loss_formatter(largest: float) -> Formatter:
    """Return a formatter for the ticks of a loss axis whose largest loss is `largest`.

    Matplotlib's default formatter may write a common factor, such as 1e6, above the axis, where it would
    overlap the name of the axis.
    """
    if largest >= LARGE_LOSS:
        return FuncFormatter(lambda value, _: _short_loss(value))
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    return formatter


def _short_loss(value: float) -> str:
    """Return a large loss as short text, such as "450k", "1.2M" or "3e9"."""
    if abs(value) < 1e3:
        return f"{value:g}"
    if abs(value) < 1e6:
        return f"{value / 1e3:.4g}k"
    if abs(value) < 1e9:
        return f"{value / 1e6:.4g}M"
    return re.sub(r"e\+0*", "e", f"{value:.3g}")


def _updates_text(value: float, thousands: bool) -> str:
    """Return a number of updates as text. With `thousands`, write 8k for 8,000 and 12k for 12,000."""
    return f"{value / 1000:,g}k" if thousands and value else count(round(value))
