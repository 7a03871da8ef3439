"""What a gradient check found, as plain data, and the words that say it.

It computes no gradient, and knows nothing of files, pictures or terminals.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from charloom.measures import Errors, rank
from charloom.spelling import finite

STEPS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)  # of the central differences

# Some gradients cannot be had to these digits by any arithmetic of their dtype. Where a network is
# chaotic (sigma = 0.3 at H = 100 is: W then stretches by sigma·√H = 3), a rounding error grows at
# every step back through time; where units are saturated, 1 - h² is rounding alone; where a
# window's terms cancel in every entry, nothing but rounding is left. So it is measured how far one
# rounding of everything moves the gradient, and the limits give way to thirty times that; but
# never to more than 1e-4, a tenth of the smallest error worth the name.
ROUNDING_MARGIN: Final = 30.0
ENTRY_MARGIN: Final = 10.0  # of what rounding does to the entry that it moves most
WIDEST_NORM_LIMIT: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Central(Errors):
    """The errors against central differences at `step`, the best of the sweep by the norm.

    `checked` is the number of entries swept: at most 200.
    """

    step: float
    checked: int


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The entry with the largest elementwise error, or the first that is not finite.

    `numeric` is NaN where the entry was not drawn.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True, kw_only=True)
class Row(Errors):
    """The check of one parameter; its own errors are those against the complex step.

    Attributes:
        parameter: b, d, c, U, W or V; above the first layer with its number, as in 1.U.
        shape: its shape.
        checked: how many of its entries were checked with the complex step.
        total: how many it has.
        rounding: norm-relative change of the gradient when all that it is computed from moves by
            about one unit in its last place: no gradient in this dtype can be held to less.
        norm_limit: what `norm_relative` must keep.
        elementwise_limit: what `elementwise` must keep; None where it is reported only.
        worst: the worst of the checked entries.
        central: the errors against central differences.
        curve: norm-relative error against central differences at each of `STEPS`.
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
        """The larger of the two errors over their limits: above 1 is wrong, and so is NaN."""
        norm = self.norm_relative / self.norm_limit
        limit = self.elementwise_limit
        entries = 0.0 if limit is None else self.elementwise / limit
        return math.nan if math.isnan(norm + entries) else max(norm, entries)

    @property
    def passed(self) -> bool:
        """Whether the errors keep their limits."""
        return self.excess <= 1

    @property
    def lost(self) -> bool:
        """Whether it failed by no more than rounding explains: nothing is known about it."""
        return self.norm_limit < self.norm_relative <= ROUNDING_MARGIN * self.rounding


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was checked.

    Attributes:
        text: the name of the text whose first window was used; empty for a random window.
        hidden_size: H.
        seq_length: T.
        vocabulary_size: K.
        sigma: standard deviation of the initial weights of init "normal".
        state: whether the window starts from a "zero" or a "non-zero" state.
        dtype: of the analytic gradient and of the central differences.
        engine: the name of the engine that gave the analytic gradient.
        entries: entries checked of each parameter at most; None for all.
        seed: decides the network, the random window and the entries.
        cell: rnn, lstm or gru.
        layers: L.
        batch_size: streams B of the window.
        dropout: share of outputs that were dropped, by the masks of update 1.
        init: how the weights began.
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


