"""A hidden unit that is held at a value, as plain data. `unit_clamps` changes the weights of a network for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Clamp:
    """A hidden unit that is held at a value.

    Attributes:
        layer: number of the layer, from 0.
        unit: number of the unit in its layer, from 0.
        value: the value that every reader of the unit's h reads at every step.
    """

    layer: int
    unit: int
    value: float

    @property
    def sentence(self) -> str:
        """A sentence that says which unit is held at which value."""
        return f"Unit {self.unit} of layer {self.layer} is held at {self.value:g}."
