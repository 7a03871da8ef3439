"""Orders the rows of the gradient checks in a report, and chooses those that it shows first. The report folds all rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from charloom.gradient_check import GradientCheck, Row
from charloom.gradient_errors import rank

MOST_ROWS: Final = 5
PARAMETERS: Final = ("U", "W", "b", "d", "V", "c")  # in the order of the equations


def in_order(check: GradientCheck) -> GradientCheck:
    """Return a check with its rows in the order of the equations: those of each layer, and then those of the output."""
    return replace(check, rows=tuple(sorted(check.rows, key=_place)))


def _place(row: Row) -> tuple[bool, int, int]:
    """Return the key by which rows are in the order of the equations. A parameter of an unknown name comes last."""
    layer, _, name = row.parameter.rpartition(".")
    known = name in PARAMETERS
    place = PARAMETERS.index(name) if known else len(PARAMETERS)
    return name in ("V", "c") or not known, int(layer) if layer.isdecimal() else 0, place


def main_check(checks: Sequence[GradientCheck]) -> GradientCheck:
    """Return the check that a reader must see first, with at most `MOST_ROWS` of its rows.

    It is the check with the worst row if any check failed; otherwise that of the largest network in
    float64, the last of several such checks. If it has too many rows, those whose errors are the largest
    relative to their limits are kept.

    Args:
        checks: one or more gradient checks.
    """
    failed = [check for check in checks if not check.passed]
    check = (
        max(failed, key=lambda check: _excess(check.worst))
        if failed
        else max(reversed(checks), key=_importance)
    )
    worst = sorted(check.rows, key=_excess, reverse=True)[:MOST_ROWS]
    return replace(check, rows=tuple(row for row in check.rows if row in worst))


def _excess(row: Row) -> float:
    """Return how far the errors of a parameter are above its limits; infinity for NaN."""
    return rank(row.excess)


def _importance(check: GradientCheck) -> tuple[bool, int, int]:
    """Return a key that is the largest for the largest network in float64."""
    settings = check.settings
    return settings.dtype == "float64", settings.hidden_size, settings.seq_length
