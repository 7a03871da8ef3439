"""Which units follow which properties of a text (spec/mathematics.md: Inside a network).

A property is held against every value of every unit, as they are after each character, by Pearson's
correlation. It knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import require_whole
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.model import Learner
from charloom.neurons.correlation import Correlation
from charloom.neurons.properties import Numbers, Property
from charloom.neurons.values import Choice, blocks
from charloom.spelling import count
from charloom.steps import Steps, whole

LEAST_CHARACTERS: Final = 100  # below, some unit follows anything
LEAST_CHANGES: Final = 10  # characters at which a property is not what it mostly is
TURNS: Final = (0.618034, 0.236068, 0.854102)  # shares of the text by which a property is turned:
# those of the golden section, which no text that repeats itself meets in step


@dataclass(frozen=True)
class Unit:
    """A value of a unit, and how closely it follows a property.

    Attributes:
        layer: from 0.
        unit: of the layer, from 0.
        what: h, cell or a gate.
        r: Pearson's correlation, -1 to 1.
    """

    layer: int
    unit: int
    what: str
    r: float

    def to_json(self) -> dict[str, Any]:
        """The same as what JSON can hold."""
        return {"layer": self.layer, "unit": self.unit, "what": self.what, "r": self.r}


@dataclass(frozen=True)
class Finding:
    """The units that follow a property.

    Attributes:
        property: its name.
        description: it in words.
        mean: its mean over the text; of a yes or no, the share of the characters.
        by_chance: the largest |r| of all units with the same property turned three times: what is
            not above it means nothing. None where nothing could be compared.
        units: the best, the largest |r| first. Those that never changed are not among them.
        why_none: where there is none, the reason; else empty.
    """

    property: str
    description: str
    mean: float
    by_chance: float | None
    units: tuple[Unit, ...]
    why_none: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as what JSON can hold."""
        return {
            "property": self.property,
            "description": self.description,
            "mean": self.mean,
            "by_chance": self.by_chance,
            "units": [unit.to_json() for unit in self.units],
            "why_none": self.why_none,
        }


def rank(
    learner: Learner,
    engine: Engine,
    texts: Sequence[Ids],
    properties: Sequence[Property],
    choice: Choice,
    top: int,
) -> tuple[Finding, ...]:
    """The units that follow each property best.

    Values are not kept: a block of them is read, summed up and forgotten. What grows with the text
    are the properties, four bytes for each and character.

    Args:
        learner: the model; not changed.
        engine: what computes.
        texts: ids; each text is read, and measured, by itself.
        properties: what may be followed.
        choice: which units, and which of their values.
        top: how many of them to name.

    Raises:
        TextError: the texts have fewer than 100 characters together.
        ConfigError: top is below 1, or a property gives other than one finite number a character.
        DivergedError: a value is not finite.
    """
    return whole(comparing(learner, engine, texts, properties, choice, top))


def comparing(
    learner: Learner,
    engine: Engine,
    texts: Sequence[Ids],
    properties: Sequence[Property],
    choice: Choice,
    top: int,
) -> Steps[tuple[Finding, ...]]:
    """`rank` in steps."""
    top = require_whole("top", top, least=1)
    read = [learner.vocabulary.completed(ids) for ids in texts]
    characters = sum(len(ends) for _, ends in read)
    if characters < LEAST_CHARACTERS:
        raise TextError(
            f"the text is {characters} long; to tell what units follow it needs {LEAST_CHARACTERS}."
        )
    rows = []
    for found in properties:
        rows.append(np.concatenate([_measured(found, pieces) for pieces, _ in read]))
        yield
    measured = np.stack(rows)
    turns = [int(characters * share) for share in TURNS]
    sums = Correlation((1 + len(turns)) * len(properties), choice.size)
    at = 0
    for ids, (_, ends) in zip(texts, read, strict=True):
        first = 0
        for block in blocks(learner, engine, ids, choice):
            low, high = np.searchsorted(ends, [first + 1, first + len(block) + 1])
            completed = block.reshape(len(block), -1)[ends[low:high] - 1 - first]
            first += len(block)
            if len(completed):
                places = np.arange(at, at + len(completed))
                turned = [measured[:, (places + turn) % characters] for turn in (0, *turns)]
                sums.add(np.concatenate(turned), completed)
                at += len(completed)
            yield
    r = sums.coefficients().reshape(1 + len(turns), len(properties), choice.size)
    return tuple(
        _finding(found, measured[n], r[:, n], choice, top) for n, found in enumerate(properties)
    )


def _measured(found: Property, pieces: Sequence[str]) -> Numbers:
    """A property at each piece of a text; of a piece of several characters, at its last."""
    text = "".join(pieces)
    values = np.asarray(found.measure(text))
    if values.shape != (len(text),) or not np.isfinite(values).all():
        raise ConfigError(
            f"the property {found.name} gave numbers of shape {values.shape} for a text of "
            f"{len(text)} characters; it must give one finite number for each."
        )
    if len(text) > len(pieces):
        values = values[np.cumsum([len(piece) for piece in pieces]) - 1]
    return values.astype(np.float32)


def _finding(
    found: Property, values: Numbers, r: NDArray[np.float64], choice: Choice, top: int
) -> Finding:
    """What r (1 + turns, M) says of a property; its first row is the property as it is."""
    mean = float(values.mean(dtype=np.float64))
    _, counts = np.unique(values, return_counts=True)
    changes = len(values) - int(counts.max())
    if changes < LEAST_CHANGES:
        where = f"at {count(changes)} of {count(len(values))} characters" if changes else "nowhere"
        why = f"differs {where} from what it mostly is; it needs {LEAST_CHANGES}"
        return Finding(found.name, found.description, mean, None, (), why)
    moving = np.flatnonzero(np.isfinite(r[0]))
    if not len(moving):
        why = "none of the units ever changed"
        return Finding(found.name, found.description, mean, None, (), why)
    order = moving[np.argsort(-np.abs(r[0, moving]), kind="stable")][:top]
    shape = len(choice.whats), len(choice.layers), len(choice.units)
    units = tuple(
        Unit(choice.layers[layer], choice.units[unit], choice.whats[what], float(r[0, place]))
        for place in order.tolist()
        for what, layer, unit in [np.unravel_index(place, shape)]
    )
    by_chance = float(np.nanmax(np.abs(r[1:, moving])))
    return Finding(found.name, found.description, mean, by_chance, units)
