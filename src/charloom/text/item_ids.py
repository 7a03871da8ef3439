"""The ids of a collection of items: each item begins with the boundary, and one more ends the last item.

The items are laid out in a random order, so that each part of the collection is one stretch of ids that begins and
ends with the boundary (spec/mathematics.md: Items).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import ConfigError, TextError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.text.id_file import IdFile

READ_IDS: Final = 1 << 20  # ids that are read at a time from a file


@dataclass(frozen=True, eq=False)
class ItemIds:
    """The ids of a collection, and where its items begin.

    Attributes:
        ids: read-only array of shape (N,), or an `IdFile`.
        starts: the index of each boundary in rising order: that before each item, and the last one. An array of
            shape (items + 1,), or an `IdFile`.
        boundary: the id of the boundary.
        seed: the seed with which the order of the items was drawn.
    """

    ids: NDArray[Any] | IdFile
    starts: NDArray[Any] | IdFile
    boundary: int
    seed: int

    def __post_init__(self) -> None:
        """Make arrays read-only, also those of a copy."""
        for array in (self.ids, self.starts):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the ids."""
        return self.ids.dtype

    @property
    def items(self) -> int:
        """The number of items."""
        return len(self.starts) - 1

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: slice) -> NDArray[Any]:
        return self.ids[place]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all ids as an array. `copy` has no effect."""
        return np.asarray(self.ids, dtype=dtype)

    def stretches(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int
    ) -> NDArray[Any]:
        """Return ranges of ids as rows, shape (len(starts), count), as `IdFile.stretches` does."""
        if isinstance(self.ids, IdFile):
            return self.ids.stretches(starts, ends, count)
        taken: NDArray[Any] = self.ids[
            np.minimum(starts[:, np.newaxis] + np.arange(count), ends[:, np.newaxis] - 1)
        ]
        return taken

    def start(self, item: int) -> int:
        """Return the index of the boundary before an item; for the number of items, that of the last boundary."""
        return int(self.starts[item : item + 1][0])

    def first_at(self, place: int) -> int:
        """Return the number of the first item that begins at or after an index; at most the number of items."""
        low, high = 0, self.items
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.start(middle) < place else (low, middle)
        return low

    def bounds(self, config: Config) -> tuple[int, int]:
        """Return how many items the training part has, and how many the training and validation part have together.

        Raises:
            ConfigError: the items were laid out with another seed than that of `config`.
            TextError: there are fewer items than parts.
        """
        if config.seed != self.seed:
            raise ConfigError(
                f"the items of this text were drawn for its parts with {argument('seed', self.seed)}, but "
                f"{argument('seed')} is {config.seed}; open the text again with this seed."
            )
        validation, test = config.validation > 0, config.test > 0
        if self.items < 1 + validation + test:
            raise TextError(
                f"the collection has {counted(self.items, 'item')}, but each of its {1 + validation + test} parts "
                f"needs at least one. Give more items, or no {argument('validation')} and {argument('test')} part."
            )
        most = self.items - test
        train = self._cut(1 - (config.validation + config.test), 1, most - validation)
        return train, self._cut(1 - config.test, train + validation, most)

    def _cut(self, share: float, least: int, most: int) -> int:
        """Return the smallest number of items with at least a share of all ids, within limits."""
        place = int((len(self) - 1) * share + 1e-6)
        return min(max(self.first_at(place), least), most)

    def item(self, number: int) -> NDArray[Any]:
        """Return the ids of an item, without the boundaries."""
        return self.ids[self.start(number) + 1 : self.start(number + 1)]

    def batches(self, start: int, end: int) -> Iterator[NDArray[Any]]:
        """Yield the ids from `start` to `end`, both of which are boundaries, in arrays of whole items.

        The boundary at `end` is not yielded.
        """
        waiting: list[
            NDArray[Any]
        ] = []  # the beginning of an item that does not end in what was read
        for first in range(start, end, READ_IDS):
            block = self.ids[first : min(first + READ_IDS, end)]
            last = int(np.argmax(block[::-1] == self.boundary))
            if block[len(block) - 1 - last] != self.boundary:
                waiting.append(block)
                continue
            cut = len(block) - 1 - last
            whole = [*waiting, block[:cut]]
            if sum(map(len, whole)):
                yield np.concatenate(whole)
            waiting = [block[cut:]]
        if waiting:
            yield np.concatenate(waiting)

    def with_both_boundaries(self, end: int, most: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the first items, each with a boundary of its own at both ends, and where each begins and ends.

        Args:
            end: the index of the boundary after the last of these items, or any index in it.
            most: the largest number of ids to return, except that there is always one item.

        Returns:
            The ids, and the segments, int64 of shape (items, 2).
        """
        starts = self.starts[: max(self.first_at(end) + 1, 2)].astype(np.int64)
        begins = starts + np.arange(
            len(starts)
        )  # in the result, one more boundary for each item before
        items = max(int(np.searchsorted(begins, most, side="right")) - 1, 1)
        starts, begins = starts[: items + 1], begins[: items + 1]
        ids = np.insert(self.ids[: starts[-1] + 1], starts[1:-1], self.boundary)
        return ids, np.stack([begins[:-1], begins[1:]], axis=1)


def boundaries(ids: NDArray[Any] | IdFile, boundary: int) -> Iterator[NDArray[np.int64]]:
    """Yield the index of each boundary in `ids`, in blocks, in rising order."""
    for first in range(0, len(ids), READ_IDS):
        yield first + np.flatnonzero(ids[first : first + READ_IDS] == boundary)
