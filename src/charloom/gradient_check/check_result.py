"""Holds the result of a gradient check as plain data, and the text that describes it to users.

This module computes no gradients and does not know files, plots or terminals.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from charloom.formatting import count, finite, power_of_ten, scientific
from charloom.gradient_errors import Errors, rank
from charloom.notebook_html import MOST_ROWS, card, table, verdict

# Step sizes of the central differences.
STEPS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)

# Some gradients cannot be computed within the limits of `check` in their dtype, for three reasons:
# - The network is chaotic: a rounding error grows at every step back through time. An example is
#   sigma = 0.3 with H = 100, where W stretches vectors by sigma·√H = 3.
# - Units are saturated: 1 - h² then consists of rounding errors only.
# - All terms of an entry cancel: only rounding errors remain.
# So the check measures how much the gradient changes when all of its inputs are rounded once. The limit
# of the norm-relative error grows to thirty times this change, but never beyond 1e-4. That is a tenth of
# 1e-3, the smallest error of a wrong gradient that matters.
ROUNDING_MARGIN: Final = 30.0
# Factor of the elementwise limit: the limit is at least this factor times the largest effect of
# rounding on any entry.
ENTRY_MARGIN: Final = 10.0
WIDEST_NORM_LIMIT: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Central(Errors):
    """The errors of a parameter's gradient, compared with central differences at the best step size.

    Attributes:
        step: the step size with the smallest norm-relative error.
        checked: number of entries that were compared, at most 200.
    """

    step: float
    checked: int


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The first entry that is not finite; otherwise the entry with the largest elementwise error.

    Attributes:
        index: index of the entry in the parameter.
        analytic: the entry's value in the analytic gradient.
        numeric: the entry's gradient by the complex step; NaN if the analytic value is not finite.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True, kw_only=True)
class Row(Errors):
    """The result of the check for one parameter.

    The inherited fields are the errors of the parameter's analytic gradient, compared with the
    gradient by the complex step.

    Attributes:
        parameter: b, d, c, U, W or V. Above the first layer, the number of the layer precedes it,
            as in 1.U.
        shape: shape of the parameter.
        checked: number of entries that were checked with the complex step.
        total: number of entries of the parameter.
        rounding: the largest norm-relative change of the gradient that rounding caused, in two
            measurements: the gradient is computed in the learner's dtype, or each of its inputs is
            changed by about the dtype's eps. A smaller error cannot be expected in this dtype.
        norm_limit: largest norm-relative error with which the check passes.
        elementwise_limit: largest elementwise error with which the check passes; None for no limit.
        worst: the first entry that is not finite; if all are finite, the checked entry with the
            largest elementwise error.
        central: the errors compared with central differences at the best step size.
        curve: the norm-relative error compared with central differences, for each step size in
            `STEPS`.
    """

    parameter: str
    shape: tuple[int, ...]
    checked: int
    total: int
    rounding: float
    norm_limit: float
    elementwise_limit: float | None
    worst: Worst
    central: Central
    curve: tuple[float, ...]

    @property
    def excess(self) -> float:
        """Return the larger of two ratios: the parameter's errors divided by their limits.

        One is the norm-relative error divided by its limit, the other is the elementwise error
        divided by its limit. The check of the parameter fails if the result is above 1 or NaN.
        """
        norm = self.norm_relative / self.norm_limit
        limit = self.elementwise_limit
        entries = 0.0 if limit is None else self.elementwise / limit
        return math.nan if math.isnan(norm + entries) else max(norm, entries)

    @property
    def passed(self) -> bool:
        """Return True if no error of this parameter exceeds its limit."""
        return self.excess <= 1

    @property
    def lost(self) -> bool:
        """Return True if rounding alone can explain an error above its limit.

        The check then does not show whether the gradient is right.
        """
        return self.norm_limit < self.norm_relative <= ROUNDING_MARGIN * self.rounding


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a gradient check.

    Attributes:
        text: name of the text that the window comes from; empty for a random window.
        hidden_size: number H of hidden units.
        seq_length: number T of steps of the window.
        vocabulary_size: vocabulary size K.
        sigma: standard deviation of the initial weights with init "normal".
        state: initial state of the window, "zero" or "non-zero".
        dtype: dtype of the analytic gradient and of the central differences.
        engine: name of the engine that computed the analytic gradient.
        entries: largest number of entries of each parameter that are checked; None if all are
            checked.
        seed: seed of the network, the random window and the choice of entries.
        cell: "rnn", "lstm" or "gru".
        layers: number L of recurrent layers.
        batch_size: number B of streams of the window.
        dropout: share of each layer's outputs that were dropped, with the masks of update 1.
        init: how the weights were initialized.
        ngram_order: length N of the n-grams; 0 if the network has none.
        input_pairs: number of pairs of characters with a learned input; 0 if the network has none.
    """

    text: str
    hidden_size: int
    seq_length: int
    vocabulary_size: int
    sigma: float
    state: str
    dtype: str
    engine: str
    entries: int | None
    seed: int
    cell: str = "rnn"
    layers: int = 1
    batch_size: int = 1
    dropout: float = 0.0
    init: str = "normal"
    ngram_order: int = 0
    input_pairs: int = 0


