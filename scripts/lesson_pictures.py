"""Draws the pictures of docs/gradient-checking.md from its stored figures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from charloom.formatting import power_of_ten
from charloom.report.gradient_plot import SERIES
from charloom.report.plot_files import save_figure
from charloom.report.plot_style import (
    DARK,
    LIGHT,
    Palette,
    blank_figure,
    font_size,
    heading,
    style_axes,
)
from lesson_measurements import NAMES, USUAL_LIMIT, USUAL_STEP, Figures

WIDTH: Final = 832


def panels(count: int, height: int, palette: Palette, top: int, bottom: int = 46) -> Any:
    """Return a figure with `count` panels side by side, and their axes; they share the vertical axis."""
    figure = blank_figure((WIDTH, height), palette)
    figure.subplots_adjust(
        left=42 / WIDTH,
        right=1 - 8 / WIDTH,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=0.08,
    )
    grid = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes in grid:
        style_axes(axes, palette, font_size(WIDTH))
        axes.set_yscale("log")
    return figure, list(grid)


def label_powers(axes: Axes, which: str, every: int) -> None:
    """Label a logarithmic axis with powers of ten; `every` is the step of the exponent."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(base=10.0**every, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


def write_title(axes: Axes, title: str, palette: Palette) -> None:
    """Write the title of a panel above it."""
    axes.text(
        0, 1.03, title, transform=axes.transAxes, va="bottom",
        color=palette["ink"], fontsize=font_size(WIDTH), parse_math=False,
    )  # fmt: skip


def write_note(
    axes: Axes, text: str, xy: tuple[float, float], palette: Palette, **more: Any
) -> None:
    """Write a short note in a muted colour at a point of the data."""
    placed = {"textcoords": "offset points", "xytext": (0, 6), "ha": "left", "color": "muted"}
    placed |= more
    placed["color"] = palette[placed["color"]]
    axes.annotate(text, xy, fontsize=font_size(WIDTH) - 1, parse_math=False, **placed)


def legend(figure: Figure, handles: Sequence[Any], palette: Palette) -> None:
    """Draw the legend in one row at the top."""
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        frameon=False,
        labelcolor=palette["ink"],
        fontsize=font_size(WIDTH),
        handlelength=1.6,
        columnspacing=1.1,
        handletextpad=0.4,
        borderaxespad=0.2,
        borderpad=0.1,
    )


def legend_entry(palette: Palette, place: int, label: str, **more: Any) -> Line2D:
    """Return the line and the marker of series number `place`, for a legend."""
    series, marker = SERIES[place]
    style = {"color": palette[series], "marker": marker, "markersize": 5, "linewidth": 1.4} | more
    return Line2D([], [], label=label, **style)


def dashed(palette: Palette) -> dict[str, Any]:
    """Return the style of the dashed lines that show how exact a gradient can be."""
    return {"color": palette["ink"], "linewidth": 1.3, "linestyle": (0, (5, 3))}


def name_x_axis(axes: Axes, name: str, palette: Palette) -> None:
    """Write the name of the x axis below it."""
    axes.set_xlabel(name, color=palette["muted"], fontsize=font_size(WIDTH), labelpad=4)


