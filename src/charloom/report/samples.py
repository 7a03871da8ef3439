"""Chooses the samples that a report shows from all that a run has drawn."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from charloom.evenly import Spread

MOST_SAMPLES: Final = 200


@dataclass(frozen=True)
class Sample:
    """What a network wrote at an update."""

    update: int
    text: str


@dataclass(frozen=True)
class Samples:
    """The samples to show, evenly spread over all that were `drawn`, the first and the last among them."""

    shown: tuple[Sample, ...]
    drawn: int


def gather_samples(lines: Iterable[Mapping[str, Any]]) -> Samples:
    """The samples of lines that `is_sample` has accepted."""
    spread: Spread[Sample] = Spread(MOST_SAMPLES)
    for line in lines:
        spread.add(Sample(line["update"], line["text"]))
    return Samples(tuple(spread.kept()), spread.total)
