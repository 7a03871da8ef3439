"""Draws the plots of a run: the smooth loss over the updates, and the errors of gradient checks.

Each plot is a separate matplotlib Figure, without pyplot and its global state. Colours have names:
a file gets fixed colours, and a page gets CSS variables, which change between light and dark.
"""

import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from charloom.errors import ConfigError
from charloom.formatting import THIN, bits_per_character, count, power_of_ten
from charloom.gradient_check import GradientCheck
from charloom.report import prose
from charloom.report.records import Records
from charloom.store.atomic_files import replace_file

Palette = Mapping[str, str]

LIGHT: Final[Palette] = {
    "paper": "#ffffff",
    "ink": "#1c1d1f",
    "muted": "#66686d",
    "rule": "#e2e2df",
    "line": "#2f5d8a",
    "cross": "#d0021b",
    "series-1": "#0b6bb0",
    "series-2": "#b35c00",
    "series-3": "#087f5c",
    "series-4": "#a63d8f",
    "series-5": "#6b6b00",
}
"""The colours of files and of light pages."""

DARK: Final[Palette] = {
    "paper": "#17181b",
    "ink": "#e7e7e4",
    "muted": "#9b9da3",
    "rule": "#313338",
    "line": "#86b6e6",
    "cross": "#ff5a64",
    "series-1": "#6cb4ee",
    "series-2": "#f0a04b",
    "series-3": "#4fcfa8",
    "series-4": "#e08acb",
    "series-5": "#cfcf5a",
}
"""The colours of dark pages."""

# A colour and a marker for each parameter, in the order of the rows of a check.
SERIES: Final = (
    ("series-1", "o"), ("series-2", "s"), ("series-3", "^"), ("series-4", "D"), ("series-5", "v"),
)  # fmt: skip
DASHES: Final = (
    "solid",
    "dashed",
    "dotted",
    "dashdot",
)  # the first five parameters are solid, the next five dashed, and so on
LEGEND_COLUMNS: Final = 6
LEAST_ERROR, MOST_ERROR = 1e-18, 3e2  # limits of the axis

# Unique colours, which `inline_svg` replaces by the CSS variables of a page.
SENTINELS: Final[Palette] = {name: f"#0101{n:02x}" for n, name in enumerate(LIGHT)}

WIDE: Final = (832, 400)
NARROW: Final = (360, 300)
MARGIN: Final = 42  # left and right of the axes, for the tick labels
CROSS: Final = 7.5
UNITS_PER_INCH: Final = 72
FONTS: Final = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif"


def loss_figure(
    records: Records,
    seq_length: int,
    *,
    one: str = "character",
    size: tuple[int, int] = WIDE,
    palette: Palette = LIGHT,
) -> Figure:
    """Draw the smooth loss over the updates, with a red cross at the end of each epoch.

    If the run has validation losses, they are a second line.

    Args:
        records: the records of a run.
        seq_length: sequence length T, to convert nats per window to bits per character.
        one: unit of prediction: character or byte.
        size: width and height in units of 1/72 inch.
        palette: the colours by name.
    """
    smooth = records.losses
    figure, narrow, font = blank_figure(size, palette), size[0] < 500, font_size(size[0])
    axes = figure.add_subplot()
    figure.subplots_adjust(
        left=MARGIN / size[0],
        right=1 - MARGIN / size[0],
        bottom=50 / size[1],
        top=1 - 30 / size[1],
    )
    axes.plot(records.updates, smooth, color=palette["line"], linewidth=1.4, gid="smooth-loss")
    axes.plot(
        [end.update for end in records.ends],
        [end.smooth_loss for end in records.ends],
        linestyle="none",
        marker="x",
        markersize=CROSS,
        markeredgewidth=2.2,
        color=palette["cross"],
        clip_on=False,
        zorder=3,
        gid="epoch-ends",
    )
    validation = [seq_length * (record.validation_nats or 0.0) for record in records.judged]
    if validation:
        axes.plot(
            [record.update for record in records.judged],
            validation,
            color=palette["series-2"],
            marker="o",
            markersize=3,
            linewidth=1.4,
            gid="validation",
        )
    quiet_axes(axes, palette, font)
    axes.set_xlim(0, max(records.last.update, 1))
    low, high = min(smooth.min(), *validation, np.inf), max(smooth.max(), *validation, -np.inf)
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value, narrow)))
    axes.set_xlabel("updates", color=palette["muted"], fontsize=font, labelpad=4)
    heading(axes, "nats per window", 0.0, palette, font)

    bit = bits_per_character(1.0, seq_length)
    bits = axes.secondary_yaxis(
        "right",
        functions=(lambda nats: np.multiply(nats, bit), lambda bits: np.divide(bits, bit)),
    )
    bits.yaxis.set_major_locator(MaxNLocator(6))
    bits.tick_params(colors=palette["muted"], length=0, labelsize=font)
    bits.spines[:].set_visible(False)
    heading(axes, f"bits per {one}", 1.0, palette, font)
    bits.set_facecolor("none")
    entries = {"smooth loss": Line2D([], [], color=palette["line"], linewidth=1.4)}
    if validation:
        entries["validation"] = Line2D(
            [], [], color=palette["series-2"], linewidth=1.4, marker="o", markersize=3
        )
    if records.ends:
        entries["end of an epoch"] = Line2D(
            [], [], color=palette["cross"], linestyle="none",
            marker="x", markersize=CROSS, markeredgewidth=2.2,
        )  # fmt: skip
    # In a wide plot beside the headings, else in the empty corner above the curve.
    axes.legend(
        list(entries.values()),
        list(entries),
        loc="upper right" if narrow else "lower center",
        bbox_to_anchor=(1, 1) if narrow else (0.5, 1),
        ncols=1 if narrow else 3,
        borderaxespad=1.2 if narrow else 0.1,
        fontsize=font,
        labelcolor=palette["ink"],
        facecolor=palette["paper"],
        edgecolor="none",
        framealpha=1,
    )
    return figure