@dataclass(frozen=True, kw_only=True)
class GradientCheck:
    """The result of a gradient check. A terminal shows its verdict; a notebook also a table of the errors.

    Attributes:
        settings: the settings of the check.
        rows: the result for each parameter, biases first, then matrices.
        steps: the step sizes of the central differences.
    """

    settings: Settings
    rows: tuple[Row, ...]
    steps: tuple[float, ...] = STEPS

    @property
    def passed(self) -> bool:
        """Return True if the gradient of every parameter is right."""
        return all(row.passed for row in self.rows)

    @property
    def checked(self) -> int:
        """Return how many entries of all parameters were checked with the complex step."""
        return sum(row.checked for row in self.rows)

    @property
    def total(self) -> int:
        """Return how many entries all parameters have together."""
        return sum(row.total for row in self.rows)

    @property
    def worst(self) -> Row:
        """Return the result of the parameter with the largest `excess`."""
        return max(self.rows, key=lambda row: rank(row.excess))

    def __repr__(self) -> str:
        return f"<GradientCheck: {self.verdict()}>"

    def _repr_html_(self) -> str:
        """Return the verdict and a table of the errors, as HTML for a notebook."""
        rows = self.rows
        if len(rows) > MOST_ROWS:  # show the largest errors
            rows = tuple(sorted(rows, key=lambda row: rank(row.excess), reverse=True))
        headings = (
            "parameter", "verdict", "norm-relative error", "limit", "elementwise error",
            "central differences at best", "step", "entries checked",
        )  # fmt: skip
        failed = [n for n, row in enumerate(rows) if not row.passed]
        errors = table(headings, list(map(cells_of, rows)), bold=failed)
        return card("Gradient check", verdict(self.verdict(), self.passed), errors)

    def verdict(self) -> str:
        """Return two lines for users: whether the gradient is right, and the errors that show it."""
        s = self.settings
        weights = f"sigma={s.sigma:g}" if s.init == "normal" else f"init {s.init}"
        dropout = f"dropout {s.dropout:g}, " if s.dropout else ""
        ngrams = f"n-grams of order {s.ngram_order}, " if s.ngram_order else ""
        pairs = f"{s.input_pairs} pairs, " if s.input_pairs else ""
        setup = (
            f"{s.cell}, L={s.layers}, H={s.hidden_size}, B={s.batch_size}, T={s.seq_length}, "
            f"K={s.vocabulary_size}, {weights}, {ngrams}{pairs}{dropout}h0 {s.state}, {s.dtype}, "
            f"engine {s.engine}; {self.checked:,} of {self.total:,} entries"
        )
        if self.passed:
            row = max(self.rows, key=lambda row: row.norm_relative)
            central = max(self.rows, key=lambda row: rank(row.central.norm_relative)).central
            edge = ", the largest that was tried" if central.step == max(STEPS) else ""
            edge = ", the smallest that was tried" if central.step == min(STEPS) else edge
            return (
                f"The gradient is right ({setup}): its largest norm-relative error against the "
                f"complex step is {row.norm_relative:.1e} ({row.parameter}; limit "
                f"{row.norm_limit:.0e}).\n"
                f"Central differences differ by {central.norm_relative:.1e} even at their best step "
                f"size, {central.step:.0e}{edge}: the cause is their rounding, not the gradient."
            )
        failed = [row for row in self.rows if not row.passed]
        wrong = [row for row in failed if not row.lost]
        row = max(wrong or failed, key=lambda row: rank(row.excess))
        names = ", ".join(row.parameter for row in wrong or failed)
        distance = (
            f"the norm-relative error of {row.parameter} against the complex step is "
            f"{row.norm_relative:.1e} (limit {row.norm_limit:.0e}), and {row.elementwise:.1e} in its "
            f"worst entry"
        )
        if not wrong:
            return (
                f"The gradient is LOST IN ROUNDING in {names} ({setup}): {distance}.\n"
                f"Rounding its inputs once changes the gradient of {row.parameter} by "
                f"{row.rounding:.1e}, too much to check it in {s.dtype}; "
                f"use {'smaller weights' if s.dtype == 'float64' else 'float64'}."
            )
        place, worst = ", ".join(map(str, row.worst.index)), row.worst
        truth = "" if math.isnan(worst.numeric) else f" and should be {worst.numeric:.9g}"
        return (
            f"The gradient is WRONG in {names} ({setup}): {distance}.\n"
            f"The worst entry, {row.parameter}[{place}], is {worst.analytic:.9g}{truth}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data for JSON; a number that is not finite becomes None."""
        rows = [{**dataclasses.asdict(row), "passed": row.passed} for row in self.rows]
        settings = dataclasses.asdict(self.settings)
        plain: dict[str, Any] = finite(
            {"passed": self.passed, "settings": settings, "steps": self.steps, "rows": rows}
        )
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GradientCheck":
        """Return the check from plain data that `to_dict` returned.

        An error that is None becomes NaN, so the check of its parameter fails.

        Raises:
            KeyError, TypeError: a field is missing or has a wrong type.
        """
        return cls(
            settings=Settings(**values["settings"]),
            rows=tuple(map(_row_from_dict, values["rows"])),
            steps=tuple(values["steps"]),
        )


def cells_of(row: Row) -> tuple[str, ...]:
    """Return the cells of a parameter's row in the table of errors."""
    return (
        row.parameter,
        "right" if row.passed else "lost in rounding" if row.lost else "WRONG",
        scientific(row.norm_relative),
        scientific(row.norm_limit),
        scientific(row.elementwise),
        scientific(row.central.norm_relative),
        power_of_ten(row.central.step),
        f"{count(row.checked)} of {count(row.total)}",
    )


def _row_from_dict(row: Mapping[str, Any]) -> Row:
    """Return the result for one parameter from plain data."""
    worst, central = row["worst"], row["central"]
    return Row(
        parameter=row["parameter"],
        shape=tuple(row["shape"]),
        checked=row["checked"],
        total=row["total"],
        **_errors(row),
        rounding=_number(row["rounding"]),
        norm_limit=row["norm_limit"],
        elementwise_limit=row["elementwise_limit"],
        worst=Worst(
            index=tuple(worst["index"]),
            analytic=_number(worst["analytic"]),
            numeric=_number(worst["numeric"]),
        ),
        central=Central(step=central["step"], checked=central["checked"], **_errors(central)),
        curve=tuple(map(_number, row["curve"])),
    )


def _errors(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the fields of `Errors` by name from plain data that may have other fields too."""
    return {field.name: _number(values[field.name]) for field in dataclasses.fields(Errors)}


def _number(value: float | None) -> float:
    """Return `value`, or NaN if `value` is None.

    This undoes `finite`, which replaces NaN by None.
    """
    return math.nan if value is None else value
