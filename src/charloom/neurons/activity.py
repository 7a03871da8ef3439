"""The values of chosen units of a model at each character of a text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import TextError
from charloom.model import Learner
from charloom.neurons.values import Choice, blocks
from charloom.steps import Steps, whole
from charloom.text.vocabulary import ALL_KNOWN, Unknowns


@dataclass(frozen=True, eq=False)
class Activity:
    """The values of some units after each character of a text.

    Attributes:
        characters: the text, one string for each character that the model read. Of a model of
            bytes, bytes that are no UTF-8 show as U+FFFD.
        what: which value of a unit: h, cell or a gate.
        layers: the layers, from 0.
        units: the units of each, from 0.
        values: in the model's dtype, shape (characters, layers, units).
        unknowns: the characters of the text that were skipped or replaced.
    """

    characters: tuple[str, ...]
    what: str
    layers: tuple[int, ...]
    units: tuple[int, ...]
    values: NDArray[Any]
    unknowns: Unknowns

    def to_json(self) -> dict[str, Any]:
        """The same as what JSON can hold: `values` as lists by character, layer and unit."""
        return {
            "characters": list(self.characters),
            "what": self.what,
            "layers": list(self.layers),
            "units": list(self.units),
            "values": self.values.tolist(),
        }


def activity(
    learner: Learner,
    engine: Engine,
    ids: Ids,
    choice: Choice,
    unknowns: Unknowns = ALL_KNOWN,
) -> Activity:
    """What units do while the model reads a text from the zero state, in one stream.

    It keeps characters × layers × units numbers: of a long text, choose a unit.

    Args:
        learner: the model; not changed.
        engine: what computes.
        ids: the text.
        choice: which units, and one of their values.
        unknowns: what of the text is not in the ids as it was.

    Raises:
        TextError: the text is empty.
        DivergedError: a value is not finite.
    """
    return whole(looking(learner, engine, ids, choice, unknowns))


def looking(
    learner: Learner,
    engine: Engine,
    ids: Ids,
    choice: Choice,
    unknowns: Unknowns = ALL_KNOWN,
) -> Steps[Activity]:
    """`activity` in steps."""
    if not len(ids):
        raise TextError("the text is empty; to see what units do, give some of it.")
    (what,) = choice.whats
    characters, ends = learner.vocabulary.completed(ids)
    values = []
    for block in blocks(learner, engine, ids, choice):
        values.append(block[:, 0])
        yield
    seen = np.concatenate(values)[ends - 1]
    return Activity(characters, what, choice.layers, choice.units, seen, unknowns)
