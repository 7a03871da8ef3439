"""Keeps a limited number of evenly spaced items of a sequence whose length is not known before."""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class EvenSample(Generic[Item]):
    """At most `most` evenly spaced items of a sequence, including its first and its last item.

    Args:
        most: the largest number of items to keep, at least 3.

    Attributes:
        total: the number of items added so far.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        # The largest length of the list _kept. It is one less than `most`, because the method `kept`
        # may add the last item of the sequence.
        self._room = most - 1
        self._stride = 1
        self._kept: list[Item] = []
        self._last: list[Item] = []

    def add(self, item: Item) -> None:
        """Add the next item of the sequence."""
        if self.total % self._stride == 0:
            if len(self._kept) == self._room:
                del self._kept[1::2]
                self._stride *= 2
            if self.total % self._stride == 0:
                self._kept.append(item)
        self._last = [item]
        self.total += 1

    def kept(self) -> list[Item]:
        """Return the selected items in the order in which they were added."""
        last_is_kept = not self.total or (self.total - 1) % self._stride == 0
        return self._kept + ([] if last_is_kept else self._last)
