"""Draws errors as a heat map, with a row per gradient and a column per time step.

If there is space, each cell also shows its error as text, for readers who cannot see the colours.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from charloom.formatting import power_of_ten
from charloom.report.plot_style import LIGHT, WIDE, Palette, blank_figure, font_size, heading

ROW: Final = 34  # height of a row, in units of 1/72 inch
NAMES: Final = 46  # width of the names of the rows, in units of 1/72 inch
ROOM: Final = 34  # smallest width of a cell that shows its error as text, in units of 1/72 inch
# Opacity of a cell with a small and with a large error. The text in the cell stays readable.
FAINTEST, STRONGEST = 0.12, 0.55
RIGHT: Final = "✓"


def heatmap_figure(
    errors: Mapping[str, Sequence[float]],
    limit: float,
    *,
    width: int = WIDE[0],
    palette: Palette = LIGHT,
) -> Figure:
    """Return a heat map of errors, with a row per gradient and a column per time step.

    Args:
        errors: for each gradient, a norm-relative error for each time step; NaN if the gradient contains NaN.
        limit: the largest error that counts as right.
        width: width in units of 1/72 inch; the height depends on the number of rows.
        palette: the colours by name.
    """
    names, steps = list(errors), len(next(iter(errors.values())))
    top, bottom = 34, 46
    height = top + bottom + ROW * len(names)
    figure, font = blank_figure((width, height), palette), font_size(width)
    axes = figure.add_subplot()
    figure.subplots_adjust(
        left=NAMES / width, right=1 - 2 / width, bottom=bottom / height, top=1 - top / height
    )
    roomy = (width - NAMES) / steps >= ROOM
    for place, row in enumerate(errors.values()):
        for at, error in enumerate(row):
            strength = depth(error, limit)
            axes.add_patch(
                Rectangle(
                    (at + 0.03, place + 0.06), 0.94, 0.88, linewidth=0,
                    facecolor=palette["cross" if strength else "rule"],
                    alpha=FAINTEST + (STRONGEST - FAINTEST) * strength if strength else 0.5,
                    gid=f"cell-{names[place]}-{at + 1}",
                )
            )  # fmt: skip
            if roomy:
                axes.text(
                    at + 0.5, place + 0.5, cell_text(error, limit), ha="center", va="center",
                    color=palette["ink" if strength else "muted"], fontsize=font - 1,
                    parse_math=False,
                )  # fmt: skip
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.set_xlim(0, steps)
    axes.set_ylim(len(names), 0)
    axes.tick_params(colors=palette["muted"], length=0, labelsize=font)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, parse_math=False)
    every = max(1, math.ceil(ROOM / 2 * steps / (width - NAMES)))
    shown = range(0, steps, every)
    axes.set_xticks([at + 0.5 for at in shown], [str(at + 1) for at in shown])
    axes.set_xlabel("step t", color=palette["muted"], fontsize=font, labelpad=4)
    heading(axes, "norm-relative error at each step", 0.0, palette, font, up=12)
    return figure


def depth(error: float, limit: float) -> float:
    """Return the strength of a cell's colour, from 0 to 1.

    The strength is 0 if the error is at most `limit`, and 1 if the error is 1 or more, infinite or NaN.
    """
    if not math.isfinite(error):
        return 1.0
    if error <= limit:
        return 0.0
    return min(1.0, max(0.02, 1 - math.log(error) / math.log(limit)))


def cell_text(error: float, limit: float) -> str:
    """Return a check mark if the error is at most `limit`, otherwise the error in a few characters."""
    if not math.isfinite(error):
        return "NaN"
    if error <= limit:
        return RIGHT
    return f"{error:.2f}" if error >= 0.1 else power_of_ten(error)
