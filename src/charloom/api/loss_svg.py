"""Draws the losses of a training run while it trains, as a small SVG picture for a notebook.

The report draws its own, more detailed plot; this one is drawn twice a second, without matplotlib.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from charloom.colour_steps import HIGH, LOW, Colour
from charloom.formatting import count
from charloom.notebook_html import QUIET, escaped

Point = tuple[float, float]  # an update, and a loss in bits

WIDTH: Final = 640
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 24  # margins of the curves
TICKS: Final = 3  # number of labelled losses
TRAINING, VALIDATION = LOW, HIGH


def loss_curve(training: Sequence[Point], validation: Sequence[Point], one: str) -> str:
    """Return the curves of the training and the validation loss; "" before there are two training losses.

    Args:
        training: the points of the training loss, in the order of their updates.
        validation: the points of the validation loss; empty without a validation part.
        one: the unit of prediction: character or byte.
    """
    if len(training) < 2:
        return ""
    points = [*training, *validation]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    high = high if high > low else low + 1e-3

    def place(point: Point) -> tuple[float, float]:
        x = LEFT + (point[0] - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - (point[1] - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    shapes = [*axes(first, last, low, high)]
    shapes.append(polyline([place(point) for point in training], TRAINING))
    if validation:
        shapes.append(polyline([place(point) for point in validation], VALIDATION))
        shapes += [dot(*place(point)) for point in validation]
    names = "training and validation loss" if validation else "training loss"
    style = f"display:block;width:100%;max-width:{WIDTH}px;height:auto;font-size:11px"
    label = escaped(f"{names} in bits per {one}, from {low:.2f} to {high:.2f}")
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" style="{style}">'
        f"{''.join(shapes)}</svg>"
    )
    return key(bool(validation), one) + picture


def axes(first: float, last: float, low: float, high: float) -> Iterator[str]:
    """Yield the lines and labels of the axes."""
    for n in range(TICKS):
        share = n / (TICKS - 1)
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.2"></line>'
        )
        yield letters(LEFT - 6, y + 4, f"{low + share * (high - low):.2f}", "end")
    yield letters(LEFT, HEIGHT - 6, count(round(first)), "start")
    yield letters(WIDTH - RIGHT, HEIGHT - 6, f"update {count(round(last))}", "end")


def letters(x: float, y: float, text: str, anchor: str) -> str:
    """Return a label at a point; `anchor` says which end of the label is there: start or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" '
        f'fill-opacity="0.72">{escaped(text)}</text>'
    )


def polyline(places: Sequence[tuple[float, float]], colour: Colour) -> str:
    """Return a curve through some points."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<polyline points="{points}" fill="none" stroke="rgb{colour}" stroke-width="1.8" '
        'stroke-linejoin="round"></polyline>'
    )


def dot(x: float, y: float) -> str:
    """Return the mark of a validation loss."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="rgb{VALIDATION}"></circle>'


def key(validation: bool, one: str) -> str:
    """Return a line that explains the colours of the curves."""
    names = [("training", TRAINING), *([("validation", VALIDATION)] if validation else [])]
    boxes = " ".join(
        f'<span style="color:rgb{colour}">━</span> <span style="{QUIET}">{name}</span>'
        for name, colour in names
    )
    return f'<p style="margin:6px 0 0"><span style="{QUIET}">Bits per {escaped(one)}:</span> {boxes}</p>'
