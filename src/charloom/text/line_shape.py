"""Finds out whether a stream looks like a list of short lines, and whether its lines are sorted.

The results are only used for suggestions. They come from a small part of the text.
"""

from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np

from charloom.text.all_ids import AllIds
from charloom.text.vocabulary import Vocabulary

READ: Final = 1 << 16  # ids at the beginning of the text that show what its lines look like
LEAST_LINES: Final = 20  # fewer lines show nothing
SHORT: Final = (
    40  # characters; nearly all lines of a list of names, words or formulas are this short
)
ENDS_OF_SENTENCES: Final = tuple(".,;:!?…»”\"'{}")
PLACES: Final = 200  # evenly spread lines that show whether the lines are sorted
LINE: Final = 400  # ids that are read at each of these places


def looks_like_a_list(vocabulary: Vocabulary, ids: AllIds) -> int | None:
    """Return about how many lines a text has if it looks like a list of short lines; otherwise None.

    The lines of a list are short, and of about one kind: hardly any is blank or indented, as in poems and code, and
    few end like a sentence. Rows of a table, all with the same number of commas or tabs, are not a list.
    """
    text = vocabulary.decode(ids[:READ])
    lines = text.split("\n")
    if len(ids) > READ or not lines[-1]:
        lines.pop()
    if len(lines) < LEAST_LINES:
        return None

    def share(wanted: list[bool]) -> float:
        return sum(wanted) / len(lines)

    listed = (
        median(map(len, lines)) <= SHORT / 2
        and share([len(line) > SHORT for line in lines]) < 0.05
        and share([not line.strip() for line in lines]) < 0.02
        and share([line[:1].isspace() for line in lines]) < 0.02
        and share([line.rstrip().endswith(ENDS_OF_SENTENCES) for line in lines]) < 0.1
        and not any(line.startswith(("#!", "import ", "from ")) for line in lines)
        and not _is_table(lines)
    )
    return round(len(lines) * max(len(ids) / READ, 1)) if listed else None


def _is_table(lines: list[str]) -> bool:
    """Return True if nearly all lines have the same number of commas, tabs or semicolons, and at least one."""
    for mark in ",\t;":
        counts = np.array([line.count(mark) for line in lines])
        if counts[0] and (counts == counts[0]).mean() > 0.9:
            return True
    return False


def last_lines_if_sorted(vocabulary: Vocabulary, ids: AllIds) -> str | None:
    """Return one of the last lines of a text if its lines look sorted; otherwise None.

    Compares lines that are evenly spread over the text, without regard to capitals. A sorted text of many equal
    lines does not count.
    """
    places = len(ids) * np.arange(PLACES) // PLACES
    read = (vocabulary.decode(ids[place : place + LINE]) for place in places.tolist())
    parts = [text.split("\n") for text in read]
    if any(len(part) < 3 for part in parts[:-1]):
        return None  # the text has hardly any lines, or very long ones
    lines = [part[1] for part in parts[:-1]]
    compared = list(pairwise(lines))
    rising = sum(one.casefold() <= other.casefold() for one, other in compared)
    many = len(set(lines)) > len(lines) / 10
    return lines[-1] if many and rising >= 0.97 * len(compared) else None
