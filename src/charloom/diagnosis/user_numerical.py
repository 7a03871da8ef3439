"""Judges a user's own numerical gradient: whether it is good enough, and if not, what is wrong with
it.

A step too large and a forward difference leave a truncation error that can be computed; a step too
small leaves multiples of the last digit of the loss. It runs no code of the user's.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.diagnosis_result import Found
from charloom.diagnosis.faulty_network import (
    Array,
    Arrays,
    Problem,
    answer,
    exact_loss,
    exact_state,
)
from charloom.diagnosis.fitted_constants import explains_more

GOOD: Final = 1e-6  # norm-relative; central differences at 1e-5 in float64 keep 1e-8
STEPS: Final = tuple(m * 10.0**-k for k in range(1, 14) for m in (5, 2, 1))
WHOLE: Final = 1e-3  # how near to a whole number of last digits
SMALL: Final = 3e-8  # twice the step, below which rounding is to blame


class Side(NamedTuple):
    """One trial: the problem, what the user's numerical gradient is, and what is right; flat."""

    problem: Problem
    given: Array
    right: Array
    factor: float  # of the loss: 1, or 1/T where it is meant to be a mean


def judge(problems: Sequence[Problem], gradients: Sequence[Arrays], mean: bool) -> Found | None:
    """What is wrong with a numerical gradient; None where it is good."""
    sides = []
    for problem, given in zip(problems, gradients, strict=True):
        factor = 1 / len(problem.x) if mean else 1.0
        exact = {name: factor * g for name, g in answer(problem).gradients.items()}
        if any(given[name].shape != g.shape for name, g in exact.items()):
            return Found("numerical-unexplained", "shapes differ")
        sides.append(
            Side(problem, flat({name: given[name] for name in exact}), flat(exact), factor)
        )
    if all(far(side.given, side.right) <= GOOD for side in sides):
        return None
    return next(iter(explanations(sides)), Found("numerical-unexplained"))


def explanations(sides: Sequence[Side]) -> Iterator[Found]:
    """What fits, likeliest first."""
    if all(not side.given.any() for side in sides):
        yield Found("numerical-copy-unused")
        return
    if all(far(side.given, 2 * side.right) <= 1e-3 for side in sides):
        yield Found("numerical-not-halved")
        return
    for name, (kind, power, reference) in KINDS.items():
        step = fitted(sides[0], kind, power, reference)
        if step is not None and all(explains(side, kind, step) for side in sides):
            yield Found(name.partition(" ")[0], f"s ≈ {step:.1e}")
            return
    if all(is_offset(side) for side in sides):
        yield Found("numerical-state-differs")
        return
    for digits, told in ((np.float64, ""), (np.float32, "the loss is float32")):
        apart = [divisor(side, digits) for side in sides]
        if None not in apart and max(a for a in apart if a is not None) < (
            SMALL if digits is np.float64 else 1.0
        ):
            step = (apart[0] or 0) / 2
            yield Found("numerical-step-small", told or f"s ≈ {step:.0e}")
            return


def fitted(side: Side, kind: "Kind", power: int, reference: float) -> float | None:
    """The step at which a way of differencing makes about the user's error, which grows with that
    power of the step; None where it makes another one."""
    some = pick(side)
    error = side.given[some] - side.right[some]
    own = kind(side.problem, side.factor, reference, some) - side.right[some]
    size = float(own @ own)
    ratio = float(error @ own) / size if size else 0.0
    if not ratio > 0:
        return None
    step = reference * ratio ** (1 / power)
    return float(step) if 1e-12 < step < 10 else None


def explains(side: Side, kind: "Kind", step: float) -> bool:
    """Whether a way of differencing leaves (nearly) the error that the user's has."""
    some = pick(side)
    predicted = kind(side.problem, side.factor, step, some)
    left = float(np.linalg.norm(side.given[some] - predicted))
    had = float(np.linalg.norm(side.given[some] - side.right[some]))
    # What the last digit of the loss becomes when it is divided by the step.
    last = float(np.spacing(abs(side.factor * exact_loss(side.problem)))) / step
    return explains_more(left, had, last)


def pick(side: Side) -> Array:
    """The entries that predictions are made for: at most thirty, evenly."""
    n = len(side.right)
    return np.unique(np.linspace(0, n - 1, min(n, 30)).astype(int))


Kind = Callable[[Problem, float, float, Array], Array]


