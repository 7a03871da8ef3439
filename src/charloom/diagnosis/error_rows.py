"""Computes the errors of each gradient and of the loss in each trial, compared with the right results."""

import math

import numpy as np

from charloom.diagnosis.case import ZERO, Case, relative
from charloom.diagnosis.diagnosis_result import LOSS, Row
from charloom.diagnosis.outcome import Call
from charloom.gradient_errors import distances, errors


def all_rows(case: Case) -> tuple[Row, ...]:
    """Return the errors of all gradients and losses in all trials, one row for each."""
    return tuple(row for trial in range(len(case.trials)) for row in rows_of(case, trial))


def rows_of(
    case: Case, trial: int, call: Call | None = None, limit: float | None = None
) -> list[Row]:
    """Return the errors of each gradient and of the loss in one trial, one row for each.

    Args:
        case: the right results and the function's results of all trials.
        trial: the index of the trial.
        call: the call whose results are checked; None for the function's call in `case`.
        limit: the largest allowed error of each result; None for the limits in `case`.
    """
    exact, call = case.exact[trial], call or case.calls[trial]
    limits = case.limits[trial] if limit is None else dict.fromkeys(case.limits[trial], limit)
    size = math.sqrt(sum(float(np.vdot(g, g)) for g in exact.gradients.values()))
    rows = [
        gradient_row(trial, name, call.gradients[name], right, size, limits[name])
        for name, right in exact.gradients.items()
    ]
    if call.loss is not None:
        difference, error = abs(call.loss - exact.loss), relative(call.loss, exact.loss)
        loss = Row(trial, LOSS, difference, error, error, limits[LOSS], (), call.loss, exact.loss)
        rows.append(loss)
    return rows


def gradient_row(
    trial: int,
    name: str,
    given: np.ndarray,
    right: np.ndarray,
    size: float,
    limit: float,
) -> Row:
    """Return the errors of one gradient, `given`, compared with the gradient `right`.

    `size` is the norm of all right gradients together, and `limit` the largest allowed error.
    """
    if given.shape != right.shape:
        return Row(trial, name, math.nan, math.nan, math.nan, limit, (), math.nan, math.nan)
    with np.errstate(all="ignore"):
        error = errors(given, right)
        by_entry = distances(given, right)
    # If the right gradient is zero except for rounding, its relative error means nothing. A
    # difference that is as small as rounding then counts as no error.
    zero = np.linalg.norm(right) <= ZERO * size >= np.linalg.norm(given - right)
    bad = ~np.isfinite(given)
    worst = np.unravel_index(int(np.argmax(bad if bad.any() else by_entry)), given.shape)
    return Row(
        trial,
        name,
        error.absolute,
        error.elementwise,
        0.0 if zero else error.norm_relative,
        limit,
        tuple(map(int, worst)),
        float(given[worst]),
        float(right[worst]),
    )
