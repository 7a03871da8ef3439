"""Chooses some of a stream of things evenly, however many come."""

from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Spread(Generic[Thing]):
    """Keeps at most `most` of the things that it is given, evenly spread, the first and the last too.

    Args:
        most: at least 3.

    Attributes:
        total: how many things it was given.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._room = most - 1  # one place is for the last thing
        self._stride = 1
        self._kept: list[Thing] = []
        self._last: list[Thing] = []

    def add(self, thing: Thing) -> None:
        """Take the next thing."""
        if self.total % self._stride == 0:
            if len(self._kept) == self._room:
                del self._kept[1::2]
                self._stride *= 2
            if self.total % self._stride == 0:
                self._kept.append(thing)
        self._last = [thing]
        self.total += 1

    def kept(self) -> list[Thing]:
        """The things that were kept, in order."""
        last_is_kept = not self.total or (self.total - 1) % self._stride == 0
        return self._kept + ([] if last_is_kept else self._last)
