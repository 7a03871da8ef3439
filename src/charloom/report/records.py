"""What a report keeps of a run's records, gathered in one pass and in memory that hardly grows with
them.

The curve is thinned to what a picture can show, ends of epochs and judgements to what a reader can read.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from charloom.evenly import Spread
from charloom.report.thinning import decimate

COLUMNS: Final = 640  # points beside one another: no picture here can show more
MOST_POINTS: Final = 65_536  # of the curve in memory; then it is thinned
MOST_ENDS: Final = 500
MOST_JUDGED: Final = 500


class Record(NamedTuple):
    """Of a record (spec/formats.md: Records) what a report shows."""

    update: int
    epoch: float
    characters: int
    seconds: float
    smooth_loss: float
    train_nats: float
    validation_nats: float | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """The record of a line that `is_record` has accepted."""
        return cls(
            line["update"],
            line["epoch"],
            line["characters"],
            line["seconds"],
            line["smooth_loss"],
            line["train_nats"],
            line.get("validation_nats"),
        )

    @property
    def ends_epoch(self) -> bool:
        """Whether it was made where an epoch ended."""
        return self.epoch >= 1 and float(self.epoch).is_integer()


@dataclass(frozen=True)
class Records:
    """The records of a run, of which there is at least one, as a report shows them.

    Attributes:
        first, last: by their updates.
        lowest: the first record with the lowest smooth loss.
        best: the first record with the lowest loss on the validation part; None where none was judged.
        judged: records that were judged, the best and the last among them; `judgements`: how many there
            are in all.
        ends: records at an epoch's end, the first and the last among them; `epochs`: how many there are
            in all.
        updates, losses: the points of the smooth loss to draw, (points,) each; nats per window.
        last_epoch_nats: per character, the mean over the last epoch that was read whole; None before
            there is one.
        at: for each update that was asked for, the last record at or before it; None where there is none.
    """

    first: Record
    last: Record
    lowest: Record
    best: Record | None
    judged: Sequence[Record]
    judgements: int
    ends: Sequence[Record]
    epochs: int
    updates: NDArray[np.float64]
    losses: NDArray[np.float64]
    last_epoch_nats: float | None
    at: Mapping[int, Record | None]


def gather(records: Iterable[Record], wanted: Iterable[int] = ()) -> Records | None:
    """What a report keeps of records in the order of their updates; None where there are none.

    Args:
        records: one after another.
        wanted: updates, such as those of samples, whose records are kept too.
    """
    gathering = Gathering(wanted)
    for record in records:
        gathering.add(record)
    return gathering.result()


class Ordered:
    """Iterates over those of some records whose updates rise.

    One record whose update is too large must not hide all that follow, so each is held back until the
    next one is known.

    Attributes:
        left_out: how many records stood where they cannot belong.
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


class Gathering:
    """Takes records one after another and keeps what a report shows of them."""

    def __init__(self, wanted: Iterable[int]) -> None:
        self._wanted = sorted(set(wanted), reverse=True)  # the next one is at the end
        self._at: dict[int, Record | None] = {}
        self._first: Record | None = None
        self._last: Record | None = None
        self._lowest: Record | None = None
        self._best: Record | None = None
        self._best_nats = math.inf
        self._judged: Spread[Record] = Spread(MOST_JUDGED)
        self._ends: Spread[Record] = Spread(MOST_ENDS)
        self._curve = Curve()
        self._means = EpochMeans()

    def add(self, record: Record) -> None:
        """Take the next record."""
        while self._wanted and self._wanted[-1] < record.update:
            self._at[self._wanted.pop()] = self._last
        if self._lowest is None or record.smooth_loss < self._lowest.smooth_loss:
            self._lowest = record
        if record.validation_nats is not None:
            self._judge(record, record.validation_nats)
        if record.ends_epoch:
            self._ends.add(record)
        self._curve.add(record.update, record.smooth_loss)
        self._means.add(record)
        self._first = self._first or record
        self._last = record

    def _judge(self, record: Record, nats: float) -> None:
        """Take a record that was judged."""
        self._judged.add(record)
        if nats < self._best_nats:
            self._best, self._best_nats = record, nats

    def result(self) -> Records | None:
        """What was kept."""
        if self._first is None or self._last is None or self._lowest is None:
            return None
        best = [] if self._best is None else [self._best]
        updates, losses = self._curve.points()
        return Records(
            first=self._first,
            last=self._last,
            lowest=self._lowest,
            best=self._best,
            judged=sorted({*self._judged.kept(), *best}),
            judgements=self._judged.total,
            ends=self._ends.kept(),
            epochs=self._ends.total,
            updates=updates,
            losses=losses,
            last_epoch_nats=self._means.last_whole(),
            at={**self._at, **dict.fromkeys(self._wanted, self._last)},
        )


class Curve:
    """The points of a line, thinned whenever there are too many."""

    def __init__(self) -> None:
        self._updates: list[float] = []
        self._losses: list[float] = []

    def add(self, update: float, loss: float) -> None:
        """Take the next point."""
        self._updates.append(update)
        self._losses.append(loss)
        if len(self._updates) == MOST_POINTS:
            updates, losses = self.points()
            self._updates, self._losses = updates.tolist(), losses.tolist()

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The points that a picture can show: updates and losses."""
        updates = np.array(self._updates, dtype=np.float64)
        losses = np.array(self._losses, dtype=np.float64)
        keep = decimate(updates, losses, COLUMNS)
        return updates[keep], losses[keep]


class EpochMeans:
    """Nats per character over each whole epoch, of which the last two are remembered."""

    def __init__(self) -> None:
        self._epoch, self._characters = 0.0, 0  # of the record before
        self._sums: dict[int, tuple[float, int]] = {}

    def add(self, record: Record) -> None:
        """Take the next record, which tells of the characters since the one before."""
        number = int(self._epoch)
        if record.epoch <= number + 1:
            if number not in self._sums:
                self._sums = {n: s for n, s in self._sums.items() if n == number - 1}
            nats, characters = self._sums.get(number, (0.0, 0))
            more = record.characters - self._characters
            self._sums[number] = (nats + record.train_nats * more, characters + more)
        self._epoch, self._characters = record.epoch, record.characters

    def last_whole(self) -> float | None:
        """The mean over the last epoch that was read whole; None before there is one."""
        nats, characters = self._sums.get(int(self._epoch) - 1, (0.0, 0))
        return nats / characters if characters > 0 else None
