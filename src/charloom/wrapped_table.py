"""Lays out a table whose cells are texts, for a terminal. The texts are wrapped to the width of their columns.

A character is as wide as a terminal shows it: combining characters have no width, and East Asian ones are two wide.
"""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from charloom.formatting import harmless

BETWEEN: Final = " | "  # what stands between two columns
LEAST_WIDTH: Final = (
    18  # of a column; if the terminal is too narrow, the columns are shown in several tables
)
TAB: Final = 4  # spaces for a tab, which would break the columns
WIDE_CLASSES: Final = ("W", "F")  # the East Asian widths of characters that are two wide
NO_WIDTH: Final = ("Mn", "Me", "Cf")  # the categories of characters without a width


def table_of_texts(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int
) -> list[str]:
    """Return the lines of a table of texts, each at most `width` wide.

    Each row begins with a line that has its name. If the columns would be narrower than `LEAST_WIDTH`, the lines
    are those of several tables with fewer columns, below one another.

    Args:
        heads: the heading of each column.
        rows: the name of each row, and its texts, one for each column.
        width: the width of the terminal in characters.
    """
    most = max(1, (width + len(BETWEEN)) // (LEAST_WIDTH + len(BETWEEN)))
    tables = math.ceil(len(heads) / most)
    together = math.ceil(len(heads) / tables)
    lines: list[str] = []
    for first in range(0, len(heads), together):
        columns = slice(first, first + together)
        part = [(name, texts[columns]) for name, texts in rows]
        lines += ([""] if lines else []) + _one_table(heads[columns], part, width)
    return lines


def _one_table(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int
) -> list[str]:
    """Return the lines of a table all of whose columns stand side by side."""
    column = max(1, (width - len(BETWEEN) * (len(heads) - 1)) // len(heads))
    lines = list(_side_by_side([wrapped(head, column) for head in heads], column))
    for name, texts in rows:
        lines.append(f"--- {name} ".ljust(width, "-")[:width])
        lines += _side_by_side([wrapped(text, column) for text in texts], column)
    return lines


def _side_by_side(cells: Sequence[Sequence[str]], column: int) -> Iterator[str]:
    """Yield the lines of a row, whose cells are given as lines of at most `column` characters."""
    for n in range(max(map(len, cells))):
        parts = [cell[n] if n < len(cell) else "" for cell in cells]
        yield BETWEEN.join(part + " " * (column - shown_width(part)) for part in parts).rstrip()


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines that are at most `width` wide, with visible signs instead of control characters.

    A line is cut at its last space, which is left out, or else between two characters. A line break of the
    text ends a line, and spaces at the beginning of a line are kept.
    """
    lines: list[str] = []
    for line in harmless(text.replace("\r\n", "\n")).expandtabs(TAB).split("\n"):
        rest = line
        while shown_width(rest) > width:
            end = fitting(rest, width)
            space = rest.rfind(" ", 0, end + 1)
            if rest[:space].strip() and space > 0:
                lines.append(rest[:space])
                rest = rest[space + 1 :]
            else:
                lines.append(rest[:end])
                rest = rest[end:]
        lines.append(rest)
    return lines


def fitting(text: str, width: int) -> int:
    """Return how many characters at the beginning of a text are at most `width` wide together; at least one."""
    taken = 0
    for n, character in enumerate(text):
        taken += shown_width(character)
        if taken > width:
            return max(n, 1)
    return len(text)


def shown_width(text: str) -> int:
    """Return the width of a text in a terminal, in columns."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(character) in NO_WIDTH
        else 1 + (unicodedata.east_asian_width(character) in WIDE_CLASSES)
        for character in text
    )