def draw_growth(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of the worst entry and the norm-relative error against the size of the network."""
    rows = figures["growth"]
    figure, grid = panels(2, 340, palette, top=62, bottom=58)
    places = range(len(rows))
    exact = [max(row["analytic"].values()) for row in rows]
    for axes, kind, title in zip(
        grid, ("worst", "norm"), ("the worst entry", "all entries together (norms)"), strict=True
    ):
        for place, name in enumerate(NAMES):
            series, marker = SERIES[place]
            axes.plot(
                places, [row[kind][name] for row in rows], color=palette[series], marker=marker,
                markersize=5, linewidth=1.4, gid=f"{kind}-{name}",
            )  # fmt: skip
        axes.set_ylim(1e-17, 1e-2)
        axes.set_xticks(list(places), [f"{row['H']}" for row in rows])
        label_powers(axes, "y", 3)
        write_title(axes, title, palette)
        label = "hidden units H"
        name_x_axis(axes, label, palette)
    grid[0].plot(places, exact, gid="analytic", **dashed(palette))
    grid[0].axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
    write_note(grid[0], "a usual limit, 10⁻⁴", (0, USUAL_LIMIT), palette, color="cross")
    write_note(grid[0], "backpropagation, worst entry", (0, exact[0]), palette, xytext=(0, -16))
    heading(grid[0], "relative error", 0.0, palette, font_size(WIDTH), up=30)
    legend(
        figure, [legend_entry(palette, place, name) for place, name in enumerate(NAMES)], palette
    )
    return figure


def draw_entries_of_W(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of the central difference of each entry of W against the size of the entry."""
    figure, (axes,) = panels(1, 380, palette, top=36)
    rows = figures["entries"]
    for row, place, size in zip(rows, (1, 0), (30, 14), strict=True):
        series, marker = SERIES[place]
        axes.scatter(
            row["size"], np.clip(row["error"], 1e-11, None), s=size, marker=marker,
            color=palette[series], linewidths=0, alpha=0.75, gid=f"entries-{row['H']}",
            zorder=3 if place else 2,
        )  # fmt: skip
    ends = np.array([rows[-1]["smallest"] / 2, rows[-1]["largest"] * 2])
    expected = rows[-1]["expected"]
    axes.plot(ends, expected / (2 * ends), gid="expected", **dashed(palette))
    axes.axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
    write_note(
        axes, "a usual limit, 10⁻⁴", (ends[1], USUAL_LIMIT), palette, ha="right", color="cross"
    )
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(1e-10, 1e-2)
    label_powers(axes, "x", 1)
    label_powers(axes, "y", 2)
    name_x_axis(axes, "size of the entry, |dW| (nats per unit of weight)", palette)
    heading(axes, "relative error of the entry", 0.0, palette, font_size(WIDTH), up=12)
    handles = [
        legend_entry(palette, 1, f"H = 5 ({rows[0]['count']} entries)", linestyle="none"),
        legend_entry(palette, 0, f"H = 100 ({rows[1]['count']:,} entries)", linestyle="none"),
        Line2D([], [], label="one unit in the loss’s last place", **dashed(palette)),
    ]
    legend(figure, handles, palette)
    return figure


def draw_step_sizes(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of central differences against the step, for two dtypes and two parameters."""
    measured = figures["step_sizes"]
    figure, grid = panels(2, 380, palette, top=62)
    steps = np.array(measured["steps"])
    for axes, dtype in zip(grid, ("float64", "float32"), strict=True):
        axes.axvline(USUAL_STEP, color=palette["rule"], linewidth=6, zorder=0)
        for place, name in ((1, "c"), (3, "W")):
            series, marker = SERIES[place]
            axes.plot(
                steps, measured[dtype]["curves"][name], color=palette[series], marker=marker,
                markersize=5, linewidth=1.4, gid=f"{dtype}-{name}",
            )  # fmt: skip
        exact = max(measured[dtype]["analytic"].values())
        axes.axhline(exact, gid=f"{dtype}-exact", **dashed(palette))
        axes.set_xscale("log")
        axes.set_ylim(1e-17, 1e1)
        label_powers(axes, "x", 2)
        label_powers(axes, "y", 3)
        write_title(axes, dtype, palette)
        name_x_axis(axes, "step s (units of the weight)", palette)
        write_note(axes, "the usual step", (USUAL_STEP, 1e-13), palette, xytext=(8, 0))
    write_note(grid[0], "backpropagation", (steps[-1], 1e-15), palette, xytext=(0, 8))
    write_note(grid[0], "rounding, as 1/s", (2e-9, 5e-2), palette, xytext=(0, 0))
    write_note(grid[0], "truncation, as s²", (10, 3e-10), palette, ha="right", xytext=(0, 0))
    heading(grid[0], "norm-relative error", 0.0, palette, font_size(WIDTH), up=30)
    handles = [
        legend_entry(palette, 1, "central differences of c"),
        legend_entry(palette, 3, "of W"),
        Line2D([], [], label="backpropagation against the complex step", **dashed(palette)),
    ]
    legend(figure, handles, palette)
    return figure


def draw_mistake(figures: Figures, palette: Palette) -> Figure:
    """Draw the errors that two checks find in a planted mistake, for a zero and a non-zero initial state."""
    figure, grid = panels(2, 340, palette, top=62)
    titles = ("h₀ = 0: nothing to see", "h₀ ≠ 0: W is wrong")
    for axes, row, title in zip(grid, figures["mistake"], titles, strict=True):
        axes.axhspan(USUAL_LIMIT, 1e2, color=palette["cross"], alpha=0.09, linewidth=0)
        axes.axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
        for place, kind, size in ((0, "central", 8), (2, "complex", 8)):
            series, marker = SERIES[place]
            axes.plot(
                range(len(NAMES)), [max(row[kind][name], 1e-17) for name in NAMES],
                linestyle="none", color=palette[series], marker=marker, markersize=size,
                clip_on=False, gid=f"{row['state']}-{kind}",
            )  # fmt: skip
        axes.set_xlim(-0.5, len(NAMES) - 0.5)
        axes.set_xticks(range(len(NAMES)), [f"d{name}" for name in NAMES])
        axes.set_ylim(1e-17, 1e2)
        label_powers(axes, "y", 3)
        write_title(axes, title, palette)
        name_x_axis(axes, "gradient", palette)
    write_note(
        grid[0], "above 10⁻⁴: wrong, says the usual check", (-0.45, USUAL_LIMIT), palette,
        color="cross",
    )  # fmt: skip
    heading(grid[0], "norm-relative error", 0.0, palette, font_size(WIDTH), up=30)
    handles = [
        legend_entry(palette, 0, "against central differences, step 10⁻⁴", linestyle="none"),
        legend_entry(palette, 2, "against the complex step", linestyle="none"),
    ]
    legend(figure, handles, palette)
    return figure


def draw_usual_check(figures: Figures, palette: Palette) -> Figure:
    """Draw the errors that the usual check finds for each planted mistake: relative against absolute."""
    figure, (axes,) = panels(1, 400, palette, top=36)
    least, most = (1e-11, 1e-9), (1e3, 1e1)  # absolute, relative
    rows = figures["usual"]
    handles = []
    for place, cell in enumerate(("rnn", "lstm", "gru")):
        own = [row for row in rows if row["cell"] == cell]
        series, marker = SERIES[place]
        axes.scatter(
            np.clip([row["absolute"] for row in own], 2 * least[0], most[0] / 2),
            np.clip([row["relative"] for row in own], 2 * least[1], most[1] / 1.4),
            s=34, marker=marker, color=palette[series], linewidths=0, alpha=0.75, gid=f"usual-{cell}",
        )  # fmt: skip
        label = f"{'plain network' if cell == 'rnn' else cell.upper()} ({len(own)})"
        handles.append(legend_entry(palette, place, label, linestyle="none"))
    axes.set_xscale("log")
    axes.set_xlim(least[0], most[0])
    axes.set_ylim(least[1], most[1])
    axes.fill_between(
        [least[0], USUAL_LIMIT], least[1], USUAL_LIMIT, color=palette["cross"], alpha=0.09, linewidth=0,
    )  # fmt: skip
    axes.plot([least[0], USUAL_LIMIT], [USUAL_LIMIT] * 2, color=palette["cross"], linewidth=1.2)
    axes.axvline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
    absolute = sum(row["passes_absolute"] for row in rows)
    both = sum(row["passes_absolute"] and row["passes_relative"] for row in rows)
    corner = (least[0], USUAL_LIMIT)
    lowest = (least[0], least[1])
    write_note(axes, f"{both} pass in any case", lowest, palette, color="cross", xytext=(6, 6))
    write_note(
        axes, f"{absolute - both} more pass if errors are absolute", corner, palette, xytext=(6, 6)
    )
    write_note(axes, "found", (most[0], USUAL_LIMIT), palette, ha="right", xytext=(-6, 6))
    label_powers(axes, "x", 2)
    label_powers(axes, "y", 2)
    name_x_axis(axes, "largest absolute error, |a - n|", palette)
    heading(axes, "largest relative error", 0.0, palette, font_size(WIDTH), up=12)
    legend(figure, handles, palette)
    return figure


PICTURES: Final[dict[str, Callable[[Figures, Palette], Figure]]] = {
    "gradient-size": draw_growth,
    "gradient-entries": draw_entries_of_W,
    "gradient-step": draw_step_sizes,
    "gradient-mistake": draw_mistake,
    "gradient-usual": draw_usual_check,
}


def draw(figures: Figures, folder: Path) -> None:
    """Draw every picture, for light and for dark pages."""
    for name, drawing in PICTURES.items():
        save_figure(drawing(figures, LIGHT), folder / f"{name}.svg")
        save_figure(drawing(figures, DARK), folder / f"{name}-dark.svg")
