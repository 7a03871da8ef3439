"""Draws the eigenvalues of the Jacobians at fixed points in the complex plane, with the unit circle."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from charloom.report.plot_style import LIGHT, SMALL_FONT, Palette, blank_figure

SIZE: Final = (560, 560)
MARGIN: Final = 0.09  # of the figure
MOST_POINTS: Final = 5  # points with a colour and a name of their own


def spectrum_figure(
    eigenvalues: NDArray[Any], kinds: Sequence[str], *, palette: Palette = LIGHT
) -> Figure:
    """Return a plot of the eigenvalues of fixed points in the complex plane.

    Args:
        eigenvalues: complex of shape (F, n), a row for each point.
        kinds: what each point is: stable, unstable or marginal. A stable one is drawn as dots, others as crosses.
        palette: the colours. The first five points have one each; the others are grey.
    """
    figure = blank_figure(SIZE, palette)
    axes = figure.add_axes((MARGIN, MARGIN, 1 - 1.3 * MARGIN, 1 - 1.6 * MARGIN))
    angle = np.linspace(0, 2 * np.pi, 361)
    axes.plot(np.cos(angle), np.sin(angle), color=palette["muted"], linewidth=1)
    for n in range(len(eigenvalues) - 1, -1, -1):
        own = n < MOST_POINTS
        axes.plot(
            eigenvalues[n].real,
            eigenvalues[n].imag,
            "o" if kinds[n] == "stable" else "x",
            color=palette[f"series-{n + 1}"] if own else palette["muted"],
            markersize=4 if own else 2.5,
            label=f"point {n}, {kinds[n]}" if own else None,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(color=palette["rule"], linewidth=1)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=palette["muted"], length=0, labelsize=SMALL_FONT)
    axes.set_xlabel("real part", color=palette["muted"], fontsize=SMALL_FONT)
    axes.set_title(
        "eigenvalues of the Jacobian at each fixed point, imaginary part above real part",
        loc="left",
        color=palette["ink"],
        fontsize=SMALL_FONT,
    )
    if len(eigenvalues):
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], labels[::-1], frameon=False, fontsize=SMALL_FONT, loc="upper left"
        )
    return figure
