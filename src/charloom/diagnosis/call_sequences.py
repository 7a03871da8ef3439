"""Finds mistakes that show only when calls follow one another, or in how numbers are stored.

Gradients that are carried over, a state that is remembered, arguments that are changed, a loss that
is computed after an update, numbers that are float32. It runs no code of the user's.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from charloom.diagnosis.case import MATCHES, Case, Explanation, relative
from charloom.diagnosis.diagnosis_result import LOSS, Found, Row
from charloom.diagnosis.faulty_network import Arrays, Problem, answer, exact_state
from charloom.diagnosis.fitted_constants import explains_more
from charloom.diagnosis.outcome import Call, Outcome
from charloom.diagnosis.trials import moved

SAME: Final = 1e-9  # two answers that are nearer are the same answer
SAME32: Final = 1e-5
SEEN32: Final = (
    float(np.finfo(np.float32).eps) / 100
)  # what float32 makes of some gradient at least
JUMP: Final = 0.1  # of an error; a smooth one changes by some 1e-5 of itself
CHAIN: Final = 80  # calls that a function may have seen before

# The steps of an update by gradient g: plain, clipped, and AdaGrad's or Adam's first.
STEPS: Final = {
    "gradient descent": lambda g: g,
    "clipped gradient descent": lambda g: np.clip(g, -5, 5),
    "AdaGrad": lambda g: np.clip(g, -5, 5) / np.sqrt(np.clip(g, -5, 5) ** 2 + 1e-8),
    "AdaGrad, unclipped": lambda g: g / np.sqrt(g * g + 1e-8),
    "AdaGrad, ε outside": lambda g: g / (np.abs(g) + 1e-8),
}
USUAL_RATES: Final = (0.1, 0.01, 0.001, 1e-4, 1.0, 0.5, 0.05, 0.005, 1e-5)


def found_in_calls(outcome: Outcome, problem: Problem, reduction: str) -> list[Found]:
    """The mistakes that calls in sequence show; `problem` is the first trial's."""
    changed = {
        name for calls in (outcome.trials, outcome.repeats) for c in calls for name in c.changed
    }
    found = [
        Found(name)
        for name in ("initial-state-changed", "parameters-changed", "inputs-changed")
        if name in changed
    ]
    first, second, third, other = outcome.repeats
    fresh = outcome.fresh[0]
    if same(first, second) and same(second, third) and same(other, fresh):
        return found
    growth = [gap(second.gradients, first.gradients), gap(third.gradients, second.gradients)]
    left = gap(other.gradients, fresh.gradients)
    if (
        losses_same(first, second)
        and losses_same(other, fresh)
        and near(growth[0], growth[1], SAME32 if first.float32 else SAME)
        and any(np.any(g) for g in left.values())
    ):
        return [Found("gradients-carried-over"), *found]
    if remembers(problem, (first, second, third), mean=reduction == "mean"):
        return [Found("state-carried-over"), *found]
    return [Found("answers-differ"), *found]


def remembers(problem: Problem, calls: Sequence[Call], mean: bool) -> bool:
    """Whether each call's loss is that from the state which the call before it left.

    How many calls there were before the first of these is not known: a function that is given as
    such was called while it was found out how.
    """
    if any(call.loss is None for call in calls):
        return False
    zero = {name: np.zeros_like(s) for name, s in problem.state.items()}
    for start in (problem.state, zero):
        state, losses = start, []
        for _ in range(CHAIN):
            losses.append(
                answer(problem._replace(state=state)).loss / (len(problem.x) if mean else 1)
            )
            state = exact_state(problem._replace(state=state))
        for first in range(CHAIN - len(calls) + 1):
            expected = losses[first : first + len(calls)]
            if all(
                abs((call.loss or 0.0) - loss) <= SAME32 * abs(loss)
                for call, loss in zip(calls, expected, strict=True)
            ):
                return True
    return False


def same(a: Call, b: Call) -> bool:
    """Whether two calls gave the same answer, but for rounding."""
    return losses_same(a, b) and near(a.gradients, b.gradients)


def losses_same(a: Call, b: Call) -> bool:
    """Whether two calls gave the same loss."""
    if a.loss is None or b.loss is None:
        return a.loss is b.loss
    if math.isnan(a.loss) and math.isnan(b.loss):
        return True
    return a.loss == b.loss or abs(a.loss - b.loss) <= (SAME32 if a.float32 else SAME) * abs(a.loss)


def near(a: Arrays, b: Arrays, limit: float = SAME) -> bool:
    """Whether two sets of gradients are the same, but for rounding."""
    for name in a:
        if a[name].shape != b[name].shape:
            return False
        if not np.array_equal(a[name], b[name], equal_nan=True):
            size = np.linalg.norm(a[name]) + np.linalg.norm(b[name])
            if not np.linalg.norm(a[name] - b[name]) <= limit * size:
                return False
    return True


