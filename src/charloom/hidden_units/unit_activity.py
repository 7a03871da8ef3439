"""The values of selected units of a model after each character of a text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.cooperative import Slices, run_all_slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import TextError
from charloom.hidden_units.unit_values import Choice, blocks
from charloom.model import Learner
from charloom.text.vocabulary import ALL_KNOWN, Unknowns


@dataclass(frozen=True, eq=False)
class Activity:
    """The values of some units after each character of a text.

    Attributes:
        characters: the text, one string per character that the model read. For a byte model, bytes
            that are not UTF-8 are shown as U+FFFD.
        what: name of the value that was taken from each unit: h, cell or a gate.
        layers: numbers of the layers, from 0.
        units: numbers of the units in each layer, from 0.
        values: the values in the model's dtype, shape (characters, layers, units).
        unknowns: the characters of the text that were skipped or replaced.
    """

    characters: tuple[str, ...]
    what: str
    layers: tuple[int, ...]
    units: tuple[int, ...]
    values: NDArray[Any]
    unknowns: Unknowns

    def to_json(self) -> dict[str, Any]:
        """Return all fields except `unknowns` as a dict for JSON.

        `values` becomes nested lists, indexed by character, layer and unit in this order.
        """
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
    """Return one value of each selected unit, such as h or a gate, after each character of a text.

    The model reads the text from the zero state, in one stream. The result holds characters ×
    layers × units numbers, so select only one unit for a long text.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the states.
        ids: ids of the text, shape (tokens,).
        choice: the selected units, and the name of one value, such as h or a gate.
        unknowns: the characters that were skipped or replaced when the text became ids.

    Raises:
        TextError: the text is empty.
        DivergedError: a value is not finite.
    """
    return run_all_slices(activity_in_slices(learner, engine, ids, choice, unknowns))


def activity_in_slices(
    learner: Learner,
    engine: Engine,
    ids: Ids,
    choice: Choice,
    unknowns: Unknowns = ALL_KNOWN,
) -> Slices[Activity]:
    """Do the work of `activity`, but yield after each part of the work and return the result at the end.

    The arguments are those of `activity`.
    """
    if not len(ids):
        raise TextError("the text is empty; give at least one character.")
    (what,) = choice.whats
    characters, ends = learner.vocabulary.completed(ids)
    values = []
    for block in blocks(learner, engine, ids, choice):
        values.append(block[:, 0])
        yield
    seen = np.concatenate(values)[ends - 1]
    return Activity(characters, what, choice.layers, choice.units, seen, unknowns)
