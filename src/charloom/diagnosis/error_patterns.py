"""Describes the pattern of a function's errors, whether or not a known mistake explains them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from charloom.diagnosis import nonfinite
from charloom.diagnosis.case import MATCHES, ZERO, Case, distance
from charloom.diagnosis.diagnosis_result import LOSS, Row, factor_told
from charloom.diagnosis.faulty_network import Arrays
from charloom.diagnosis.fitted_constants import common_factor
from charloom.diagnosis.runner import Outcome
from charloom.diagnosis.trials import window


def errors_by_step(case: Case, outcome: Outcome) -> dict[str, tuple[float, ...]]:
    """How far each step's contribution to each gradient is from the right one, norm-relative.

    The contribution of step t is what the window of t steps has more than that of t - 1: the
    gradient of step t's loss, through all steps before it.
    """
    first = case.trials[0].problem
    found: dict[str, list[float]] = {name: [] for name in case.exact[0].gradients}
    before: tuple[Arrays, Arrays] | None = None
    for length, call in enumerate(outcome.windows, start=1):
        exact = case.predicted(window(first, length), ()).gradients
        for name, gaps in found.items():
            given, right = call.gradients[name], exact[name]
            if given.shape != right.shape:
                gaps.append(math.nan)
                continue
            if before is not None and before[0][name].shape == given.shape:
                given, right = given - before[0][name], right - before[1][name]
            gaps.append(distance(given, right, ZERO))
        before = (call.gradients, exact)
    return {name: tuple(gaps) for name, gaps in found.items()}


def clues(case: Case, rows: Sequence[Row], by_step: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """What the pattern of errors tells."""
    yield from nonfinite.clues(case)
    wrong = {row.parameter for row in rows if not row.passed}
    right = [name for name in (*case.exact[0].gradients, LOSS) if name not in wrong]
    if (right and any(row.parameter == LOSS for row in rows)) or LOSS not in right:
        told = [("the loss" if name == LOSS else f"d{name}") for name in right]
        if told:
            yield f"right in every trial: {', '.join(told)}."
    limit = 1e-4 if case.single else MATCHES
    firsts: dict[int, list[str]] = {}
    for name, gaps in by_step.items():
        at = next((t for t, error in enumerate(gaps, start=1) if not error <= limit), None)
        if at is not None:
            firsts.setdefault(at, []).append(f"d{name}")
    for at, names in sorted(firsts.items()):
        yield f"{', '.join(names)}: first wrong in a window of {at} step{'s' if at > 1 else ''}."
    failed = {row.trial for row in rows if not row.passed}
    started = {place for place, trial in enumerate(case.trials) if trial.state == "non-zero"}
    if failed == started:
        yield "it is wrong exactly where the initial state is not zero."
    factor = common_factor(case)
    if factor is not None:
        yield f"every gradient is {factor_told(factor)} times the right one."
