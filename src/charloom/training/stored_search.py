"""Reads the search for a learning rate of a run from its learning_rates.json (spec/formats.md: Searches).

No other module reads this file. A file with impossible values is left out as damaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeGuard

from charloom.errors import DamagedError
from charloom.run_file_names import LEARNING_RATES
from charloom.store.atomic_files import read_file
from charloom.store.format_versions import LEARNING_RATES_FORMAT, refuse_later_format
from charloom.store.journal_lines import is_finite
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE
from charloom.store.json_numbers import is_count
from charloom.training.learning_rate_search import LearningRateSearch, SearchRound

LARGEST: Final = (
    1e15  # rates, losses and numbers of updates must be smaller, so that a plot can show them
)
SMALLEST: Final = 1e-15  # of a rate
# A search has three rounds. A damaged file with hundreds of them would make a report slow and large.
MOST_ROUNDS: Final = 16


@dataclass(frozen=True)
class StoredSearch:
    """The search that was read from a run.

    Attributes:
        search: the search; None if the run has none, or if it cannot be read.
        damage: a sentence that says what could not be read; "" if everything was read.
    """

    search: LearningRateSearch | None = None
    damage: str = ""


def read_search(run: Path) -> StoredSearch:
    """Return the search for a learning rate in the run directory `run`.

    If the file is damaged, no error is raised; the result says what could not be read.

    Raises:
        NewerFormatError: a later version of charloom wrote the search.
        ReadError: the disk failed while reading.
    """
    path = run / LEARNING_RATES
    try:
        data = read_file(path, MOST_STATE)
        if data is None:
            return StoredSearch()
        values = parse_object(data, str(path))
        refuse_later_format(values, LEARNING_RATES_FORMAT, str(path))
    except DamagedError as error:
        return StoredSearch(damage=error.message)
    search = search_of(values)
    if search is None:
        return StoredSearch(damage=f"{path} is damaged: it has no search for a learning rate.")
    return StoredSearch(search)


def search_of(values: Mapping[str, Any]) -> LearningRateSearch | None:
    """Return the search with the plain data `values`; None if they are not the data of a search."""
    rate, found = values.get("learning_rate"), values.get("rounds")
    if not is_rate(rate) or not isinstance(found, list) or not 0 < len(found) <= MOST_ROUNDS:
        return None
    rounds = tuple(round_of(value) for value in found)
    if any(one is None for one in rounds):
        return None
    return LearningRateSearch(rate, tuple(one for one in rounds if one is not None))


def round_of(value: object) -> SearchRound | None:
    """Return the round with the plain data `value`; None if it is not the data of a round."""
    if not isinstance(value, Mapping):
        return None
    updates, rates, losses = map(value.get, ("updates", "learning_rates", "losses"))
    if not is_count(updates) or not 0 < updates < LARGEST:
        return None
    if not isinstance(rates, list) or not isinstance(losses, list) or len(rates) != len(losses):
        return None
    if not rates or not all(map(is_rate, rates)) or any(a >= b for a, b in pairwise(rates)):
        return None
    if not all(loss is None or (is_finite(loss) and 0 <= loss < LARGEST) for loss in losses):
        return None
    return SearchRound(updates, tuple(rates), tuple(losses))


def is_rate(value: Any) -> TypeGuard[float]:
    """Return True if a value is a possible learning rate."""
    return is_finite(value) and SMALLEST < value < LARGEST
