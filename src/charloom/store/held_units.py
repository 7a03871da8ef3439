"""The held units in the metadata of a model file (spec/formats.md: Model files), written and read."""

from typing import Any, Final

from charloom.errors import DamagedError
from charloom.model import Learner
from charloom.model.clamp import Clamp
from charloom.model.unit_clamps import is_held
from charloom.store.json_numbers import is_count, is_number

HELD: Final = "held"  # field in the metadata of a model file, and of a file for PyTorch


def held_fields(learner: Learner) -> dict[str, Any]:
    """Return the field with the held units of a model; {} if it has none.

    Left out are units that other weights read again, because the weights were changed since.
    """
    held = [clamp for clamp in learner.clamps if is_held(learner, clamp)]
    return {HELD: [[c.layer, c.unit, float(c.value)] for c in held]} if held else {}


def parse_held(values: object, learner: Learner, label: str) -> tuple[Clamp, ...]:
    """Return the held units of a model from the field in its file.

    Args:
        values: the field, which is untrusted.
        learner: the model, with its parameters.
        label: the name of the file in messages.

    Raises:
        DamagedError: the field does not list different units of the model with finite values, or a weight reads
            one of the units.
    """
    config = learner.config
    wrong = DamagedError(
        f"{label} is damaged: its held units are not a list of different units, each with its layer, its number and "
        f"a finite value."
    )
    if not isinstance(values, list) or not values:
        raise wrong
    found: dict[tuple[int, int], Clamp] = {}
    for entry in values:
        if not isinstance(entry, list) or len(entry) != 3:
            raise wrong
        layer, unit, value = entry
        if not (is_count(layer) and is_count(unit) and is_number(value)):
            raise wrong
        if layer >= config.layers or unit >= config.hidden_size or (layer, unit) in found:
            raise wrong
        found[layer, unit] = Clamp(layer, unit, float(value))
    if not all(is_held(learner, clamp) for clamp in found.values()):
        raise DamagedError(f"{label} is damaged: a weight reads a unit that the file says is held.")
    return tuple(found.values())
