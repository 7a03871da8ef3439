"""Lays out the table of a comparison as lines of text for the width of a terminal. It does not know what runs are."""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from charloom.formatting import UNKNOWN
from charloom.formatting import table as text_table

LEAST_HEAD: Final = 9  # columns of a heading that is wrapped
PIECES: Final = re.compile(r"[^ _]+_?| ")  # where a heading may be wrapped
STATE: Final = "state"  # the last column, which a narrow table leaves out if all runs are finished
FINISHED: Final = "finished"
LEAST_TEXT: Final = 20  # columns of the text that a line may have beside the name of the run

Rows = Sequence[Sequence[str]]


def comparison_lines(heads: Sequence[str], rows: Rows, settings: int, width: int) -> list[str]:
    """Return the lines of a table with a row for each run, at most `width` wide if its entries allow it.

    A table that is too wide has a column for each run. If that is too wide too, the settings are shown first, and the
    figures of each run below: the settings as a table, or for each run as those that most of the runs do not have. The
    state is then left out if all runs are finished.

    Args:
        heads: the headings: that of the names of the runs, those of settings, and those of figures.
        rows: the entries of each run below these headings.
        settings: the number of settings.
        width: the width of the terminal in characters.
    """
    for lines in (text_table(heads, rows), upright(heads, rows)):
        if widest(lines) <= width:
            return lines
    if len({row[-1] for row in rows}) == 1 and heads[-1] == STATE and rows[0][-1] == FINISHED:
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    first = [row[0] for row in rows]
    own, figures = slice(1, settings + 1), slice(settings + 1, None)
    tables = []
    if settings:
        values = [row[own] for row in rows]
        tables.append(one_table(heads[0], first, heads[own], values, width))
        if widest(tables[0]) > width:
            tables[0] = differences_from_most(heads[0], first, heads[own], values, width)
    tables += wrapped_tables(heads[0], first, heads[figures], [row[figures] for row in rows], width)
    return [line for n, lines in enumerate(tables) for line in ([""] if n else []) + lines]


def widest(lines: Sequence[str]) -> int:
    """Return the length of the longest line."""
    return max(map(len, lines))


def upright(heads: Sequence[str], rows: Rows) -> list[str]:
    """Return the lines of a table with a row for each of `heads`, and a column for each of `rows`."""
    first, *others = zip(heads, *rows, strict=True)
    return text_table(first, others)


def wrapped_tables(
    head: str, names: Sequence[str], heads: Sequence[str], rows: Rows, width: int
) -> list[list[str]]:
    """Return the lines of as many tables as are needed, so that each is at most `width` wide or has one column.

    Each table begins with the names of the rows, below `head`.
    """
    tables, begin = [], 0
    while begin < len(heads):
        end = len(heads)
        while True:
            part = slice(begin, end)
            lines = one_table(head, names, heads[part], [row[part] for row in rows], width)
            if widest(lines) <= width or end == begin + 1:
                break
            end -= 1
        tables.append(lines)
        begin = end
    return tables


def one_table(
    head: str, names: Sequence[str], heads: Sequence[str], rows: Rows, width: int
) -> list[str]:
    """Return the lines of a table with a column of names. Its headings are wrapped if it is wider than `width`."""
    body = [[name, *row] for name, row in zip(names, rows, strict=True)]
    lines = text_table([head, *heads], body)
    if widest(lines) <= width:
        return lines
    wrapped = [
        wrapped_head(title, max(LEAST_HEAD, *(len(row[n]) for row in rows)))
        for n, title in enumerate(heads)
    ]
    height = max(map(len, wrapped), default=1)
    columns = [[""] * (height - len(lines)) + lines for lines in wrapped]
    tops = list(zip([""] * (height - 1) + [head], *columns, strict=True))
    return text_table(tops[0], [*tops[1:], *body])


def wrapped_head(head: str, width: int) -> list[str]:
    """Return a heading in lines of at most `width` characters, if its words are not longer."""
    lines = [""]
    for piece in PIECES.findall(head):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines if line.strip()]


def differences_from_most(
    head: str, names: Sequence[str], heads: Sequence[str], rows: Rows, width: int
) -> list[str]:
    """Return lines that name the settings of most runs, and for each run those in which it differs from them."""
    most = most_common(heads, rows)
    own = [", ".join(different(heads, row, most)) for row in rows]
    left = min(max(map(len, [head, *names])), width - LEAST_TEXT)
    lines = [f"{head:<{left}}  settings that differ from those of most runs"]
    for name, text in zip(names, own, strict=True):
        lines += hanging(f"{name:<{left}}  ", text or UNKNOWN, left + 2, width)
    usual = ", ".join(f"{setting} {value}" for setting, value in most.items())
    return [*lines, *(["", *hanging("most runs: ", usual, 11, width)] if usual else [])]


def most_common(heads: Sequence[str], rows: Rows) -> dict[str, str]:
    """Return the most common value of each setting, if at least two runs have it."""
    counted = {
        setting: Counter(row[n] for row in rows if row[n] != UNKNOWN).most_common(1)
        for n, setting in enumerate(heads)
    }
    return {setting: top[0][0] for setting, top in counted.items() if top and top[0][1] > 1}


def different(heads: Sequence[str], row: Sequence[str], most: Mapping[str, str]) -> list[str]:
    """Return the settings of a run with their values, as text, without those that have the most common value."""
    return [
        f"{setting} {value}"
        for setting, value in zip(heads, row, strict=True)
        if value not in (UNKNOWN, most.get(setting))
    ]


def hanging(name: str, text: str, indent: int, width: int) -> list[str]:
    """Return a name and a text in lines of `width`, which are indented from the second one on."""
    # A setting and its value stay together.
    joined = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in text.split(", "))
    lines = textwrap.wrap(
        joined, width, initial_indent=name, subsequent_indent=" " * indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
