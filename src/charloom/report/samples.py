"""Chooses the samples of a run that a report shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from charloom.even_sample import EvenSample
from charloom.training import Sample

MOST_SAMPLES: Final = 200


@dataclass(frozen=True)
class Samples:
    """The samples that a report shows.

    Attributes:
        shown: the samples to show. They are spread evenly over the run, and include its first and its last
            sample.
        drawn: number of all samples of the run.
    """

    shown: tuple[Sample, ...]
    drawn: int


def gather_samples(lines: Iterable[Mapping[str, Any]]) -> Samples:
    """Return the samples that a report shows. `lines` are those of samples.jsonl.

    `is_sample` must have accepted each line.
    """
    spread: EvenSample[Sample] = EvenSample(MOST_SAMPLES)
    for line in lines:
        spread.add(Sample(line["update"], line["text"]))
    return Samples(tuple(spread.kept()), spread.total)
