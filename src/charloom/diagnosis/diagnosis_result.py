"""What the doctor found, as plain data, and the sentences that say it.

It computes no gradient, and knows nothing of files, pictures or terminals.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from charloom.diagnosis.faulty_network import GATES
from charloom.diagnosis.mistakes import BY_ID, Mistake
from charloom.formatting import listing, number_of, scientific
from charloom.gradient_errors import rank
from charloom.messages import argument, for_python

RIGHT: Final = "right"
WRONG: Final = "wrong"
LOSS: Final = "loss"  # what the row of the loss is called, beside those of the parameters


@dataclass(frozen=True)
class Found:
    """A mistake as it was found.

    Attributes:
        id: of the mistake in `MISTAKES`.
        variant: which way of making it; "" where there is only one. Of gates in another order it is
            the order in which the function takes them.
        wanted: the order of the gates that the user gave; "" where none was given.
    """

    id: str
    variant: str = ""
    wanted: str = ""

    @property
    def mistake(self) -> Mistake:
        """What it is, in words and equations."""
        return BY_ID[self.id]

    @property
    def title(self) -> str:
        """What it is, in a line: with the names of the gradients, where the variant has them."""
        if self.id == "gradient-scaled" and self.variant:
            return listing([scaled(part) for part in self.variant.split(", ")])
        if self.id == "not-a-number" and self.variant:
            if self.variant == "everything":
                return "everything that it returned is not a number (NaN or infinite)"
            verb = "are" if " and " in self.variant else "is"
            return f"{self.variant} {verb} not a number (NaN or infinite)"
        if self.id == "gate-order" and self.variant:
            wanted = ", ".join(self.wanted or self._own_gates)
            return f"the gates stand in the order {', '.join(self.variant)}, not {wanted}"
        return self.mistake.title

    @property
    def marked_fix(self) -> str:
        """What to do, as a marked message, which each face spells (`charloom.messages`)."""
        if self.id == "gate-order" and self.variant:
            return self._gate_order_fix
        return self.mistake.fix

    @property
    def _gate_order_fix(self) -> str:
        """Take the blocks in the wanted order, or tell the doctor the order of the function."""
        given = ", the order that you gave" if self.wanted else ""
        fix = f"take the blocks as {', '.join(self.wanted or self._own_gates)}{given}"
        if self.variant == self._own_gates:
            return f"{fix}; if the function's order is meant, leave {argument('gates')} out."
        return f"{fix}; if the function's order is meant, say {argument('gates', self.variant)}."

    @property
    def _own_gates(self) -> str:
        """The specification's order of the gates that the variant orders."""
        return next(own for own in GATES.values() if sorted(own) == sorted(self.variant))

    @property
    def fix(self) -> str:
        """What to do, for people who called the Python function."""
        return for_python(self.marked_fix)

    @property
    def right(self) -> str:
        """The equation of spec/mathematics.md that it breaks, in one line, for one stream."""
        line = self.mistake.right.replace("\n", " ")
        return f"{line}, with B = 1 here" if re.search(r"\bB\b", line) else line


@dataclass(frozen=True)
class Row:
    """One parameter (or "loss") in one trial.

    Attributes:
        trial: the place of the trial in `Tried.trials`.
        parameter: U, W, b, d, V, c or loss.
        absolute, elementwise, norm_relative: the errors (spec/mathematics.md: The gradient check).
        limit: the largest norm-relative error that rounding explains.
        index: the place of the worst entry; empty for the loss.
        given, exact: what the function has there, and what is right.
    """

    trial: int
    parameter: str
    absolute: float
    elementwise: float
    norm_relative: float
    limit: float
    index: tuple[int, ...]
    given: float
    exact: float

    @property
    def passed(self) -> bool:
        """Whether the error is within its limit; NaN is not."""
        return self.norm_relative <= self.limit


@dataclass(frozen=True)
class TrialInfo:
    """What a trial was: name, sizes H, T, K, sigma of the weights, and the state it starts from."""

    name: str
    hidden_size: int
    seq_length: int
    vocabulary_size: int
    sigma: float
    state: str


