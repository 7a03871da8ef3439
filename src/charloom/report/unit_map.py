"""Draws the values of units over a text as a heat map: a row per unit and a column per character."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from charloom.cell_table import CELLS
from charloom.formatting import harmless
from charloom.hidden_units import Activity
from charloom.hidden_units.gate_values import meaning
from charloom.report.plot_style import LIGHT, WIDE, Palette, blank_figure

# colour map of values that can be negative: purple for negative values, white for 0, orange for positive
SIGNED: Final = "PuOr_r"
GATE: Final = "viridis"  # colour map of the values of gates, from 0 (closed) to 1 (open)
SIGMOID_GATES: Final = {gate for cell in CELLS.values() for gate in cell.sigmoid_gates}
LETTERS: Final = 120  # largest number of characters of a text that is written below the heat map
# Heights in 1/72 inch: of a unit's row, of the smallest panel and of the largest panel
ROW, LEAST_HEIGHT, MOST_HEIGHT = 4, 120, 900
FONT: Final = 8.0
# Margins and the space between two panels, in 1/72 inch
LEFT, RIGHT, BELOW, ABOVE, BETWEEN = 42, 84, 32, 8, 12


def units_figure(seen: Activity, *, palette: Palette = LIGHT) -> Figure:
    """Return a heat map of the values of units over a text, with one panel per layer.

    The colour scale of a gate is from 0 to 1. The scale of other values is symmetric about zero and ends
    at the 99.5th percentile of their absolute values.

    Args:
        seen: the values of the units for one or more characters.
        palette: the colours of everything except the map.
    """
    layers, units = len(seen.layers), len(seen.units)
    panel = min(max(ROW * units, LEAST_HEIGHT), MOST_HEIGHT)
    width = WIDE[0]
    height = layers * panel + (layers - 1) * BETWEEN + BELOW + ABOVE
    figure = blank_figure((width, height), palette)
    values = np.asarray(seen.values, dtype=np.float64)
    size = float(np.percentile(np.abs(values), 99.5)) or 1.0
    gate = seen.what in SIGMOID_GATES and values.min() >= 0 and values.max() <= 1
    low, high, colours = (0.0, 1.0, GATE) if gate else (-size, size, SIGNED)
    grid = figure.subplots(layers, 1, sharex=True, squeeze=False)[:, 0].tolist()
    figure.subplots_adjust(
        left=LEFT / width, right=1 - RIGHT / width, bottom=BELOW / height, top=1 - ABOVE / height,
        hspace=BETWEEN / panel,
    )  # fmt: skip
    image = None
    for place, axes in enumerate(grid):
        image = axes.imshow(
            values[:, place].T,
            cmap=colours,
            vmin=low,
            vmax=high,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_ylabel(f"layer {seen.layers[place]}, unit", color=palette["muted"], fontsize=FONT)
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
        if units == 1:
            axes.set_yticks([0], [str(seen.units[0])])
        axes.tick_params(colors=palette["muted"], length=0, labelsize=FONT)
        axes.spines[:].set_visible(False)
    below = grid[-1]
    if len(seen.characters) <= LETTERS:
        letters = [harmless(c).replace("\n", "↵") for c in seen.characters]
        below.set_xticks(range(len(letters)), letters, family="monospace")
    else:
        below.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        below.set_xlabel("characters read", color=palette["muted"], fontsize=FONT)
    assert image is not None
    scale = figure.add_axes((1 - 70 / width, BELOW / height, 10 / width, panel / height))
    bar = figure.colorbar(image, cax=scale)
    bar.ax.tick_params(colors=palette["muted"], length=0, labelsize=FONT)
    bar.outline.set_visible(False)
    bar.set_label(f"{seen.what} ({meaning(seen.what)})", color=palette["muted"], fontsize=FONT)
    return figure
