"""Finds mistakes that show only in several calls or in the precision of the numbers.

Such mistakes are: gradients add up over calls, the state is remembered, the arguments are changed,
the loss is computed after an update, or the numbers are float32. This module does not run the
user's code.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from charloom.diagnosis.batch_gradients import batch_mistakes, mistakes_in_training
from charloom.diagnosis.case import FLOAT16, MATCHES, Case, Explanation, Precision, relative
from charloom.diagnosis.diagnosis_result import LOSS, Row
from charloom.diagnosis.faulty_network import exact_state
from charloom.diagnosis.fitted_constants import explains_more
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.outcome import CHANGES, Call, Outcome
from charloom.diagnosis.problem import Arrays
from charloom.diagnosis.trials import MOVES, moved

SAME: Final = 1e-9  # two results are the same up to this relative difference
SAME32: Final = 1e-5  # two results in float32 are the same up to this relative difference
# When the weights change slightly, a rounding error changes by at least this fraction of itself. The
# error of a wrong formula changes only by a fraction of about 1e-5.
JUMP: Final = 0.1
# `remembers` predicts the losses of this many consecutive calls, and looks for the function's losses
# among them.
CHAIN: Final = 80

# For each optimizer: the step of its first update, as a function of the gradient g. The step
# "AdaGrad, ε outside" is also that of Adam.
STEPS: Final = {
    "gradient descent": lambda g: g,
    "clipped gradient descent": lambda g: np.clip(g, -5, 5),
    "AdaGrad": lambda g: np.clip(g, -5, 5) / np.sqrt(np.clip(g, -5, 5) ** 2 + 1e-8),
    "AdaGrad, unclipped": lambda g: g / np.sqrt(g * g + 1e-8),
    "AdaGrad, ε outside": lambda g: g / (np.abs(g) + 1e-8),
}
USUAL_RATES: Final = (0.1, 0.01, 0.001, 1e-4, 1.0, 0.5, 0.05, 0.005, 1e-5)


def found_in_calls(case: Case, outcome: Outcome) -> list[Found]:
    """Return the mistakes that only several calls show, such as gradients that add up over calls."""
    changed = {name for call in (*outcome.trials, *outcome.repeats) for name in call.changed}
    found = [Found(name) for name in CHANGES if name in changed]
    found += batch_mistakes(outcome.batch) + mistakes_in_training(outcome.texts, outcome.later)
    first, second, third, other = outcome.repeats
    fresh = outcome.fresh[0]
    if same(first, second) and same(second, third) and same(other, fresh):
        return found
    growth = [
        difference(second.gradients, first.gradients),
        difference(third.gradients, second.gradients),
    ]
    left = difference(other.gradients, fresh.gradients)
    if (
        losses_same(first, second)
        and losses_same(other, fresh)
        and gradients_are_close(growth[0], growth[1], SAME32 if first.float32 else SAME)
        and any(np.any(g) for g in left.values())
    ):
        return [Found("gradients-carried-over"), *found]
    if remembers(case, (first, second, third)):
        return [Found("state-carried-over"), *found]
    return [Found("answers-differ"), *found]


def remembers(case: Case, calls: Sequence[Call]) -> bool:
    """Return True if the losses show that each call started from the last state of the previous call.

    `calls` are consecutive calls on the first trial. How many calls came before them is unknown,
    because the doctor also calls a Python function to find out how to call it.
    """
    if any(call.loss is None for call in calls):
        return False
    problem = case.trials[0].problem
    zero = {name: np.zeros_like(s) for name, s in problem.state.items()}
    for start in (problem.state, zero):
        chain, losses = problem._replace(state=start), []
        for _ in range(CHAIN):
            losses.append(case.predicted(chain, ()).loss)
            chain = chain._replace(state=exact_state(chain))
        for first in range(CHAIN - len(calls) + 1):
            expected = losses[first : first + len(calls)]
            if all(
                abs((call.loss or 0.0) - loss) <= SAME32 * abs(loss)
                for call, loss in zip(calls, expected, strict=True)
            ):
                return True
    return False


def same(a: Call, b: Call) -> bool:
    """Return True if two calls returned the same loss and the same gradients, except for rounding."""
    return losses_same(a, b) and gradients_are_close(a.gradients, b.gradients)


def losses_same(a: Call, b: Call) -> bool:
    """Return True if two calls returned the same loss, except for rounding."""
    if a.loss is None or b.loss is None:
        return a.loss is b.loss
    if math.isnan(a.loss) and math.isnan(b.loss):
        return True
    return a.loss == b.loss or abs(a.loss - b.loss) <= (SAME32 if a.float32 else SAME) * abs(a.loss)


def gradients_are_close(a: Arrays, b: Arrays, limit: float = SAME) -> bool:
    """Return True if two sets of gradients are the same, except for a relative difference up to `limit`."""
    for name in a:
        if a[name].shape != b[name].shape:
            return False
        if not np.array_equal(a[name], b[name], equal_nan=True):
            size = np.linalg.norm(a[name]) + np.linalg.norm(b[name])
            if not np.linalg.norm(a[name] - b[name]) <= limit * size:
                return False
    return True


def difference(a: Arrays, b: Arrays) -> Arrays:
    """Return the difference `a` - `b` of each gradient.

    If a gradient has different shapes in `a` and `b`, return the gradient in `a` instead.
    """
    return {name: a[name] - b[name] if a[name].shape == b[name].shape else a[name] for name in a}


def holds_float32(gradients: Arrays) -> bool:
    """Return True if float32 can represent all numbers of `gradients` exactly, but float16 cannot.

    float16 is tested too because numbers such as 0, 1 and 0.5 are exact in every precision, and so
    do not show that the function computes in float32.
    """
    with np.errstate(all="ignore"):
        return all(np.array_equal(g, g.astype(np.float32)) for g in gradients.values()) and not all(
            np.array_equal(g, g.astype(np.float16)) for g in gradients.values()
        )


def looks_like_rounding(case: Case, outcome: Outcome, precision: Precision) -> bool:
    """Return True if the errors of the first trial look like rounding to a lower precision.

    Such errors are not much smaller than the rounding error of this precision. They change completely
    when the weights change slightly, but the errors of a wrong formula hardly change.
    """
    if not same(*outcome.repeats[:2]):
        return False
    least = float(np.finfo(precision.rounded).eps) / 100
    place = 1 if precision is FLOAT16 else 0
    right = case.predicted(moved(case.trials[0].problem, MOVES[place]), ()).gradients
    before, after = case.calls[0].gradients, outcome.moved[place].gradients
    for name, exact in case.exact[0].gradients.items():
        if not before[name].shape == after[name].shape == exact.shape:
            return False
        size = float(np.linalg.norm(exact))
        first, second = before[name] - exact, after[name] - right[name]
        error, change = float(np.linalg.norm(first)), float(np.linalg.norm(second - first))
        if error >= least * size and change >= JUMP * error:
            return True
    return False


def loss_after_update(
    case: Case, explanations: Sequence[Explanation], wrong: Sequence[Row]
) -> Explanation | None:
    """Return an explanation with the mistake loss-after-update; None if it does not explain the losses.

    Code with this mistake updates the parameters before it computes the loss. So the function's loss
    must be right for the updated parameters in every trial. The updated parameters are those that
    the call left changed, or those after a step with a learning rate that fits all trials.

    If gradients are wrong too, one of `explanations` must predict all gradients. The returned
    explanation then begins with the mistakes of the first item of `explanations`. `wrong` are the
    rows of the wrong gradients and losses.
    """
    if LOSS not in {row.parameter for row in wrong}:
        return None
    # Do not look for an update if the error of the loss is nearly as small as rounding: almost any
    # tiny update would explain this error.
    error = max(relative(call.loss or 0.0, case.exact[p].loss) for p, call in enumerate(case.calls))
    if not explains_more(0.0, error, loss_limit(case) / 2):
        return None
    wrong_gradients = {row.parameter for row in wrong} - {LOSS}
    of_gradients: list[Explanation] = [e for e in explanations if e] if wrong_gradients else [()]
    if wrong_gradients and not any(gradients_match(case, one) for one in of_gradients):
        return None
    after = [call.after for call in case.calls]
    if all(after) and all(loss_is(case, trial, arrays) for trial, arrays in enumerate(after)):
        return (*of_gradients[0], Found("loss-after-update"))
    for name, step in STEPS.items():
        rate = rate_of(case, step)
        if rate is not None:
            return (*of_gradients[0], Found("loss-after-update", f"{name}, η = {rate:.4g}"))
    return None


def gradients_match(case: Case, explanation: Explanation) -> bool:
    """Return True if code with the mistakes in `explanation` would return the function's gradients.

    The gradients must match in all trials.
    """
    names = list(case.exact[0].gradients)
    return all(
        not math.isinf(case.distance_if_matching(trial, explanation, names))
        for trial in range(len(case.trials))
    )


def loss_is(case: Case, trial: int, parameters: Arrays) -> bool:
    """Return True if the function's loss in a trial is the right loss of a network with `parameters`."""
    problem = case.trials[trial].problem._replace(parameters=parameters)
    call = case.calls[trial]
    right = case.predicted(problem, ()).loss
    return call.loss is not None and abs(call.loss - right) <= loss_limit(case) * abs(right)