@dataclass(frozen=True, kw_only=True)
class GradientCheck:
    """The outcome of a gradient check: a row per parameter, biases first, then matrices."""

    settings: Settings
    rows: tuple[Row, ...]
    steps: tuple[float, ...] = STEPS

    @property
    def passed(self) -> bool:
        """Whether every parameter's gradient is right."""
        return all(row.passed for row in self.rows)

    @property
    def checked(self) -> int:
        """Entries checked with the complex step, over all parameters."""
        return sum(row.checked for row in self.rows)

    @property
    def total(self) -> int:
        """Entries that there are, over all parameters."""
        return sum(row.total for row in self.rows)

    @property
    def worst(self) -> Row:
        """The row that is nearest to its limit, or furthest beyond."""
        return max(self.rows, key=lambda row: rank(row.excess))

    def verdict(self) -> str:
        """Two lines for people: whether the gradient is right, and what shows it."""
        s = self.settings
        begun = f"sigma={s.sigma:g}" if s.init == "normal" else f"init {s.init}"
        dropout = f"dropout {s.dropout:g}, " if s.dropout else ""
        what = (
            f"{s.cell}, L={s.layers}, H={s.hidden_size}, B={s.batch_size}, T={s.seq_length}, "
            f"K={s.vocabulary_size}, {begun}, {dropout}h0 {s.state}, {s.dtype}, "
            f"engine {s.engine}; {self.checked:,} of {self.total:,} entries"
        )
        if self.passed:
            row = max(self.rows, key=lambda row: row.norm_relative)
            central = max(self.rows, key=lambda row: rank(row.central.norm_relative)).central
            return (
                f"The gradient is right ({what}): {row.norm_relative:.1e} norm-relative from the "
                f"complex step at most ({row.parameter}; limit {row.norm_limit:.0e}).\n"
                f"Central differences come no nearer than {central.norm_relative:.1e}, at their best "
                f"step, {central.step:.0e}: that is their own rounding, not the gradient's error."
            )
        failed = [row for row in self.rows if not row.passed]
        wrong = [row for row in failed if not row.lost]
        row = max(wrong or failed, key=lambda row: rank(row.excess))
        names = ", ".join(row.parameter for row in wrong or failed)
        distance = (
            f"{row.parameter} is {row.norm_relative:.1e} norm-relative from the complex step "
            f"(limit {row.norm_limit:.0e}), {row.elementwise:.1e} in its worst entry"
        )
        if not wrong:
            return (
                f"The gradient is LOST IN ROUNDING in {names} ({what}): {distance}.\n"
                f"One rounding of what it is computed from moves the gradient of {row.parameter} by "
                f"{row.rounding:.1e}, more than {s.dtype} can carry; "
                f"take {'smaller weights' if s.dtype == 'float64' else 'float64'}."
            )
        place, worst = ", ".join(map(str, row.worst.index)), row.worst
        truth = "" if math.isnan(worst.numeric) else f" and should be {worst.numeric:.9g}"
        return (
            f"The gradient is WRONG in {names} ({what}): {distance}.\n"
            f"The worst entry, {row.parameter}[{place}], is {worst.analytic:.9g}{truth}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a number that is not finite becomes None."""
        rows = [{**dataclasses.asdict(row), "passed": row.passed} for row in self.rows]
        settings = dataclasses.asdict(self.settings)
        plain: dict[str, Any] = finite(
            {"passed": self.passed, "settings": settings, "steps": self.steps, "rows": rows}
        )
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GradientCheck":
        """The inverse of `to_dict`; a missing number becomes NaN, which passes no limit."""
        return cls(
            settings=Settings(**values["settings"]),
            rows=tuple(map(_row_from_dict, values["rows"])),
            steps=tuple(values["steps"]),
        )


def _row_from_dict(row: Mapping[str, Any]) -> Row:
    """A row from plain data."""
    worst, central = row["worst"], row["central"]
    return Row(
        parameter=row["parameter"],
        shape=tuple(row["shape"]),
        checked=row["checked"],
        total=row["total"],
        absolute=_number(row["absolute"]),
        elementwise=_number(row["elementwise"]),
        norm_relative=_number(row["norm_relative"]),
        rounding=_number(row["rounding"]),
        norm_limit=row["norm_limit"],
        elementwise_limit=row["elementwise_limit"],
        worst=Worst(
            index=tuple(worst["index"]),
            analytic=_number(worst["analytic"]),
            numeric=_number(worst["numeric"]),
        ),
        central=Central(
            step=central["step"],
            checked=central["checked"],
            absolute=_number(central["absolute"]),
            elementwise=_number(central["elementwise"]),
            norm_relative=_number(central["norm_relative"]),
        ),
        curve=tuple(map(_number, row["curve"])),
    )


def _number(value: float | None) -> float:
    """The inverse of what `finite` does to a number."""
    return math.nan if value is None else value
