"""Chooses the samples of a run that a report shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from charloom.even_sample import EvenSample

MOST_SAMPLES: Final = 200


@dataclass(frozen=True)
class Sample:
    """A text that the network wrote at an update."""

    update: int
    text: str


@dataclass(frozen=True)
class Samples:
    """The samples to show, and the number of all samples that were drawn.

    The samples are spread evenly over all, and include the first and the last.
    """

    shown: tuple[Sample, ...]
    drawn: int


def gather_samples(lines: Iterable[Mapping[str, Any]]) -> Samples:
    """Return the samples of lines that `is_sample` accepts."""
    spread: EvenSample[Sample] = EvenSample(MOST_SAMPLES)
    for line in lines:
        spread.add(Sample(line["update"], line["text"]))
    return Samples(tuple(spread.kept()), spread.total)