def loss_limit(case: Case) -> float:
    """Return the largest relative difference at which a loss still counts as equal to a predicted loss."""
    return SAME32 if case.single else MATCHES


def rate_of(case: Case, step: Any) -> float | None:
    """Return a learning rate η for which an update of the parameters explains the function's losses.

    The update subtracts η · `step`(gradient) from each parameter, with the function's gradient. In
    every trial, the function's loss must be the right loss for the updated parameters. Return None
    if no learning rate is found.
    """

    def updated(trial: int, rate: float) -> Arrays:
        problem, call = case.trials[trial].problem, case.calls[trial]
        return {
            name: p - rate * step(call.gradients[name])
            if call.gradients[name].shape == p.shape
            else p
            for name, p in problem.parameters.items()
        }

    def fits(rate: float) -> bool:
        return all(loss_is(case, trial, updated(trial, rate)) for trial in range(len(case.trials)))

    for rate in USUAL_RATES:
        if loss_is(case, 0, updated(0, rate)) and fits(rate):
            return rate
    # No usual learning rate fits, so find one by bisection. Use the trial with the smallest weights,
    # because its loss is a smooth function of the learning rate η.
    smooth = min(range(len(case.trials)), key=lambda trial: case.trials[trial].info.sigma)

    def error(rate: float) -> float:
        problem = case.trials[smooth].problem._replace(parameters=updated(smooth, rate))
        return case.predicted(problem, ()).loss - (case.calls[smooth].loss or 0.0)

    grid = [0.0, *np.geomspace(1e-6, 2, 40).tolist()]
    for low, high in pairwise(grid):
        if error(low) * error(high) < 0:
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if error(low) * error(middle) > 0 else (low, middle)
            if fits(low):
                return float(low)
    return None
