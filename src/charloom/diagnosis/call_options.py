"""Holds what the user said about their function: its form, cell, names, arguments and gates."""

from dataclasses import dataclass
from typing import Final

from charloom.cell_table import CELLS

FORMS: Final = ("auto", "natural", "course", "torch")


@dataclass(frozen=True)
class Options:
    """What the user said about their function; a field is empty if they did not say.

    Attributes:
        form: one of `FORMS`.
        cell: the name of a cell.
        names: pairs of a parameter and the user's name for it.
        gradients: the names of the items of a returned tuple, in order.
        arguments: the roles of the arguments, in order: params, x, y and h0.
        reduction: whether the loss is meant to be the "sum" or the "mean" over time.
        gates: the user's order of the gates.
    """

    form: str = "auto"
    cell: str = ""
    names: tuple[tuple[str, str], ...] = ()
    gradients: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    reduction: str = "sum"
    gates: str = ""

    @property
    def has_cell_state(self) -> bool:
        """Return True if the cell has a second state, c0, which the function also gets."""
        return self.cell != "" and "cell" in CELLS[self.cell].states
