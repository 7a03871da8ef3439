"""Remembers which lines of a journal cannot be read, and to which updates these lines belong.

This module does not know files.
"""

from typing import Final

from charloom.formatting import count, listing

# Largest number of gaps that a message names. A gap is a series of unreadable lines.
MOST_GAPS: Final = 3


class LostLines:
    """Counts the lines of a journal and remembers where unreadable lines are.

    Attributes:
        lines: how many lines of the journal were counted so far.
        broken: how many of the counted lines cannot be read.
        last: the update of the last readable line; None if no line can be read.
    """

    def __init__(self) -> None:
        self.lines = self.broken = 0
        self.last: int | None = None
        self._gaps: list[str] = []
        self._more_gaps = 0
        self._in_gap = False

    def add(self, update: int | None) -> None:
        """Count the next line of the journal. `update` is the line's update; None if it cannot be read."""
        self.lines += 1
        if update is None:
            self.broken += 1
            self._in_gap = True
            return
        if self._in_gap:
            self._end_gap(update)
        self.last = update

    def _end_gap(self, update: int) -> None:
        """Remember that the lines between the last readable line and the line of `update` are unreadable."""
        self._in_gap = False
        if len(self._gaps) == MOST_GAPS:
            self._more_gaps += 1
        elif self.last is None:
            self._gaps.append(f"before update {update:,}")
        else:
            self._gaps.append(f"between updates {self.last:,} and {update:,}")

    def places(self, due: int | None, update: int) -> str:
        """Return a phrase that says where lines are lost, such as "before update 20".

        Returns "" if it is not known where lines are lost.

        Args:
            due: the update of the last line that the journal had, according to the run's schedule, when the
                checkpoint of `update` was saved; None if it is not known.
            update: the update of a checkpoint. The journal was complete when the checkpoint was saved.
        """
        places = list(self._gaps)
        if self._more_gaps:
            places.append(f"at {count(self._more_gaps)} other places")
        if self.last is None:
            places.append(f"up to update {update:,}")
        elif self.last < (update if due is None else due) or (self._in_gap and self.last < update):
            places.append(f"after update {self.last:,} and up to update {update:,}")
        return listing(places)
