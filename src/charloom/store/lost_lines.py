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
        lines: how many lines were added.
        broken: how many of the added lines cannot be read.
        last: the update of the last readable line; None if no line can be read.
    """

    def __init__(self) -> None:
        self.lines = self.broken = 0
        self.last: int | None = None
        self._gaps: list[str] = []
        self._more_gaps = 0
        self._in_gap = False

    def add(self, update: int | None) -> None:
        """Add the next line. `update` is the line's update; None if the line cannot be read."""
        self.lines += 1
        if update is None:
            self.broken += 1
            self._in_gap = True
            return
        if self._in_gap:
            self._end_gap(update)
        self.last = update

    def _end_gap(self, update: int) -> None:
        """Remember the gap between the last readable line and the line of `update`."""
        self._in_gap = False
        if len(self._gaps) == MOST_GAPS:
            self._more_gaps += 1
        elif self.last is None:
            self._gaps.append(f"before update {update:,}")
        else:
            self._gaps.append(f"between updates {self.last:,} and {update:,}")

    def places(self, due: int | None, update: int) -> str:
        """Return words for where lines are lost, such as "before update 20".

        Returns "" if it is not known where lines are lost.

        Args:
            due: the last update at which the journal should have got a line; None if it is not known.
                Updates after `update` do not count.
            update: the update of the checkpoint. When it was saved, the journal was complete.
        """
        places = list(self._gaps)
        if self._more_gaps:
            places.append(f"at {count(self._more_gaps)} other places")
        if self.last is None:
            places.append(f"up to update {update:,}")
        elif self.last < (update if due is None else due) or (self._in_gap and self.last < update):
            places.append(f"after update {self.last:,} and up to update {update:,}")
        return listing(places)
