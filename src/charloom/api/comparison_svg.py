"""Draws the losses of several runs as a small SVG picture for a notebook, without matplotlib.

Of up to seven runs, each has its own dashes, so that the picture can be read without colours. From the eighth run on, the
colours come again with other dashes.
"""

from collections.abc import Sequence
from typing import Final

from charloom.api.loss_svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, letters
from charloom.formatting import count
from charloom.notebook_html import QUIET, escaped
from charloom.report.comparison_curves import DASH_SHIFT, ComparedCurve, Points, range_of_bits

# The colour of each run, visible on white and on black, and its dashes. The eighth run has the colour of the first.
STROKES: Final = (
    ("rgb(11, 107, 176)", ""), ("rgb(179, 92, 0)", "7 3"), ("rgb(8, 127, 92)", "2 3"),
    ("rgb(166, 61, 143)", "10 3 2 3"), ("rgb(120, 120, 20)", "14 4"), ("rgb(200, 50, 50)", "4 2 1 2"),
    ("rgb(110, 110, 110)", "1 2"),
)  # fmt: skip


def stroke_of(run: int) -> tuple[str, str]:
    """Return the colour and the dashes of the run with an index, counted from 0."""
    again, place = divmod(run, len(STROKES))
    return STROKES[place][0], STROKES[(place + DASH_SHIFT * again) % len(STROKES)][1]


def curves_svg(curves: Sequence[ComparedCurve]) -> str:
    """Return the curves of runs over the characters that they have read; "" if no run has two points.

    They are those of the validation loss if each run has one, otherwise those of the smooth loss.
    """
    judged = all(len(curve.judged) > 1 for curve in curves)
    lines = [
        curve.validation_points("characters") if judged else curve.smooth_points("characters")
        for curve in curves
    ]
    shown = range_of_bits(lines)
    last = max((line[-1][0] for line in lines if line), default=0)
    if shown is None or last <= 0:
        return ""
    shapes = [polylines(line, last, shown, *stroke_of(n)) for n, line in enumerate(lines)]
    what = "validation loss" if judged else "smooth loss"
    label = f"The {what} of {len(lines)} runs in bits per character, over the characters read"
    style = f"display:block;width:100%;max-width:{WIDTH}px;height:auto;font-size:11px"
    return (
        f"{key_of(curves, what)}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(label)}" style="{style}">'
        f"{''.join([*frame(last, shown), *shapes])}</svg>"
    )


def frame(last: float, shown: tuple[float, float]) -> list[str]:
    """Return the lines and labels of the axes, without the label of the horizontal one that counts updates."""
    lines = list(axes(0, last, *shown))[:-1]
    return [*lines, letters(WIDTH - RIGHT, HEIGHT - 6, f"{count(round(last))} characters", "end")]


def polylines(
    line: Points, last: float, shown: tuple[float, float], colour: str, dashes: str
) -> str:
    """Return a curve. Points above the shown range are left out."""
    low, high = shown
    places = [
        (
            LEFT + x / last * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )
        for x, y in line
        if low <= y <= high
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"{dashed} '
        'stroke-linejoin="round"></polyline>'
    )


def key_of(curves: Sequence[ComparedCurve], what: str) -> str:
    """Return lines that explain the curves: a sample of each, and the label of its run."""
    rows = "".join(
        f'<div>{sample_of(*stroke_of(n))} <span style="{QUIET}">{escaped(curve.label)}</span></div>'
        for n, curve in enumerate(curves)
    )
    heading = f'<span style="{QUIET}">{escaped(what.capitalize())} in bits per character:</span>'
    return f'<div style="margin:6px 0 0">{heading}{rows}</div>'


def sample_of(colour: str, dashes: str) -> str:
    """Return a short line in the style of a curve."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        '<svg viewBox="0 0 36 10" style="width:36px;height:10px">'
        f'<line x1="0" x2="36" y1="5" y2="5" stroke="{colour}" stroke-width="2"{dashed}></line></svg>'
    )
