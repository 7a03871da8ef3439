"""Holds the type of a known mistake: what it is, the equation that it breaks, its fix, cells and variants."""

import re
from dataclasses import dataclass, field
from typing import Final

from charloom.cell_table import CELL_NAMES

ALL: Final = CELL_NAMES
RNN: Final = ("rnn",)
LSTM: Final = ("lstm",)
GRU: Final = ("gru",)
GATED: Final = ("lstm", "gru")
ANY: Final = ".*"  # the value of `Mistake.consistent` for mistakes that only change the network
# Mistakes within a step that code may have at some steps only, besides those in one formula.
WITHIN_STEP: Final = (
    *("tanh-derivative", "tanh-derivative-missing", "sigmoid-derivative", "time-carry-missing"),
    *("carry-not-transposed", "carry-accumulated", "carry-without-derivative", "recurrent-carry"),
    *("carry-after-derivative", "carry-of-other-gate", "carry-of-input", "initial-cell-dropped"),
    *("gate-not-carried", "reset-gate-not-in-gradient"),
    *("forget-gate-not-carried", "forget-gradient-from-current-cell", "tanh-of-previous-cell"),
    *("output-gradient-without-tanh", "cell-carry-times-output-gate"),
)

IN_SUM_OF_GATE: Final = (
    *("sum-before-derivative", "sum-of-other-gate", "gate-gradient-not-summed"),
    "sum-of-recurrent-part",
)


@dataclass(frozen=True)
class Mistake:
    """A known mistake.

    Attributes:
        id: stable name, in kebab case.
        title: the mistake in one line.
        does: the wrong equation that the code computes.
        right: the equation in docs/spec/mathematics.md that the mistake breaks.
        section: the section of docs/spec/mathematics.md with that equation.
        fix: how to fix the mistake, in one sentence. It may have placeholders for names of
            arguments, which each interface replaces (`charloom.messages`).
        cells: the cells in which the mistake can occur.
        variants: maps each variant of the mistake to the cells in which it can occur. The name of a
            variant is stable; `variant_texts.py` has the text for users. A mistake without variants
            has only the variant "". If the dict is empty, the variants are made from the function's
            results.
        kind: "gradient" (found by predicting the gradient with the mistake), "calls" (found by
            calling the function more than once) or "numerical" (in the user's numerical gradient).
        consistent: a regular expression for the variants in which the gradient is still that of the
            code's own loss. They describe another network or another loss. None: no variant.
        in_one_formula: whether the variants are wrong formulas for one quantity of the backward step, of
            which there are many.
    """

    id: str
    title: str
    does: str
    right: str
    section: str
    fix: str
    cells: tuple[str, ...] = ALL
    variants: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"": ALL})
    kind: str = "gradient"
    consistent: str | None = None
    in_one_formula: bool = False

    @property
    def within_step(self) -> bool:
        """Whether code may have the mistake at some steps only, such as the last one."""
        return self.in_one_formula or self.id in WITHIN_STEP

    @property
    def has_place(self) -> bool:
        """Whether the mistake is made within a step, or in the sum of one gate's gradient."""
        return self.within_step or self.id in IN_SUM_OF_GATE

    def is_consistent(self, variant: str) -> bool:
        """Return True if code with this variant still returns the gradient of its own loss."""
        return self.consistent is not None and re.fullmatch(self.consistent, variant) is not None

    def variants_of(self, cell: str) -> tuple[str, ...]:
        """Return the variants of the mistake that can occur in code for `cell`.

        Return an empty tuple if the mistake cannot occur in this cell.
        """
        if cell not in self.cells:
            return ()
        return tuple(name for name, cells in self.variants.items() if cell in cells)
