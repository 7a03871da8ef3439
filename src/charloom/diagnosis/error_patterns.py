"""Describes the pattern of a function's errors, whether or not a known mistake explains them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from charloom.diagnosis import nonfinite
from charloom.diagnosis.case import MATCHES, ZERO, Case, distance
from charloom.diagnosis.diagnosis_result import LOSS, Row
from charloom.diagnosis.fitted_constants import common_factor
from charloom.diagnosis.found_mistake import factor_text
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.problem import Arrays
from charloom.diagnosis.trials import window

RIGHT_EVERYWHERE: Final = "right in every trial: "
# By precision: the largest error up to which the gradient of one step's loss counts as right. The
# limits for a whole window are smaller, because a step's gradient is a difference of two gradients.
STEP_LIMITS: Final = {"float64": MATCHES, "float32": 1e-4, "float16": 3e-2}


def errors_by_step(case: Case, outcome: Outcome) -> dict[str, tuple[float, ...]]:
    """Return the error of each parameter's gradient in each step of the first trial.

    The error of step t is the error of the gradient of step t's loss alone. This gradient is the
    gradient of the window's first t steps minus the gradient of its first t - 1 steps. Each error
    is norm-relative, and NaN if the function's gradient has a wrong shape.
    """
    first = case.trials[0].problem
    errors: dict[str, list[float]] = {name: [] for name in case.exact[0].gradients}
    previous: tuple[Arrays, Arrays] | None = None
    shortest = outcome.sizes.shortest
    for length, call in enumerate(outcome.windows, start=shortest):
        exact = case.predicted(window(first, length), ()).gradients
        for name, by_step in errors.items():
            given, right = call.gradients[name], exact[name]
            if given.shape != right.shape:
                by_step.append(math.nan)
                continue
            if previous is not None and previous[0][name].shape == given.shape:
                given, right = given - previous[0][name], right - previous[1][name]
            by_step.append(distance(given, right, ZERO))
            if length == shortest:
                # The steps of the shortest window cannot be seen alone.
                by_step += by_step * (shortest - 1)
        previous = (call.gradients, exact)
    return {name: tuple(by_step) for name, by_step in errors.items()}


def clues(case: Case, rows: Sequence[Row], by_step: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield sentences about the pattern of the errors, such as which gradients are right in every trial.

    `rows` are the errors of all trials. `by_step` is the result of `errors_by_step`.
    """
    yield from nonfinite.clues(case)
    wrong = {row.parameter for row in rows if not row.passed}
    right = [name for name in (*case.exact[0].gradients, LOSS) if name not in wrong]
    if right and any(row.parameter == LOSS for row in rows):
        yield f"{RIGHT_EVERYWHERE}{', '.join(map(nonfinite.in_words, right))}."
    yield from first_wrong_steps(by_step, STEP_LIMITS[case.precision.name])
    failed = {row.trial for row in rows if not row.passed}
    non_zero = {
        number for number, trial in enumerate(case.trials) if trial.info.state == "non-zero"
    }
    if failed == non_zero:
        yield "it is wrong in all trials with a non-zero initial state, and right in all others."
    factor = common_factor(case)
    if factor is not None:
        yield f"every gradient is {factor_text(factor)} times the right one."


def first_wrong_steps(by_step: Mapping[str, Sequence[float]], limit: float) -> Iterator[str]:
    """Yield sentences that name the first step at which each gradient's error exceeds `limit`.

    Gradients with the same first step share a sentence.
    """
    firsts: dict[int, list[str]] = {}
    for name, errors in by_step.items():
        first = next((t for t, error in enumerate(errors, start=1) if not error <= limit), None)
        if first is not None:
            firsts.setdefault(first, []).append(f"d{name}")
    for step, names in sorted(firsts.items()):
        steps = "step 1" if step == 2 else f"steps 1 to {step - 1}"
        right = f"the gradient of the loss of {steps} is right, " if step > 1 else ""
        yield f"{', '.join(names)}: {right}the gradient of the loss of step {step} is wrong."
