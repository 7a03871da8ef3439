"""Find the units that follow properties of a text (spec/mathematics.md: Inside a network).

Pearson's correlation compares each property with every value of every unit, over all characters of
the text. This module does not depend on files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import require_whole
from charloom.cooperative import Slices, run_all_slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.formatting import count, counted
from charloom.hidden_units.correlation import Correlation
from charloom.hidden_units.text_properties import Numbers, Property
from charloom.hidden_units.unit_values import Choice, blocks
from charloom.model import Learner

# Least number of characters in which units can be ranked. In a shorter text, some unit follows any
# property by chance.
LEAST_CHARACTERS: Final = 100
# Units are compared with a property only if its value differs from its most frequent value at this
# many characters or more.
LEAST_CHANGES: Final = 10
# The fractions of the text by which a property is shifted cyclically, to find how large a correlation
# by chance can be. They come from the golden section, so that no shift is a period of a repetitive
# text.
TURNS: Final = (0.618034, 0.236068, 0.854102)


@dataclass(frozen=True)
class Unit:
    """One value of a unit, and its correlation with a property.

    Attributes:
        layer: number of the layer, from 0.
        unit: number of the unit in its layer, from 0.
        what: name of the value: h, cell or a gate.
        r: Pearson's correlation with the property, from -1 to 1.
    """

    layer: int
    unit: int
    what: str
    r: float


@dataclass(frozen=True)
class Finding:
    """The units that follow a property.

    Attributes:
        property: name of the property.
        description: the property in words.
        mean: mean of the property over the text. For a property that is 0 or 1, this is the
            fraction of characters with 1.
        by_chance: the largest |r| between a unit and any of three copies of the property that are
            shifted cyclically. A unit with an |r| up to this value may follow the property by
            chance. None if `units` is empty.
        units: the units with the largest |r|, largest first. Units whose values never changed are
            left out.
        why_none: the reason why `units` is empty; "" if `units` is not empty.
    """

    property: str
    description: str
    mean: float
    by_chance: float | None
    units: tuple[Unit, ...]
    why_none: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dict for JSON."""
        return {**asdict(self), "units": list(map(asdict, self.units))}


def rank(
    learner: Learner,
    engine: Engine,
    texts: Sequence[Ids],
    properties: Sequence[Property],
    choice: Choice,
    top: int,
) -> tuple[Finding, ...]:
    """Return, for each property, the units that follow it best.

    The units' values are computed block by block and not stored. Only the numbers of the properties
    are stored: four bytes for each property and character.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the states.
        texts: ids of each text. Each text is read from the zero state, and the properties are
            computed for each text separately.
        properties: the properties of the text to compare with the values of the units.
        choice: the selected units and their selected values, such as h or a gate.
        top: how many units to return for each property.

    Raises:
        TextError: all texts together have fewer than 100 characters.
        ConfigError: `top` is below 1, or a property does not return one finite number per
            character.
        DivergedError: a unit's value is not finite.
    """
    return run_all_slices(rank_in_slices(learner, engine, texts, properties, choice, top))


def rank_in_slices(
    learner: Learner,
    engine: Engine,
    texts: Sequence[Ids],
    properties: Sequence[Property],
    choice: Choice,
    top: int,
) -> Slices[tuple[Finding, ...]]:
    """Do the work of `rank`, but yield after each part of the work and return the result at the end.

    The arguments are those of `rank`.
    """
    top = require_whole("top", top, least=1)
    read = [learner.vocabulary.completed(ids) for ids in texts]
    characters = sum(len(ends) for _, ends in read)
    if characters < LEAST_CHARACTERS:
        raise TextError(
            f"the text has {counted(characters, 'character')}; give at least {LEAST_CHARACTERS}. In a "
            f"shorter text, some unit follows any property by chance."
        )
    rows = []
    for found in properties:
        rows.append(np.concatenate([property_values(found, pieces) for pieces, _ in read]))
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


def property_values(found: Property, pieces: Sequence[str]) -> Numbers:
    """Return one number of the property `found` for each piece of a text.

    A piece is usually one character. A piece of several characters gets the number of its last
    character.

    Raises:
        ConfigError: the property does not return one finite number per character.
    """
    text = "".join(pieces)
    values = np.asarray(found.measure(text))
    if values.shape != (len(text),) or not np.isfinite(values).all():
        raise ConfigError(
            f"the property {found.name} returned numbers of shape {values.shape} for a text of "
            f"{counted(len(text), 'character')}; it must return one finite number per character."
        )
    if len(text) > len(pieces):
        values = values[np.cumsum([len(piece) for piece in pieces]) - 1]
    return values.astype(np.float32)


def _finding(
    found: Property, values: Numbers, r: NDArray[np.float64], choice: Choice, top: int
) -> Finding:
    """Return the units that follow one property best, with the correlation that chance can explain.

    Args:
        found: the property.
        values: the property's numbers, shape (characters,).
        r: correlations with the M selected values of the units, shape (1 + copies, M). Row 0 is for
            the property itself; each other row is for a copy of the property that was shifted along
            the text.
        choice: the units and their values.
        top: how many units to return.
    """
    mean = float(values.mean(dtype=np.float64))
    _, counts = np.unique(values, return_counts=True)
    changes = len(values) - int(counts.max())
    if changes < LEAST_CHANGES:
        where = f"at {count(changes)} of {count(len(values))} characters" if changes else "nowhere"
        why = f"differs {where} from its most frequent value; at least {LEAST_CHANGES} are needed"
        if found.why_absent and not values.any():
            why = found.why_absent
        return Finding(found.name, found.description, mean, None, (), why)
    moving = np.flatnonzero(np.isfinite(r[0]))
    if not len(moving):
        why = "no unit ever changed its value"
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
