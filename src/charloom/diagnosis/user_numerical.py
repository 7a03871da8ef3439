"""Checks the user's numerical gradient, and finds the mistake in it if it is not accurate enough.

To find a forward difference or a step that is too large, the module computes the error that such a
mistake causes, and compares it with the user's error. To find a step that is too small, it checks
whether the differences of the losses are multiples of the last digit of the loss. This module does
not run the user's code.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.case import distance
from charloom.diagnosis.faulty_network import answer, exact_loss, exact_state
from charloom.diagnosis.fitted_constants import explains_more
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.problem import Array, Arrays, Problem

# A numerical gradient is good up to this norm-relative error. The error of central differences
# with the step 1e-5 in float64 is about 1e-8.
GOOD: Final = 1e-6
STEPS: Final = tuple(m * 10.0**-k for k in range(1, 14) for m in (5, 2, 1))
WHOLE: Final = 1e-3  # largest distance from a whole number at which a number counts as whole
# If twice the step is below this number, the step is so small that the rounding of the losses can make
# a numerical gradient wrong.
SMALL: Final = 3e-8
ENTRIES: Final = 30  # largest number of entries for which differences are computed


class NumericalTrial(NamedTuple):
    """A trial of the numerical gradient.

    Attributes:
        problem: the problem of the trial.
        given: the user's numerical gradient, with all parameters in one flat array.
        right: the right gradient in the same order.
        factor: number by which the sum of the losses is multiplied: 1, or 1/T for a mean over time.
    """

    problem: Problem
    given: Array
    right: Array
    factor: float


def find_mistake(
    problems: Sequence[Problem], gradients: Sequence[Arrays], mean: bool
) -> Found | None:
    """Return the mistake in the user's numerical gradients; None if the gradients are accurate enough.

    `gradients` has the numerical gradient of each problem in `problems`. `mean` is True if the loss
    is the mean over time, and False if it is the sum.
    """
    trials = []
    for problem, given in zip(problems, gradients, strict=True):
        factor = 1 / len(problem.x) if mean else 1.0
        exact = {name: factor * g for name, g in answer(problem).gradients.items()}
        if any(given[name].shape != g.shape for name, g in exact.items()):
            return Found("numerical-unexplained", "shapes differ")
        numbers = flat({name: given[name] for name in exact})
        trials.append(NumericalTrial(problem, numbers, flat(exact), factor))
    if all(distance(trial.given, trial.right, 0) <= GOOD for trial in trials):
        return None
    return explanation(trials) or Found("numerical-unexplained")


def explanation(trials: Sequence[NumericalTrial]) -> Found | None:
    """Return the likeliest mistake that explains the numerical gradients of all trials.

    Return None if no known mistake explains them.
    """
    if all(not trial.given.any() for trial in trials):
        return Found("numerical-copy-unused")
    if all(distance(trial.given, 2 * trial.right, 0) <= 1e-3 for trial in trials):
        return Found("numerical-not-halved")
    for mistake, kind, power, reference in KINDS:
        step = fitted_step(trials[0], kind, power, reference)
        if step is not None and all(explains(trial, kind, step) for trial in trials):
            return Found(mistake, f"s ≈ {step:.1e}")
    if all(is_offset(trial) for trial in trials):
        return Found("numerical-state-differs")
    for digits, largest, variant in (
        (np.float64, SMALL, ""),
        (np.float32, 1.0, "the loss is float32"),
    ):
        divisors = [divisor(trial, digits) for trial in trials]
        if None not in divisors and max(d for d in divisors if d is not None) < largest:
            # The two losses of a difference usually have last digits of the same size. The difference
            # is then a multiple of a whole last digit (share 1.0), not only of a quarter of it.
            step = (divisor(trials[0], digits, 1.0) or divisors[0] or 0.0) / 2
            return Found("numerical-step-small", variant or f"s ≈ {step:.0e}")
    return None


def fitted_step(trial: NumericalTrial, kind: "Kind", power: int, reference: float) -> float | None:
    """Return the step size with which `kind` makes about the error of the user's numerical gradient.

    `kind` is a function that computes a numerical gradient, such as `forward`. Compute the error of
    this gradient with the step size `reference`, and assume that it is proportional to the step size
    to the power `power`. Return None if no step size fits.
    """
    entries = some_entries(trial)
    error = trial.given[entries] - trial.right[entries]
    predicted = kind(trial, reference, entries) - trial.right[entries]
    size = float(predicted @ predicted)
    ratio = float(error @ predicted) / size if size else 0.0
    if not ratio > 0:
        return None
    step = reference * ratio ** (1 / power)
    return float(step) if 1e-12 < step < 10 else None


def explains(trial: NumericalTrial, kind: "Kind", step: float) -> bool:
    """Return True if `kind` with the step size `step` returns nearly the user's numerical gradient.

    `kind` is a function that computes a numerical gradient, such as `forward`. Its result must be
    much closer to the user's gradient than the right gradient is.
    """
    entries = some_entries(trial)
    remaining = float(np.linalg.norm(trial.given[entries] - kind(trial, step, entries)))
    error = float(np.linalg.norm(trial.given[entries] - trial.right[entries]))
    # The losses are rounded to their last digit. A numerical gradient divides this error by the step.
    rounding = float(np.spacing(abs(trial.factor * exact_loss(trial.problem)))) / step
    return explains_more(remaining, error, rounding)


def some_entries(trial: NumericalTrial) -> Array:
    """Return the indices of at most `ENTRIES` evenly spaced entries of the trial's flat gradient."""
    n = len(trial.right)
    return np.unique(np.linspace(0, n - 1, min(n, ENTRIES)).astype(int))


