"""Gives the arrays of a program short names, and compares such names."""

import itertools
from collections.abc import Sequence
from typing import Final

from charloom.diagnosis.watching.held_arrays import Field, Place

# Words at the end of a place that do not name the array.
VALUES: Final = ("data", "value", "val", "weights", "w", "v", "W", "b", "bias", "weight")


def name_of(place: Place) -> str:
    """Return the name of an array: the last part of its place that names it."""
    words = [getattr(step, "name", str(step)) for step in place if isinstance(step, (str, Field))]
    words = [w.removeprefix("global ").removeprefix("caller's ") for w in words]
    if len(words) > 1 and words[-1] in VALUES:
        return f"{words[-2]}_{words[-1]}"
    return words[-1] if words else ""


def common_beginning(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names in lower case, without the beginning and the end that all of them have."""
    plain = [name.lower().replace("_", "") for name in names]
    if len(set(plain)) == 1:
        return plain
    first = len(common_beginning(plain))
    last = len(common_beginning([name[first:][::-1] for name in plain]))
    return [name[first : len(name) - last] or name for name in plain]