def gap(a: Arrays, b: Arrays) -> Arrays:
    """What one set of gradients is more than another."""
    return {name: a[name] - b[name] if a[name].shape == b[name].shape else a[name] for name in a}


def holds_float32(gradients: Arrays) -> bool:
    """Whether every number is one that float32 has, and some need more digits than float16 has.

    0, 1 and 0.5 are the same in any of them, and what is not finite has no digits.
    """
    with np.errstate(all="ignore"):
        return all(np.array_equal(g, g.astype(np.float32)) for g in gradients.values()) and not all(
            np.array_equal(g, g.astype(np.float16)) for g in gradients.values()
        )


def jumps(case: Case, outcome: Outcome) -> bool:
    """Whether the errors of the first trial are as large as float32's, and not smooth in the weights.

    Weights that move by a few of float32's last digits hardly change the error of a formula; what
    rounding makes of them is another error each time.
    """
    if not same(*outcome.repeats[:2]):
        return False
    place, right = 0, case.predicted(moved(case.trials[0].problem), ()).gradients
    before, after = case.calls[place].gradients, outcome.moved[0].gradients
    for name, exact in case.exact[place].gradients.items():
        if not before[name].shape == after[name].shape == exact.shape:
            return False
        size = float(np.linalg.norm(exact))
        first, second = before[name] - exact, after[name] - right[name]
        off = float(np.linalg.norm(first))
        if off >= SEEN32 * size and float(np.linalg.norm(second - first)) >= JUMP * off:
            return True
    return False


def loss_after_update(
    case: Case, explanations: Sequence[Explanation], wrong: Sequence[Row]
) -> list[Explanation] | None:
    """An explanation by a loss that was computed after an update; None where it is none.

    The gradients must be right or explained; then a step and a rate are looked for that give the
    losses of all trials.
    """
    if LOSS not in {row.parameter for row in wrong}:
        return None
    # A loss that is nearer to the right one is that of a tiny update, too, of whatever kind.
    off = max(relative(call.loss or 0.0, case.exact[p].loss) for p, call in enumerate(case.calls))
    if not explains_more(0.0, off, loss_limit(case) / 2):
        return None
    rest = {row.parameter for row in wrong} - {LOSS}
    bases: list[Any] = [()] if not rest else [e for e in explanations if e]
    if rest and not any(
        all(
            not math.isinf(case.accepts(p, base, list(case.exact[0].gradients)))
            for p in range(len(case.trials))
        )
        for base in bases
    ):
        return None
    after = [call.after for call in case.calls]
    if all(after) and all(loss_is(case, place, arrays) for place, arrays in enumerate(after)):
        return [(*bases[0], Found("loss-after-update"))]
    for name, step in STEPS.items():
        rate = rate_of(case, step)
        if rate is not None:
            return [(*bases[0], Found("loss-after-update", f"{name}, η = {rate:.4g}"))]
    return None


def loss_is(case: Case, place: int, parameters: Arrays) -> bool:
    """Whether the function's loss in a trial is that of other parameters."""
    problem = case.trials[place].problem._replace(parameters=parameters)
    call = case.calls[place]
    right = case.predicted(problem, ()).loss
    return call.loss is not None and abs(call.loss - right) <= loss_limit(case) * abs(right)


def loss_limit(case: Case) -> float:
    """How near a loss must be to one after an update, as a share of it."""
    return SAME32 if case.single else MATCHES


def rate_of(case: Case, step: Any) -> float | None:
    """The rate η for which the losses of all trials are those after an update; None if there is none."""

    def moved(place: int, rate: float) -> Arrays:
        problem, call = case.trials[place].problem, case.calls[place]
        return {
            name: p - rate * step(call.gradients[name])
            if call.gradients[name].shape == p.shape
            else p
            for name, p in problem.parameters.items()
        }

    def fits(rate: float) -> bool:
        return all(loss_is(case, place, moved(place, rate)) for place in range(len(case.trials)))

    for rate in USUAL_RATES:
        if loss_is(case, 0, moved(0, rate)) and fits(rate):
            return rate
    # Any other: where the loss of the small-weight trial, smooth in η, crosses the function's.
    place = min(range(len(case.trials)), key=lambda p: case.trials[p].sigma)

    def miss(rate: float) -> float:
        problem = case.trials[place].problem._replace(parameters=moved(place, rate))
        return case.predicted(problem, ()).loss - (case.calls[place].loss or 0.0)

    grid = [0.0, *np.geomspace(1e-6, 2, 40).tolist()]
    for low, high in pairwise(grid):
        if miss(low) * miss(high) < 0:
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if miss(low) * miss(middle) > 0 else (low, middle)
            if fits(low):
                return float(low)
    return None
