"""The recurrent cells: the gates, states and parameters of each, in PyTorch's order.

This module holds no equations. The reference engine, the kernels and the doctor each implement the
equations themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

CellName = Literal["rnn", "lstm", "gru"]


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    Attributes:
        name: the value of the setting `cell`.
        title: the cell in words, such as "an LSTM".
        torch_class: name of the cell's class in torch.nn.
        states: names of the arrays that make up a layer's state.
        gates: the gates in order, one letter per gate as in the equations; "" for the plain cell.
        sigmoid_gates: the gates with values from 0 to 1. The other gates have values from -1 to 1.
        second_bias: the gate with a second bias, d, which PyTorch keeps in bias_hh; "" if no gate
            has one.
        onnx_gates: the gates in ONNX's order; "" for the plain cell.
    """

    name: CellName
    title: str
    torch_class: str
    states: tuple[str, ...] = ("h",)
    gates: str = ""
    sigmoid_gates: str = ""
    second_bias: str = ""
    onnx_gates: str = ""

    @property
    def blocks(self) -> str:
        """Return a letter for each block of H rows of U, W and b.

        The letters are those of `gates`; the plain cell has a single block, "a".
        """
        return self.gates or "a"

    @property
    def onnx_blocks(self) -> str:
        """Return the letters of `blocks` in the order in which ONNX's operators have the blocks."""
        return self.onnx_gates or "a"

    def rows(self, gate: str, H: int) -> slice:
        """Return the rows of U, W and b that belong to a gate, for H units.

        `gate` is the letter of the gate, such as "f"; "a" for the single block of the plain cell.
        """
        block = self.blocks.index(gate)
        return slice(block * H, (block + 1) * H)

    def shapes(self, H: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of each parameter of a layer with H units and `inputs` inputs."""
        rows = len(self.blocks) * H
        matrices: dict[str, tuple[int, ...]] = {"U": (rows, inputs), "W": (rows, H), "b": (rows,)}
        return {**matrices, "d": (H,)} if self.second_bias else matrices


# All cells by name. The kernels number the cells in the order of this dict.
CELLS: Final[Mapping[str, Cell]] = MappingProxyType(
    {
        cell.name: cell
        for cell in (
            Cell("rnn", "a plain recurrent network", "RNN"),
            Cell(
                "lstm",
                "an LSTM",
                "LSTM",
                ("h", "cell"),
                gates="ifgo",
                sigmoid_gates="ifo",
                onnx_gates="iofg",
            ),
            Cell(
                "gru",
                "a GRU",
                "GRU",
                gates="rzn",
                sigmoid_gates="rz",
                second_bias="n",
                onnx_gates="zrn",
            ),
        )
    }
)
CELL_NAMES: Final = tuple(CELLS)


def in_table_order(gates: str) -> str:
    """Return the letters of `gates` in the order in which U, W and b store the gates.

    Raises:
        StopIteration: no cell has exactly these gates.
    """
    return next(cell.blocks for cell in CELLS.values() if sorted(cell.blocks) == sorted(gates))