@dataclass(frozen=True)
class Tried:
    """What was tried: for the certificate, and for whoever wants to try it again."""

    cell: str
    dtype: str
    reduction: str
    seed: int
    convention: str
    calls: int
    trials: tuple[TrialInfo, ...]


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The doctor's answer.

    Attributes:
        verdict: "right" or "wrong".
        found: the mistakes by name, likeliest first; empty where the function is right, or where
            no known mistake explains it.
        explanations: each set of mistakes that explains all trials alone, likeliest first; more
            than one where no trial tells them apart.
        exact: whether the explanation predicts every number in every trial. Where it is False,
            each wrong parameter is explained on its own, or the loss stays unexplained.
        rows: errors of each parameter and the loss in each trial.
        errors_by_step: for each parameter, and each step t of the first trial's window, how far
            what step t's loss adds to the gradient is from what it should add, norm-relative.
        clues: what can be said besides: where it first goes wrong, which parameters are right.
        notes: what was noticed and is no mistake.
        tried: what was tried.
        seconds: how long it took.
        numerical: the same rows of the user's own numerical gradient, where it was given.
        subject: what was judged, FILE.py:FUNCTION or the function's name.
    """

    verdict: str
    found: tuple[Found, ...]
    explanations: tuple[tuple[Found, ...], ...]
    exact: bool
    rows: tuple[Row, ...]
    errors_by_step: dict[str, tuple[float, ...]]
    clues: tuple[str, ...]
    notes: tuple[str, ...]
    tried: Tried
    seconds: float
    numerical: tuple[Row, ...] = ()
    subject: str = ""

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.subject or 'a function'}: {self.headline()}>"

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The ids of the mistakes, likeliest first."""
        return tuple(dict.fromkeys(one.id for one in self.found))

    @property
    def passed(self) -> bool:
        """Whether the function is right."""
        return self.verdict == RIGHT

    def worst(self) -> Row:
        """The row with the largest norm-relative error."""
        return max(self.rows, key=lambda row: rank(row.norm_relative))

    def headline(self) -> str:
        """The verdict in a sentence."""
        if self.passed:
            error = scientific(self.worst().norm_relative)
            return f"Right: the largest error is {error}, no more than rounding."
        if not self.found:
            if {row.parameter for row in self.rows if not row.passed} == {LOSS}:
                return (
                    "Your gradients are right; the loss is wrong, and no known mistake explains it."
                )
            return "Wrong, and no known mistake explains it."
        about = {one.mistake.kind for one in self.found}
        if about == {"numerical"}:
            title = self.found[0].mistake.title
            return f"Your gradient is right; your numerical gradient is wrong: {title}."
        titles = [one.title for one in self.explanations[0]]
        if len(self.explanations) > 1:
            others = len(self.explanations) - 1
            return (
                f"Wrong, and most likely this is why: {listing(titles)} "
                f"({number_of(others, 'other explanation')} fit as well)."
            )
        return f"Wrong, and this is why: {listing(titles)}."

    def certificate(self) -> str:
        """One line for a hand-in: what a right function was tried on. Empty where it is wrong."""
        if not self.passed:
            return ""
        tried, sizes = self.tried, self.tried.trials
        mean = ", mean over time" if tried.reduction == "mean" else ""
        longest = max(trial.seq_length for trial in sizes)
        spans = [
            span([getattr(trial, name) for trial in sizes])
            for name in ("hidden_size", "seq_length", "vocabulary_size", "sigma")
        ]
        return (
            f"charloom doctor: {self.subject or 'the function'} is right ({tried.cell}, {tried.dtype}{mean}): "
            f"{number_of(len(sizes), 'trial')} with H {spans[0]}, T {spans[1]}, K {spans[2]}, sigma "
            f"{spans[3]}, initial state zero and not, repeated characters, {tried.calls} calls, "
            f"no window longer than {longest} steps, "
            f"seed {tried.seed}; largest norm-relative error {self.worst().norm_relative:.1e}."
        )

    def to_dict(self, spell: Callable[[str], str] = for_python) -> dict[str, Any]:
        """The diagnosis as plain data; `verdict` and `mistakes` are what programs read first.

        Args:
            spell: how arguments are written in what there is to do.
        """
        return {
            "verdict": self.verdict,
            "mistakes": list(self.mistakes),
            "headline": self.headline(),
            "certificate": self.certificate() or None,
            "exact": self.exact,
            "explanations": [
                [
                    {
                        "id": one.id,
                        "variant": one.variant,
                        "title": one.title,
                        "does": one.mistake.does,
                        "right": one.right,
                        "section": one.mistake.section,
                        "fix": spell(one.marked_fix),
                    }
                    for one in explanation
                ]
                for explanation in self.explanations
            ],
            "rows": [
                {**vars(row), "index": list(row.index), "passed": row.passed} for row in self.rows
            ],
            "numerical": [
                {**vars(row), "index": list(row.index), "passed": row.passed}
                for row in self.numerical
            ],
            "errors_by_step": {name: list(errors) for name, errors in self.errors_by_step.items()},
            "clues": list(self.clues),
            "notes": list(self.notes),
            "tried": {
                **vars(self.tried),
                "trials": [dict(vars(trial)) for trial in self.tried.trials],
            },
            "subject": self.subject,
            "seconds": self.seconds,
        }


def scaled(part: str) -> str:
    """A gradient that is a constant times the right one, in words: 2 db."""
    factor, _, name = part.partition(" ")
    if float(factor) == 0:
        return f"{name} is zero"
    return f"{name} is {factor_told(float(factor))} times the right one"


def factor_told(factor: float) -> str:
    """A factor with six digits, or as many as tell it from 1: 1.00000003."""
    places = -math.floor(math.log10(abs(factor - 1))) if factor != 1 else 0
    return f"{factor:.{max(6, places + 1)}g}"


def span(values: Sequence[float]) -> str:
    """The range of some numbers: 3–20, or 5."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
