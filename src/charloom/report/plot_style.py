"""The style of every plot: colours by name, sizes, axes and headings.

Each plot is a separate matplotlib Figure; pyplot is not used, because it has global state. Colours
have names. In an image file they become fixed colours. In an HTML page they become CSS variables,
which have other values on dark screens.
"""

from collections.abc import Mapping
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

# Placeholder colours: one per name. `plot_files.inline_svg` replaces them by the CSS variables of a page.
SENTINELS: Final[Palette] = {name: f"#0101{n:02x}" for n, name in enumerate(LIGHT)}

WIDE: Final = (832, 400)
NARROW: Final = (360, 300)
MARGIN: Final = 42  # space left and right of the axes, for the tick labels
UNITS_PER_INCH: Final = 72
SMALL_FONT: Final = 9.0  # of plots that are only files


def blank_figure(size: tuple[int, int], palette: Palette) -> Figure:
    """Return an empty figure of the given width and height in units of 1/72 inch."""
    width, height = size
    return Figure(
        figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH),
        dpi=UNITS_PER_INCH,
        facecolor=palette["paper"],
    )


def figure_with_axes(size: tuple[int, int], palette: Palette) -> tuple[Figure, Axes]:
    """Return a figure with one plot, and the axes of the plot. `size` is that of `blank_figure`."""
    figure, (width, height) = blank_figure(size, palette), size
    axes = figure.add_subplot()
    figure.subplots_adjust(
        left=MARGIN / width, right=1 - MARGIN / width, bottom=50 / height, top=1 - 30 / height
    )
    return figure, axes


def style_axes(axes: Axes, palette: Palette, font: float) -> None:
    """Style `axes`: show only the bottom axis, faint horizontal lines and grey tick labels."""
    axes.set_facecolor("none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(palette["muted"])
    axes.grid(axis="y", color=palette["rule"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette["muted"], length=0, labelsize=font)
    axes.tick_params(axis="x", length=4, color=palette["muted"])


def heading(axes: Axes, text: str, x: float, palette: Palette, font: float, up: float = 8) -> None:
    """Write `text`, the name of the vertical axis, above the axis instead of rotated beside it.

    Args:
        axes: the plot.
        text: the name of the axis.
        x: 0 for the left axis, 1 for the right axis.
        palette: the colours by name.
        font: font size.
        up: distance between the plot and the text in units of 1/72 inch.
    """
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
    """Return the font size for a plot that is `width` units of 1/72 inch wide."""
    return 11.5 if is_narrow(width) else 12.5


def is_narrow(width: int) -> bool:
    """Return True if a plot that is `width` units of 1/72 inch wide is made for a phone."""
    return width < 500
