"""Names the blocks of the gradients: the rows of each gate in U, W and b, and V, c and d as wholes."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from charloom.cell_table import CELLS
from charloom.diagnosis.problem import Array


class Block(NamedTuple):
    """A part of a gradient: the parameter, and the gate whose rows they are.

    `gate` is "" for the whole gradient of V, c or d, and for each parameter of a plain RNN.
    """

    parameter: str
    gate: str = ""

    @property
    def name(self) -> str:
        """The block in a message, such as "dV", or "the rows of f in dW"."""
        return (
            f"the rows of {self.gate} in d{self.parameter}" if self.gate else f"d{self.parameter}"
        )


def blocks_of(cell: str, arrays: Mapping[str, Array]) -> Iterator[tuple[Block, slice]]:
    """Yield each block of a network with this cell, with the rows of the parameter that it has.

    `arrays` has an array for each parameter, such as the parameter itself.
    """
    gates = CELLS[cell].gates
    for name, array in arrays.items():
        if not gates or name not in ("U", "W", "b"):
            yield Block(name), slice(None)
            continue
        H = len(array) // len(gates)
        for gate in gates:
            yield Block(name, gate), CELLS[cell].rows(gate, H)
