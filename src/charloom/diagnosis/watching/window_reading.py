"""Finds in what a program held which window of the text it read: as ids, one-hot vectors or characters."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from charloom.diagnosis.problem import Array
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.iteration import Iteration, Seen
from charloom.diagnosis.watching.parameter_roles import Marks
from charloom.diagnosis.watching.random_texts import END, LENGTH, MARK, START

LEAST: Final = 4  # number of steps of a window whose ids are in the order of the characters
LEAST_OTHER: Final = (
    9  # the same for ids in another order, which a text shows only by its repetitions
)
ANY: Final = "any"  # stands in a place for the index of a step
MARKS: Final = (START, END, MARK)
NEW: Final = 1_000_000  # stands for the distance to the same item before an item that is new
UNSEEN: Final = Seen("", ())  # the place of targets that are not seen


@dataclass(frozen=True)
class Window:
    """The window of the text that an iteration read.

    Attributes:
        x, y: where its ids and its targets were seen; the step `ANY` stands for the index of a time step.
        start: its first place in the text.
        length: its number of steps.
        texts: the number of texts in a batch.
        letters: the character of each id, as far as the window shows it.
        text: the text of which it is a part; for a name, this is the name between its marks.
    """

    x: Seen
    y: Seen
    start: int
    length: int
    texts: int
    letters: dict[int, str]
    text: str

    @property
    def part(self) -> str:
        """The characters of x, and the last one of y."""
        return self.text[self.start : self.start + self.length + 1]

    def marks_with(self, ids: Mapping[str, int]) -> Marks | None:
        """Return the marks at the ends of a name, with the ids of their characters; None if there are none."""
        start, end = (ids[one] if one in MARKS else None for one in (self.part[0], self.part[-1]))
        return None if start is None and end is None else Marks(start, end)

    @property
    def is_one(self) -> bool:
        """Whether x and y are the first and the last steps of one sequence."""
        return self.x == self.y

    @property
    def wanted(self) -> Iterator[Seen]:
        """Where to look for the window; a list of steps is looked for as far as it is long."""
        for seen in (self.x, self.y):
            if seen == UNSEEN:
                continue
            if ANY not in seen.place:
                yield seen
            else:
                at = seen.place.index(ANY)
                for step in range(self.length + self.is_one):
                    yield Seen(seen.where, (*seen.place[:at], step, *seen.place[at + 1 :]))


def sequences_in(array: Array) -> Iterator[Array]:
    """Yield the sequences of ids that an array of whole numbers can mean, (texts, T): ids, or one-hot vectors."""
    numbers = array.squeeze()
    if numbers.ndim == 1 and numbers.size > 1:
        yield numbers[None].astype(int)
    if numbers.ndim == 2:
        yield from (numbers.astype(int), numbers.T.astype(int))
    if numbers.ndim in (2, 3) and np.all((numbers == 0) | (numbers == 1)):
        for axis in range(numbers.ndim):
            if numbers.shape[axis] > 1 and np.all(numbers.sum(axis) == 1):
                ids = numbers.argmax(axis)
                yield from (ids[None],) if ids.ndim == 1 else (ids, ids.T)


def lists_of_steps(arrays: dict[Seen, Array]) -> dict[Seen, Array]:
    """Return arrays of the same shape in a list as one array, whose first axis is that of the list."""
    groups: dict[Seen, dict[int, Array]] = {}
    for seen, array in arrays.items():
        if array.size > 4096:
            continue
        for at, step in enumerate(seen.place):
            if at and type(step) is int:
                place: Place = (*seen.place[:at], ANY, *seen.place[at + 1 :])
                groups.setdefault(Seen(seen.where, place), {})[step] = array
    return {
        seen: np.stack([steps[n] for n in range(len(steps))])
        for seen, steps in groups.items()
        if len(steps) > 1
        and set(steps) == set(range(len(steps)))
        and len({array.shape for array in steps.values()}) == 1
    }


def places_of(ids: Array, text: str, alphabet: str) -> Iterator[int]:
    """Yield the places of a text at which the characters repeat like the ids."""
    T = len(ids)
    if T < LEAST or len(text) < T:
        return
    if ids.min() >= 0 and ids.max() < len(alphabet):
        start = text.find("".join(alphabet[one] for one in ids))
        if start >= 0:
            yield start
            return
    if T < LEAST_OTHER:
        return
    starts = np.arange(max(min(len(text) - T + 1, LENGTH), 0))
    wanted, given = repetitions(ids.tolist()), text_repetitions(text)
    for step, distance in enumerate(wanted.tolist()):
        seen = given[starts + step]
        starts = starts[seen == distance if distance < NEW else seen > step]
        if not len(starts):
            return
    yield from starts.tolist()


def repetitions(items: Sequence[Any]) -> Array:
    """Return, for each item, how many places before it the same item stands; `NEW` for one that is new."""
    last: dict[object, int] = {}
    found = np.full(len(items), NEW)
    for place, item in enumerate(items):
        found[place] = place - last.get(item, place - NEW)
        last[item] = place
    return found


@functools.lru_cache(maxsize=4)
def text_repetitions(text: str) -> Array:
    """Return the repetitions of the characters of a text."""
    return repetitions(text)


def sequences_of(iteration: Iteration) -> Iterator[tuple[Seen, Array]]:
    """Yield the sequences of ids (texts, T) that an iteration held, with their places."""
    for seen, array in (iteration.arrays | lists_of_steps(iteration.arrays)).items():
        if array.size >= LEAST and whole(array):
            for ids in sequences_in(array):
                yield seen, ids


def find_windows(iteration: Iteration, text: str, alphabet: str) -> list[Window]:
    """Return the windows that an iteration read, the longest first.

    A window has two sequences: one at some place of the text, and one that begins a character later.
    `alphabet` are the characters of the text in their order.
    """
    found: dict[tuple[int, int], tuple[Seen, Array]] = {}
    for seen, ids in sequences_of(iteration):
        if len(ids[0]) < len(text) - 1:
            for start in places_of(ids[0], text, alphabet):
                found.setdefault((start, len(ids[0])), (seen, ids))
    windows = []
    for (start, length), (x, ids) in found.items():
        target = found.get((start + 1, length))
        if target is None:
            continue
        part = text[start : start + length + 1]
        letters = dict(zip(ids[0].tolist(), part[:-1], strict=True))
        others = dict(zip(target[1][0].tolist(), part[1:], strict=True))
        if all(letters.get(one, letter) == letter for one, letter in others.items()):
            windows.append(Window(x, target[0], start, length, len(ids), letters | others, text))
    windows = windows or windows_of_texts(iteration, text, alphabet) or windows_in_one(found, text)
    return sorted(windows, key=lambda w: (-w.length, w.start))


def windows_of_name(iteration: Iteration, name: str) -> list[Window]:
    """Return the windows that an iteration read of a name, the longest first.

    Its marks may be one character or two, and may be missing at each end.
    """
    windows: dict[tuple[int, int, str], Window] = {}
    every = list(sequences_of(iteration))
    for text in (MARK + name + MARK, START + name + END):
        found: dict[tuple[int, int], tuple[Seen, Array, dict[int, str]]] = {}
        for seen, ids in every:
            for start in (0, 1, 2):
                part = text[start : start + len(ids[0])]
                letters = dict(zip(ids[0].tolist(), part, strict=False))
                if len(part) == len(ids[0]) >= len(name) - 1 and is_written(ids[0], part):
                    found.setdefault((start, len(part)), (seen, ids, letters))
        for (start, length), (x, ids, letters) in found.items():
            target = found.get((start + 1, length))
            if target is not None and agree(letters, target[2]):
                key = start, length, text
                windows[key] = Window(
                    x, target[0], start, length, len(ids), letters | target[2], text
                )
            elif length > len(name):
                key = start, length - 1, text
                windows.setdefault(key, Window(x, x, start, length - 1, len(ids), letters, text))
    return sorted(windows.values(), key=lambda w: (w.is_one, -w.length))


def is_written(ids: Array, part: str) -> bool:
    """Return True if each id stands for one character of a text, and each character for one id."""
    return (
        len(set(zip(ids.tolist(), part, strict=True))) == len(set(part)) == len(set(ids.tolist()))
    )


def agree(letters: dict[int, str], others: dict[int, str]) -> bool:
    """Return True if two windows give the same ids to the same characters."""
    both = set((letters | others).items()) | set(letters.items())
    return len(both) == len({one for one, _ in both}) == len({one for _, one in both})


def windows_in_one(found: dict[tuple[int, int], tuple[Seen, Array]], text: str) -> list[Window]:
    """Return the windows of which an iteration held one sequence: x alone, or x with the last target behind it."""
    windows = []
    for (start, length), (seen, ids) in found.items():
        letters = dict(zip(ids[0].tolist(), text[start:], strict=False))
        windows.append(Window(seen, seen, start, length - 1, len(ids), letters, text))
        windows.append(Window(seen, UNSEEN, start, length, len(ids), letters, text))
    return windows


def windows_of_texts(iteration: Iteration, text: str, alphabet: str) -> list[Window]:
    """Return the windows that an iteration held as texts."""
    parts = {
        one: seen for seen, one in iteration.texts.items() if LEAST <= len(one) < len(text) - 1
    }
    letters = dict(enumerate(alphabet))
    return [
        Window(seen, parts[after], start, len(one), 1, letters, text)
        for one, seen in parts.items()
        if (start := text.find(one)) >= 0
        and (after := text[start + 1 : start + 1 + len(one)]) in parts
        and len(after) == len(one)
    ]


def whole(array: Array) -> bool:
    """Return True for whole numbers that are not negative and of which some are not zero."""
    return bool(np.all(array >= 0) and array.any() and np.all(array == np.round(array)))


def reads(iteration: Iteration, seen: Seen, ids: Array, letters: dict[int, str]) -> bool:
    """Return True if an iteration held these ids at a place."""
    if seen in iteration.texts:
        return iteration.texts[seen] == "".join(letters[one] for one in ids.tolist())
    array = iteration.arrays.get(seen)
    if array is None:
        array = lists_of_steps(iteration.arrays).get(seen)
    return array is not None and any(np.array_equal(one[0], ids) for one in sequences_in(array))
