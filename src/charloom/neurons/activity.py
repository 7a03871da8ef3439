"""Activity: what chosen units of a model do at each character of a text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.errors import TextError
from charloom.model import Learner
from charloom.neurons.values import blocks, choose
from charloom.text.vocabulary import Unknowns


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
    text: str,
    *,
    layer: int | None = None,
    unit: int | None = None,
    what: str = "h",
    unknown: str = "refuse",
    replacement: str = "",
) -> Activity:
    """What units do while the model reads a text from the zero state, in one stream.

    It keeps characters × layers × units numbers: of a long text, choose a unit.

    Args:
        learner: the model; not changed.
        engine: what computes.
        text: one character or more.
        layer: from 0; None takes all.
        unit: of each layer, from 0; None takes all.
        what: h; of an LSTM also cell and the gates i, f, g, o; of a GRU the gates r, z, n.
        unknown: what to do with a character that the model never read: refuse, skip or replace.
        replacement: the character that stands for unknown ones then.

    Raises:
        TextError: the text is empty.
        UnknownCharacterError: the text has a character that the model never read.
        ConfigError: no such layer, unit, value or treatment of unknown characters.
        DivergedError: a value is not finite.
    """
    choice = choose(learner, layer, unit, what)
    encoded = learner.vocabulary.encode_with(text, unknown, replacement)
    if not len(encoded.ids):
        raise TextError("the text is empty; to see what units do, give some of it.")
    characters, ends = learner.vocabulary.completed(encoded.ids)
    whole = np.concatenate([block[:, 0] for block in blocks(learner, engine, encoded.ids, choice)])
    return Activity(
        characters, what, choice.layers, choice.units, whole[ends - 1], encoded.unknown
    )
