"""The values of selected units of a model after each character of a text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.colour_steps import HIGH, LOW, css_colour, scale, value_step
from charloom.cooperative import Slices, run_all_slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import TextError
from charloom.formatting import count
from charloom.hidden_units.gate_values import meaning
from charloom.hidden_units.unit_values import Choice, blocks
from charloom.hidden_units.value_range import usual_range
from charloom.messages import argument, for_python
from charloom.model import Learner
from charloom.model.clamp import Clamp
from charloom.notebook_html import MOST_CHARACTERS, card, colour_legend, coloured_text, sentence
from charloom.text.vocabulary import ALL_KNOWN, Unknowns


@dataclass(frozen=True, eq=False)
class Activity:
    """The values of some units after each character of a text. A notebook shows the text coloured by a unit.

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

    def _repr_html_(self) -> str:
        """Return the text coloured by the first of the units, as HTML for a notebook."""
        values = self.values[:, 0, 0].astype(np.float64)
        shown, spread = values[:MOST_CHARACTERS].tolist(), usual_range(values.tolist())
        colours, legend = [""] * len(shown), ""
        if spread is not None:
            colours = [css_colour(value_step(value, *spread), HIGH) for value in shown]
            low, high = (f"{end:.2g}" for end in spread)
            legend = colour_legend(f"{low} or less", scale(HIGH, LOW), f"{high} or more")
        title = (
            f"layer {self.layers[0]}, unit {self.units[0]}, {self.what} ({meaning(self.what)}): "
            f"from {values.min():.3g} to {values.max():.3g}"
        )
        unknown = sentence(f"{self.unknowns.sentence}.") if self.unknowns.total else ""
        text = coloured_text(self.characters, colours, legend)
        return card(title, unknown, text, self._other_units())

    def _other_units(self) -> str:
        """Return a sentence as HTML saying that other units are not shown; "" if there is only one unit."""
        units = len(self.layers) * len(self.units)
        if units == 1:
            return ""
        choice = f"{argument('layer')} and {argument('unit')}"
        more = f"This is the first of {count(units)} units. To see another one, give {choice}."
        return sentence(for_python(more), quiet=True)


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
    found = Activity(characters, what, choice.layers, choice.units, seen, unknowns)
    return with_held_values(found, learner.clamps)


def with_held_values(seen: Activity, clamps: Sequence[Clamp]) -> Activity:
    """Return the values of units in which the h of each held unit is the value at which it is held.

    Inside the network, the h of a held unit is 0, because the biases have its value.
    """
    if seen.what != "h":
        return seen
    values = seen.values.copy()
    for clamp in clamps:
        if clamp.layer in seen.layers and clamp.unit in seen.units:
            layer, unit = seen.layers.index(clamp.layer), seen.units.index(clamp.unit)
            values[:, layer, unit] = clamp.value
    return replace(seen, values=values)