def forward(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s) - f(θ)) / s."""
    here = factor * exact_loss(problem)
    return np.array([(factor * loss(problem, e, step) - here) / step for e in entries])


def backward(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ) - f(θ - s)) / s."""
    return forward(problem, factor, -step, entries)


def central(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s) - f(θ - s)) / 2s."""
    return np.array(
        [factor * (loss(problem, e, step) - loss(problem, e, -step)) / (2 * step) for e in entries]
    )


def carried(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s; h_0) - f(θ - s; h_T)) / 2s."""
    later = problem._replace(state=exact_state(problem))
    return two_states(problem, later, factor, step, entries)


def carried_plus(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s; h_T) - f(θ - s; h_0)) / 2s."""
    later = problem._replace(state=exact_state(problem))
    return two_states(later, problem, factor, step, entries)


def zeroed(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s; h_0) - f(θ - s; 0)) / 2s."""
    return two_states(problem, from_zero(problem), factor, step, entries)


def zeroed_plus(problem: Problem, factor: float, step: float, entries: Array) -> Array:
    """(f(θ + s; 0) - f(θ - s; h_0)) / 2s."""
    return two_states(from_zero(problem), problem, factor, step, entries)


def from_zero(problem: Problem) -> Problem:
    """The problem from a state of zeros."""
    return problem._replace(state={name: np.zeros_like(s) for name, s in problem.state.items()})


def two_states(plus: Problem, minus: Problem, factor: float, step: float, entries: Array) -> Array:
    """Central differences whose sides start from different states."""
    return np.array(
        [factor * (loss(plus, e, step) - loss(minus, e, -step)) / (2 * step) for e in entries]
    )


# Each with the power of the step with which its error grows, and a step at which that shows.
KINDS: Final[dict[str, tuple[Kind, int, float]]] = {
    "numerical-forward-difference": (forward, 1, 1e-4),
    "numerical-forward-difference backward": (backward, 1, 1e-4),
    "numerical-step-large": (central, 2, 1e-2),
    "numerical-state-differs carried": (carried, -1, 1e-5),
    "numerical-state-differs carried, plus": (carried_plus, -1, 1e-5),
    "numerical-state-differs zero": (zeroed, -1, 1e-5),
    "numerical-state-differs zero, plus": (zeroed_plus, -1, 1e-5),
}


def loss(problem: Problem, entry: int, step: float) -> float:
    """The loss with one entry of all parameters, laid end to end, moved by a step."""
    at = int(entry)
    for name, array in problem.parameters.items():
        if at < array.size:
            moved = array.copy()
            moved.flat[at] += step
            return exact_loss(problem._replace(parameters={**problem.parameters, name: moved}))
        at -= array.size
    raise IndexError(entry)


def is_offset(side: Side) -> bool:
    """Whether the error is (nearly) the same number at every entry, and large."""
    error = side.given - side.right
    middle = float(np.median(error))
    return abs(middle) > 10 * float(np.abs(side.right).max()) and bool(
        np.median(np.abs(error - middle)) < 0.3 * abs(middle)
    )


def divisor(side: Side, digits: type[np.floating]) -> float | None:
    """The number by which differences of losses were divided: the smallest that makes each entry a
    whole number of last digits of the loss. None where none does."""
    last = float(np.spacing(digits(abs(side.factor * exact_loss(side.problem)))))
    unit = last / 4  # the two losses may lie below a power of two
    some = side.given[side.given != 0]
    if not len(some):
        return None
    for step in sorted(
        {s * m for s in (*STEPS, *(10.0**-k for k in range(14, 18))) for m in (1, 2)}
    ):
        counts = some * step / unit
        if np.abs(counts).max() < 0.5 or np.abs(counts).max() > 1e12:
            continue
        if np.abs(counts - np.round(counts)).max() <= WHOLE * max(1.0, np.abs(counts).max() * 1e-9):
            return step
    return None


def flat(arrays: Arrays) -> Array:
    """All arrays laid end to end, in the order of their names as the parameters have it."""
    return np.concatenate([np.ravel(array) for array in arrays.values()])


def far(a: Array, n: Array) -> float:
    """Norm-relative distance; infinite where one is not finite."""
    if not np.isfinite(a).all():
        return math.inf
    sizes = float(np.linalg.norm(a) + np.linalg.norm(n))
    return float(np.linalg.norm(a - n)) / sizes if sizes else 0.0
