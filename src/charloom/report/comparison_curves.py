"""The curves of a comparison of runs as plain data: their labels, their points and their horizontal axes.

This module does not draw.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from charloom.formatting import bits_per_character
from charloom.report.records import Record

# The horizontal axes by name: what the axis is called, and its value at a record.
COMPARISON_AXES: Final[Mapping[str, tuple[str, Callable[[Record], float]]]] = {
    "characters": ("characters read", lambda record: record.characters),
    "updates": ("updates", lambda record: record.update),
    "epochs": ("epochs", lambda record: record.epoch),
    "seconds": ("seconds of training", lambda record: record.seconds),
}
# The part of a run, from its beginning, whose high losses do not decide the range of the vertical axis.
BEGINNING: Final = 0.05
DASH_SHIFT: Final = 3  # by how many places the dashes move when the colours of the runs come again
FEW_POINTS: Final = 20  # a curve with at most as many is shown whole

Points = list[
    tuple[float, float]
]  # values of the horizontal axis, and losses in bits per character


@dataclass(frozen=True)
class ComparedCurve:
    """The losses of a run.

    Attributes:
        label: names the run, by the settings that differ.
        seq_length: sequence length T of the run, to convert nats per window to bits.
        smooth: records for the curve of the smooth loss, in the order of their updates.
        judged: records with a validation loss, in the same order.
        smoothing: the factor of the smooth loss.
    """

    label: str
    seq_length: int
    smooth: Sequence[Record]
    judged: Sequence[Record]
    smoothing: float = 0.0

    def smooth_points(self, over: str) -> Points:
        """Return the points of the smooth loss without its first value. `over` is a key of `COMPARISON_AXES`."""
        _, place = COMPARISON_AXES[over]
        return [
            (place(record), bits_per_character(self.without_first(record), self.seq_length))
            for record in self.smooth
        ]

    def without_first(self, record: Record) -> float:
        """Return the smooth loss of a record as the weighted mean of all losses but the first, in nats per window.

        The first loss, that of a network that knows nothing, has the weight smoothing^(n - 1) after n updates. In a
        run of few updates this hides what was learned. Without a record of update 1, the smooth loss is returned.
        """
        first, weight = self.smooth[0], self.smoothing ** max(0, record.update - 1)
        if first.update != 1 or weight >= 1:
            return record.smooth_loss
        return (record.smooth_loss - weight * first.smooth_loss) / (1 - weight)

    def validation_points(self, over: str) -> Points:
        """Return the points of the validation loss. `over` is a key of `COMPARISON_AXES`."""
        _, place = COMPARISON_AXES[over]
        return [
            (place(record), bits_per_character(record.validation_nats or 0.0))
            for record in self.judged
        ]


def range_of_bits(lines: Sequence[Points]) -> tuple[float, float] | None:
    """Return the lowest and the highest loss that a plot of some curves shows; None if they have no points.

    The losses in the first part (`BEGINNING`) of a curve with many points do not count, and neither does a curve that ends far above
    all others, such as that of a run that diverged.
    """
    kept = [line for line in lines if line]
    if not kept:
        return None
    lowest = min(y for line in kept for _, y in line)
    best_end = min(line[-1][1] for line in kept)
    tops = [max(y for _, y in later(line)) for line in kept if line[-1][1] <= 2 * best_end + 1]
    highest = max(tops)
    margin = 0.05 * (highest - lowest) or 0.05
    return max(lowest - margin, 0.0), highest + margin


def later(line: Points) -> Points:
    """Return the points of a curve after its beginning, or all of them if they are few; at least the last one."""
    beginning = 0.0 if len(line) <= FEW_POINTS else BEGINNING
    end = line[0][0] + beginning * (line[-1][0] - line[0][0])
    return [point for point in line if point[0] >= end and math.isfinite(point[1])] or line[-1:]
