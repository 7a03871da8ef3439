"""Selects the records that a report shows, in one pass and with bounded memory.

The loss curve has as many points as a plot can show. At most a few hundred records at ends of epochs are
kept, and at most a few hundred records with a validation loss.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.even_sample import EvenSample
from charloom.report.thinning import decimate
from charloom.store.training_loss import TrainingLoss
from charloom.training.overfitting_check import Overfitting, OverfittingCheck
from charloom.training.recent_loss import RecentLoss

COLUMNS: Final = 640  # horizontal resolution of the curve in columns of pixels
MOST_POINTS: Final = 65_536  # largest number of points of the curve in memory
MOST_ENDS: Final = 500
MOST_JUDGED: Final = 500
MOST_CROSSES: Final = (
    60  # ends of epochs with a cross in the plot; more crosses would hide the curve
)


class Record(NamedTuple):
    """The fields of a record (spec/formats.md: Records) that a report shows."""

    update: int
    epoch: float
    characters: int
    seconds: float
    smooth_loss: float
    train_nats: float
    validation_nats: float | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Return the record of a line of metrics.jsonl. `is_record` must have accepted `line`."""
        fields: dict[str, Any] = {name: line.get(name) for name in cls._fields}
        return cls(**fields)

    @property
    def ends_epoch(self) -> bool:
        """True if the record is at the end of an epoch."""
        return self.epoch >= 1 and float(self.epoch).is_integer()


@dataclass(frozen=True)
class Records:
    """The selected records of a run, and figures computed from all its records.

    For a run without a record, `gather` returns None instead.

    Attributes:
        first: the record with the lowest update.
        last: the record with the highest update.
        lowest: the first record with the lowest smooth loss.
        best: the first record with the lowest validation loss; None if there is no validation loss.
        judged: a selection of the records with a validation loss, including the best and the last.
        judgements: number of all records with a validation loss.
        overfitting: when and how much the run overfitted; None if the records do not show it.
        ends: a selection of the records at the end of an epoch, including the first and the last.
        epochs: number of all records at the end of an epoch.
        updates: updates of the points of the curve, shape (points,).
        losses: smooth losses of these points in nats per window, shape (points,).
        training: the training loss of the run, the mean of its last complete epoch.
        recent: the mean loss of the last updates, and the weight of the first loss in the smooth loss.
        at: a dict with a key for each update in the argument `wanted` of `gather`. The value is the last
            record at or before this update, or None if all records are later.
    """

    first: Record
    last: Record
    lowest: Record
    best: Record | None
    judged: Sequence[Record]
    judgements: int
    overfitting: Overfitting | None
    ends: Sequence[Record]
    epochs: int
    updates: NDArray[np.float64]
    losses: NDArray[np.float64]
    training: TrainingLoss
    recent: RecentLoss
    at: Mapping[int, Record | None]

    @property
    def crosses(self) -> Sequence[Record]:
        """The ends of epochs that have a cross in the plot: at most `MOST_CROSSES`, evenly spread, with the last one."""
        stride = max(1, math.ceil(len(self.ends) / MOST_CROSSES))
        return self.ends[::-1][::stride][::-1]


def gather(
    records: Iterable[Record],
    wanted: Iterable[int] = (),
    smoothing: float = Config.smoothing,
) -> Records | None:
    """Return the records that a report shows; None if there are no records.

    Args:
        records: the records in the order of their updates.
        wanted: updates, such as those of the samples. For each of these updates, the attribute `at` of
            the result holds the last record at or before the update.
        smoothing: the setting of the smooth loss.
    """
    # The wanted updates in descending order, so that pending.pop() removes and returns the smallest update.
    pending = sorted(set(wanted), reverse=True)
    at: dict[int, Record | None] = {}
    first: Record | None = None
    last: Record | None = None
    lowest: Record | None = None
    best: Record | None = None
    best_nats = math.inf
    judged: EvenSample[Record] = EvenSample(MOST_JUDGED)
    ends: EvenSample[Record] = EvenSample(MOST_ENDS)
    check, curve, training, recent = (
        OverfittingCheck(),
        Curve(),
        TrainingLoss(),
        RecentLoss(smoothing),
    )
    for record in records:
        while pending and pending[-1] < record.update:
            at[pending.pop()] = last
        first, last = first or record, record
        if lowest is None or record.smooth_loss < lowest.smooth_loss:
            lowest = record
        if record.validation_nats is not None:
            judged.add(record)
            if record.validation_nats < best_nats:
                best, best_nats = record, record.validation_nats
        if record.ends_epoch:
            ends.add(record)
        check.add(record.update, record.train_nats, record.validation_nats)
        curve.add(record.update, record.smooth_loss)
        training.add(record.update, record.epoch, record.characters, record.train_nats)
        recent.add(record.update, record.train_nats)
    if first is None or last is None or lowest is None:
        return None
    updates, losses = curve.points()
    return Records(
        first=first,
        last=last,
        lowest=lowest,
        best=best,
        judged=sorted({*judged.kept(), *([] if best is None else [best])}),
        judgements=judged.total,
        overfitting=check.result(),
        ends=ends.kept(),
        epochs=ends.total,
        updates=updates,
        losses=losses,
        training=training,
        recent=recent,
        at={**at, **dict.fromkeys(pending, last)},
    )


class OrderedRecords:
    """Iterates over records, and leaves out those that are not in the order of their updates.

    A record is held back until the next record is read. If the next record does not have a larger update,
    the record that is held back is left out. Otherwise one damaged record with a much too large update
    would cause all later records to be left out.

    Attributes:
        left_out: number of records that were left out.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.left_out = 0
        self._records = records

    def __iter__(self) -> Iterator[Record]:
        held, last = None, -1
        for record in self._records:
            if record.update <= last:
                self.left_out += 1
                continue
            if held is not None and held.update < record.update:
                yield held
                last = held.update
            elif held is not None:
                self.left_out += 1
            held = record
        if held is not None:
            yield held


class Curve:
    """The points of the loss curve. If there are too many, `add` removes points that no plot can show."""

    def __init__(self) -> None:
        self._updates: list[float] = []
        self._losses: list[float] = []

    def add(self, update: float, loss: float) -> None:
        """Add the next point: an update and its smooth loss."""
        self._updates.append(update)
        self._losses.append(loss)
        if len(self._updates) == MOST_POINTS:
            updates, losses = self.points()
            self._updates, self._losses = updates.tolist(), losses.tolist()

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the updates and the losses of the points to draw, as two arrays of the same length."""
        updates = np.array(self._updates, dtype=np.float64)
        losses = np.array(self._losses, dtype=np.float64)
        keep = decimate(updates, losses, COLUMNS)
        return updates[keep], losses[keep]
