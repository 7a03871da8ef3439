"""Finds the names that a user may have meant with a name that does not exist."""

from collections.abc import Iterable
from typing import Final

MOST_SIMILAR: Final = 3
LEAST_SIMILARITY: Final = 0.6  # of two names, from 0 to 1
# Names that are less similar than the best one by more than this are not meant: batch_size for hiden_size.
LARGEST_DIFFERENCE: Final = 0.15


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question with the most similar ones of `names`, such as "did you mean trials?"; "" if none is similar."""
    similar = similar_names(name, names)
    return f"did you mean {' or '.join(similar)}?" if similar else ""


def similar_names(name: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that may be meant with `name`, the most similar one first."""
    import difflib  # needed only after a mistake

    def similarity(other: str) -> float:
        return difflib.SequenceMatcher(None, other, name).ratio()

    close = difflib.get_close_matches(name, list(names), n=MOST_SIMILAR, cutoff=LEAST_SIMILARITY)
    return [one for one in close if similarity(one) >= similarity(close[0]) - LARGEST_DIFFERENCE]
