"""Holds what the user said about their function: its form, cell, names, arguments and gates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.trials import FREE, Fixed

FORMS: Final = ("auto", "natural", "course", "torch")


@dataclass(frozen=True)
class Options:
    """What the user said about their function; a field is empty if they did not say.

    Attributes:
        form: one of `FORMS`.
        cell: the name of a cell, such as "lstm".
        names: maps charloom's name of a parameter to the user's name for it.
        gradients: for each item of the tuple that the function returns: the parameter whose
            gradient it is, "loss", or "_" for anything else.
        arguments: the roles params, x, y and h0 in the order of the function's arguments.
        reduction: whether the loss is meant to be the "sum" or the "mean" over time.
        gates: the user's order of the gates.
        network: the differences from the specification that the network is meant to have, each the id
            and the variant of a mistake in `mistakes.py`.
        sizes: what the function fixes of the trials, such as H and K.
    """

    form: str = "auto"
    cell: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    reduction: str = "sum"
    gates: str = ""
    network: tuple[tuple[str, str], ...] = ()
    sizes: Fixed = FREE

    @property
    def has_cell_state(self) -> bool:
        """Return True if `cell` has two states (LSTM), so that the function gets c0 besides h0."""
        return self.cell != "" and "cell" in CELLS[self.cell].states
