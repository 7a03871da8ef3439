"""A table of errors as a picture: a row for each gradient, a column for each length of the window.

Every cell says its error, or that there is none, in a sign; the colour only repeats it. The picture
knows nothing of how the errors were found.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from charloom.report.plots import LIGHT, WIDE, Palette, blank_figure, font_size, heading
from charloom.spelling import power_of_ten

ROW: Final = 34  # height of a row, in units of the picture
NAMES: Final = 46  # what the names of the rows take, left
ROOM: Final = 34  # what the figure of one cell takes; narrower cells show their colour alone
FAINTEST, STRONGEST = 0.12, 0.55  # under these the ink of the figures stays readable
RIGHT: Final = "✓"


def heatmap_figure(
    names: Sequence[str],
    lengths: Sequence[int],
    errors: NDArray[Any],
    limit: float,
    *,
    width: int = WIDE[0],
    palette: Palette = LIGHT,
) -> Figure:
    """The errors of gradients over windows of growing length.

    Args:
        names: what each row is the gradient of.
        lengths: steps of the window of each column.
        errors: norm-relative errors, (rows, columns); NaN where a gradient is no number.
        limit: errors up to this are none.
        width: in units of 1/72 inch; the height follows.
        palette: the colours by name.
    """
    top, bottom = 34, 46
    height = top + bottom + ROW * len(names)
    figure, font = blank_figure((width, height), palette), font_size(width)
    axes = figure.add_subplot()
    figure.subplots_adjust(
        left=NAMES / width, right=1 - 2 / width, bottom=bottom / height, top=1 - top / height
    )
    roomy = (width - NAMES) / len(lengths) >= ROOM
    for place, row in enumerate(errors):
        for at, error in enumerate(row):
            strength = depth(float(error), limit)
            axes.add_patch(
                Rectangle(
                    (at + 0.03, place + 0.06), 0.94, 0.88, linewidth=0,
                    facecolor=palette["cross" if strength else "rule"],
                    alpha=FAINTEST + (STRONGEST - FAINTEST) * strength if strength else 0.5,
                    gid=f"cell-{names[place]}-{lengths[at]}",
                )
            )  # fmt: skip
            if roomy:
                axes.text(
                    at + 0.5, place + 0.5, said(float(error), limit), ha="center", va="center",
                    color=palette["ink" if strength else "muted"], fontsize=font - 1,
                    parse_math=False,
                )  # fmt: skip
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.set_xlim(0, len(lengths))
    axes.set_ylim(len(names), 0)
    axes.tick_params(colors=palette["muted"], length=0, labelsize=font)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, parse_math=False)
    every = max(1, math.ceil(ROOM / 2 * len(lengths) / (width - NAMES)))
    shown = range(0, len(lengths), every)
    axes.set_xticks([at + 0.5 for at in shown], [str(lengths[at]) for at in shown])
    axes.set_xlabel(
        "steps of the window", color=palette["muted"], fontsize=font, labelpad=4, parse_math=False
    )
    heading(axes, "norm-relative error", 0.0, palette, font, up=12)
    return figure


def depth(error: float, limit: float) -> float:
    """How strongly an error is coloured: 0 up to the limit, 1 from an error of 1 on, or of NaN."""
    if not math.isfinite(error):
        return 1.0
    if error <= limit:
        return 0.0
    return min(1.0, max(0.02, 1 - math.log(error) / math.log(limit)))


def said(error: float, limit: float) -> str:
    """An error in as few signs as a cell has room for."""
    if not math.isfinite(error):
        return "NaN"
    if error <= limit:
        return RIGHT
    return f"{error:.2f}" if error >= 0.01 else power_of_ten(error)
