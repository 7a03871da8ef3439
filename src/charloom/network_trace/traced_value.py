"""One value of a traced network, and the list in which the steps of the computation note their values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Part = Literal["given", "forward", "backward", "gradients"]
PARTS: Final[tuple[Part, ...]] = ("given", "forward", "backward", "gradients")


@dataclass(frozen=True, eq=False)
class TracedValue:
    """One value of a traced network.

    Attributes:
        name: its name in spec/mathematics.md with its step, such as "h_1". In a network of several layers,
            the values of a layer begin with "layers.l.".
        numbers: the value: a number, a vector or a matrix.
        equation: the equation without its left side, such as "tanh(a_1)"; "" for a given value.
        part: the part of the computation to which it belongs.
        step: the step of the window, from 1; None for a value that belongs to the whole window.
    """

    name: str
    numbers: Array
    equation: str
    part: Part
    step: int | None = None

    @property
    def statement(self) -> str:
        """The whole equation, such as "h_1 = tanh(a_1)"; only the name of a given value."""
        return f"{self.name} = {self.equation}" if self.equation else self.name


class ValueList:
    """Collects the values of a network in the order of their computation.

    Attributes:
        values: the values so far, by name.
        part: the part to which the next values belong.
        step: the step to which the next values belong.
    """

    def __init__(self) -> None:
        self.values: dict[str, TracedValue] = {}
        self.part: Part = "given"
        self.step: int | None = None

    def begin(self, part: Part, step: int | None = None) -> None:
        """Let the next values belong to another part or step."""
        self.part, self.step = part, step

    def note(self, name: str, numbers: Any, equation: str = "") -> Array:
        """Add a value, and return its numbers."""
        array = np.asarray(numbers)
        self.values[name] = TracedValue(name, array, equation, self.part, self.step)
        return array

    def __getitem__(self, name: str) -> Array:
        return self.values[name].numbers


class LayerValues:
    """The values of one layer in a `ValueList`; their names begin with a prefix.

    Attributes:
        prefix: the beginning of the names: "" in a network of one layer.
        parameters: the parameters of the layer by their symbols, such as "W".
    """

    def __init__(self, noted: ValueList, prefix: str, parameters: Mapping[str, Array]) -> None:
        self.prefix = prefix
        self.parameters = parameters
        self._noted = noted

    def note(self, name: str, numbers: Any, equation: str = "") -> Array:
        """Add a value of the layer, and return its numbers.

        In `equation`, the sign @ stands for the prefix of the layer, as in "tanh(@a_1)".
        """
        return self._noted.note(self.prefix + name, numbers, equation.replace("@", self.prefix))

    def __getitem__(self, name: str) -> Array:
        return self._noted[self.prefix + name]