def curve_figure(
    checks: Sequence[GradientCheck], *, width: int = WIDE[0], palette: Palette = LIGHT
) -> Figure:
    """Draw the error of central differences over their step, one panel per problem.

    Each parameter has a curve. A dashed line shows the largest norm-relative error against the complex
    step. Errors of zero are drawn at the lower limit, and NaN at the upper limit. Engines that were
    checked on the same problem share a panel, as their central differences are equal.

    Args:
        checks: one or more gradient checks.
        width: width in units of 1/72 inch; the height depends on the number of panels.
        palette: the colours by name.
    """
    narrow, font = width < 500, font_size(width)
    problems = _by_problem(checks)
    columns = 1 if narrow else min(len(problems), 2)
    rows = -(-len(problems) // columns)
    # Each row of the legend holds six entries.
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
        quiet_axes(axes, palette, font)
        _draw_curves(axes, problem, palette, font, f"problem-{place}", 48 if narrow else 65)
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
    """Group the checks that differ only in their engine, in the order of the first of each group."""
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
    """Draw one problem: a curve per parameter, the line of the complex step, and labels of the arms.

    Args:
        axes: the panel.
        checks: the checks of the problem, one per engine.
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
    start = prose.beginning(check)
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
    """Return the errors clipped to the limits of the axis; NaN becomes the upper limit."""
    values = np.nan_to_num(np.array(errors, dtype=np.float64), nan=MOST_ERROR)
    return np.clip(values, LEAST_ERROR, MOST_ERROR)


def svg_of(figure: Figure) -> str:
    """Return a figure as an SVG document. Text stays text, and equal figures give equal bytes."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "charloom"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "charloom"})
    return re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", file.getvalue())


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG file with two pixels per unit of its size."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=2 * UNITS_PER_INCH)
    return file.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to a .png or .svg file.

    Raises:
        ConfigError: the name has another ending.
        WriteError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"{path} has no image format; give a name that ends in .png or .svg.")
    data = png_of(figure) if path.suffix == ".png" else svg_of(figure).encode()
    replace_file(path, data, durable=False)


def coloured(svg: str, palette: Palette) -> str:
    """Replace the colours `SENTINELS` in an SVG by those of a palette."""
    names = {colour: name for name, colour in SENTINELS.items()}
    return re.sub(r"#0101[0-9a-f]{2}", lambda found: palette[names[found[0]]], svg)


def inline_svg(svg: str, prefix: str, label: str) -> Markup:
    """Convert an SVG that was drawn in `SENTINELS` to an element of an HTML page.

    The colours become CSS variables, the ids get a prefix, and the prologue, metadata, namespaces and
    fixed size are removed.

    Args:
        svg: the document, from `svg_of`.
        prefix: prefix that makes the ids unique on the page.
        label: description of the plot for screen readers, as plain text.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*; ?", "", body)
    view = re.search(r'viewBox="([^"]*)"', body)
    assert view is not None
    body = re.sub(
        r"<svg[^>]*>",
        f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(label)}">',
        body,
        count=1,
    )
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', body)
    body = body.replace("url(#", f"url(#{prefix}-")
    return Markup(coloured(body, {name: f"var(--{name})" for name in SENTINELS}))


def blank_figure(size: tuple[int, int], palette: Palette) -> Figure:
    """Return an empty figure of the given width and height in units of 1/72 inch."""
    width, height = size
    return Figure(
        figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH),
        dpi=UNITS_PER_INCH,
        facecolor=palette["paper"],
    )


def quiet_axes(axes: Axes, palette: Palette, font: float) -> None:
    """Draw only a bottom axis, faint horizontal lines and grey tick labels."""
    axes.set_facecolor("none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(palette["muted"])
    axes.grid(axis="y", color=palette["rule"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette["muted"], length=0, labelsize=font)
    axes.tick_params(axis="x", length=4, color=palette["muted"])


def heading(axes: Axes, text: str, x: float, palette: Palette, font: float, up: float = 8) -> None:
    """Write the quantity of an axis above it, instead of rotated beside it."""
    axes.annotate(
        text,
        (x, 1),
        xytext=(-MARGIN if x == 0 else MARGIN, up),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left" if x == 0 else "right",
        color=palette["muted"],
        fontsize=font,
        annotation_clip=False,
    )


def font_size(width: int) -> float:
    """Return the font size for a plot of this width."""
    return 11.5 if width < 500 else 12.5


def _short(value: float, narrow: bool) -> str:
    """Return a number of updates as text; in thousands if `narrow`."""
    if narrow and value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return count(round(value))
