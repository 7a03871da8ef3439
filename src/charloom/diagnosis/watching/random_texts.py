"""Makes the random texts that a program reads: one long text, or a list of names with one name in each line."""

from typing import Final

import numpy as np

LETTERS: Final = "abcdefg"
LENGTH: Final = 1500  # number of characters of a text
LONG: Final = (
    40_000  # the same for programs that divide a text into many parts, or need many windows
)
COPIES: Final = 300  # number of lines with the first name
# The name that a program is given first: it has every letter, and no part of it repeats another part.
NAME: Final = "abcdefgcafebdg"
START, END, MARK = (
    "^",
    "$",
    ".",
)  # stand for the marks at both ends of a name, or for one mark at both


def random_text(seed: int, first: str = "", length: int = LENGTH) -> str:
    """Return a text of the letters that begins with `first`, and has every letter."""
    rng = np.random.default_rng(seed)
    rest = "".join(
        LETTERS[i] for i in rng.integers(0, len(LETTERS), length - len(first) - len(LETTERS))
    )
    return first + LETTERS + rest


def list_of_names(name: str) -> str:
    """Return lines with `name`, and last some with the other letters; all have the same length.

    A batch of the first names has the same name several times, and needs no filling at the ends.
    """
    return "\n".join([name] * COPIES + other_names(len(name))) + "\n"


def other_names(length: int) -> list[str]:
    """Return names of a length that together have every letter."""
    repeated = LETTERS * (length // len(LETTERS) + 2)
    return [
        repeated[start : start + length]
        for start in range(0, len(LETTERS), min(length, len(LETTERS)))
    ]