# A function that computes a numerical gradient. Its arguments are a trial, the step size, and which
# entries to compute, as indices into the flat array of all parameters.
Kind = Callable[[NumericalTrial, float, Array], Array]


def forward(trial: NumericalTrial, step: float, entries: Array) -> Array:
    """Return the forward difference (f(θ + s) - f(θ)) / s for each entry θ, where s is `step`.

    f is the trial's loss. `entries` has the index of each entry in a flat array of all parameters.
    """
    here = trial.factor * exact_loss(trial.problem)
    return np.array([(trial.factor * loss(trial.problem, e, step) - here) / step for e in entries])


def backward(trial: NumericalTrial, step: float, entries: Array) -> Array:
    """Return the backward difference (f(θ) - f(θ - s)) / s for each entry θ, where s is `step`.

    f is the trial's loss. `entries` has the index of each entry in a flat array of all parameters.
    """
    return forward(trial, -step, entries)


def central(plus: str, minus: str) -> Kind:
    """Return a function that computes the central difference (f(θ + s) - f(θ - s)) / 2s for each entry.

    The loss f(θ + s) is computed from the initial states `plus`, and f(θ - s) from `minus`. `plus`
    and `minus` are each "given", "last" or "zero" (see `started`).
    """

    def differences(trial: NumericalTrial, step: float, entries: Array) -> Array:
        above, below = started(trial.problem, plus), started(trial.problem, minus)
        return np.array(
            [
                trial.factor * (loss(above, e, step) - loss(below, e, -step)) / (2 * step)
                for e in entries
            ]
        )

    return differences


def started(problem: Problem, start: str) -> Problem:
    """Return `problem` with the initial states that `start` names.

    `start` is "given" for the initial states of `problem`, "last" for the states after the last step
    of its window, or "zero".
    """
    if start == "last":
        return problem._replace(state=exact_state(problem))
    if start == "zero":
        return problem._replace(state={name: np.zeros_like(s) for name, s in problem.state.items()})
    return problem


# Each row has the id of a mistake, and the arguments `kind`, `power` and `reference` of
# `fitted_step` that find it.
KINDS: Final[tuple[tuple[str, Kind, int, float], ...]] = (
    ("numerical-forward-difference", forward, 1, 1e-4),
    ("numerical-forward-difference", backward, 1, 1e-4),
    ("numerical-step-large", central("given", "given"), 2, 1e-2),
    ("numerical-state-differs", central("given", "last"), -1, 1e-5),
    ("numerical-state-differs", central("last", "given"), -1, 1e-5),
    ("numerical-state-differs", central("given", "zero"), -1, 1e-5),
    ("numerical-state-differs", central("zero", "given"), -1, 1e-5),
)


def loss(problem: Problem, entry: int, step: float) -> float:
    """Return the exact loss after `step` is added to one entry of the parameters.

    `entry` is the index of this entry if all parameters are put one after the other in a flat
    array.
    """
    index = int(entry)
    for name, array in problem.parameters.items():
        if index < array.size:
            moved = array.copy()
            moved.flat[index] += step
            return exact_loss(problem._replace(parameters={**problem.parameters, name: moved}))
        index -= array.size
    raise IndexError(entry)


def is_offset(trial: NumericalTrial) -> bool:
    """Return True if the error of the numerical gradient is large and nearly equal in most entries."""
    error = trial.given - trial.right
    middle = float(np.median(error))
    return abs(middle) > 10 * float(np.abs(trial.right).max()) and bool(
        np.median(np.abs(error - middle)) < 0.3 * abs(middle)
    )


def divisor(trial: NumericalTrial, digits: type[np.floating], share: float = 0.25) -> float | None:
    """Return the number by which the user divided the differences of losses, such as twice the step.

    A difference of two losses is a multiple of a unit: `share` times the last digit of the loss. So
    return the smallest tried number that, multiplied by any entry of the user's gradient, gives a
    multiple of this unit. Return None if no number fits. `digits` is the dtype of the loss, such as
    np.float64.
    """
    last = float(np.spacing(digits(abs(trial.factor * exact_loss(trial.problem)))))
    # A loss after the step can be smaller than this loss. Its last digit is then smaller too, so that
    # the difference needs a share below 1.
    unit = last * share
    some = trial.given[trial.given != 0]
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
    """Return the entries of all arrays in one flat array, in the order of the dict `arrays`."""
    return np.concatenate([np.ravel(array) for array in arrays.values()])
