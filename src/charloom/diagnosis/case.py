"""Holds the right results and the function's results of all trials, and compares predictions with them.

A prediction is the result that code with certain mistakes would return. This module does not know
the mistakes, and does not decide whether a result is right.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from charloom.diagnosis.diagnosis_result import LOSS, Found
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Answer, Problem
from charloom.diagnosis.trials import Trial

Explanation = tuple[Found, ...]

# Each result has an error limit, a norm-relative error: up to this error, the result counts as right.
MATCHES: Final = 1e-6  # largest distance of a result from a prediction that it matches, in float64
FLOAT64: Final = 1e-10  # smallest error limit in float64; careful code has errors of about 1e-14
FLOAT32: Final = 1e-5  # smallest error limit in float32
WIDEST: Final = 1e-3  # largest error limit in float32
MARGIN: Final = 30.0  # an error limit is this many times the error that rounded parameters cause
DIGITS: Final = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)
ZERO: Final = 1e-12  # up to this share of the norm of all gradients, one gradient counts as zero


class Case:
    """The right results and the function's results of every trial, with the error limits.

    Attributes:
        trials: the trials.
        calls: the function's result in each trial.
        reduction: "sum" or "mean", the right reduction of the loss over time.
        single: whether the error limits are those of float32; otherwise of float64.
        cell: the cell of the network, such as "lstm".
        exact: the right result of each trial.
        limits: for each trial, a dict that maps each gradient and the loss to its error limit.
    """

    def __init__(
        self, trials: Sequence[Trial], calls: Sequence[Call], reduction: str, single: bool
    ) -> None:
        self.trials, self.calls, self.reduction, self.single = trials, calls, reduction, single
        self.cell = trials[0].problem.cell
        self.exact = [self.predicted(trial.problem, ()) for trial in trials]
        self.limits = [self._limits(trial) for trial in range(len(trials))]

    def predicted(self, problem: Problem, explanation: Explanation) -> Answer:
        """Return the loss and gradients that code with the mistakes in `explanation` would compute.

        If `explanation` is empty, they are exact.
        """
        with np.errstate(all="ignore"):
            total = answer(problem, {one.id: one.variant for one in explanation})
        if self.reduction == "sum":
            return total
        T = len(problem.x)
        return Answer(total.loss / T, {name: g / T for name, g in total.gradients.items()})

    def _limits(self, trial: int) -> dict[str, float]:
        """Return a dict with the error limit of each gradient and of the loss in a trial.

        The error limit is the largest relative error that rounding can cause. To measure how much
        rounding changes the results, this method rounds the parameters and the state to float32 and
        computes the results again.
        """
        problem, exact = self.trials[trial].problem, self.exact[trial]
        rounded = problem._replace(
            parameters={name: p.astype(np.float32) for name, p in problem.parameters.items()},
            state={name: s.astype(np.float32) for name, s in problem.state.items()},
        )
        result = self.predicted(rounded, ())
        errors = {n: distance(g, exact.gradients[n], 0) for n, g in result.gradients.items()}
        errors[LOSS] = relative(result.loss, exact.loss)
        if self.single:
            return {n: max(FLOAT32, min(WIDEST, MARGIN * error)) for n, error in errors.items()}
        return {
            n: max(FLOAT64, min(MATCHES, MARGIN * DIGITS * error)) for n, error in errors.items()
        }

    def distances(self, trial: int, predicted: Answer) -> dict[str, float]:
        """Return a dict with the relative distance of each gradient and of the loss from a prediction.

        `trial` is the index of the trial. `predicted` is the result that is predicted for it.
        """
        call = self.calls[trial]
        size = math.sqrt(sum(float(np.vdot(g, g)) for g in call.gradients.values()))
        distances = {
            name: distance(call.gradients[name], g, ZERO * size)
            for name, g in predicted.gradients.items()
        }
        if call.loss is not None:
            distances[LOSS] = relative(call.loss, predicted.loss)
        return distances

    def matching(self, trial: int, predicted: Answer, names: Iterable[str]) -> set[str]:
        """Return each name in `names` whose result in a trial matches the result in `predicted`.

        `names` are parameters, which stand for their gradients, and "loss". `trial` is the index of
        the trial, and `predicted` the result that is predicted for it.
        """
        far = self.distances(trial, predicted)
        return {name for name in names if far.get(name, 0.0) <= self.match_limit(trial, name)}

    def match_limit(self, trial: int, name: str) -> float:
        """Return the largest distance from its prediction at which a result of a trial still matches.

        `name` is "loss", or the parameter whose gradient is the result.
        """
        return max(MATCHES, self.limits[trial][name]) if self.single else MATCHES

    def distance_if_matching(
        self, trial: int, explanation: Explanation, only: Iterable[str] | None = None
    ) -> float:
        """Return the largest distance in one trial between a result of the function and its prediction.

        The prediction is the result of code with the mistakes in `explanation`. Return infinity if a
        distance is above `match_limit`.

        Args:
            trial: index of the trial.
            explanation: the mistakes.
            only: the results to compare, such as ("U", "loss"); None to compare all.
        """
        predicted = self.predicted(self.trials[trial].problem, explanation)
        far = 0.0
        for name, error in self.distances(trial, predicted).items():
            if only is not None and name not in only:
                continue
            if not error <= self.match_limit(trial, name):
                return math.inf
            far = max(far, error)
        return far


def distance(a: Any, n: Any, zero: float) -> float:
    """Return the norm of `a` - `n`, divided by the sum of the norms of `a` and `n`.

    Return 0 if the norm of the difference is at most `zero`, and infinity if the shapes differ or
    the norm of the difference is not finite.
    """
    if a.shape != n.shape:
        return math.inf
    gap = a - n
    far = math.sqrt(float(np.vdot(gap, gap)))
    if not math.isfinite(far):
        return math.inf  # if `zero` is infinite too, the next comparison would return 0
    if far <= zero:
        return 0.0
    return far / (math.sqrt(float(np.vdot(a, a))) + math.sqrt(float(np.vdot(n, n))))


def relative(a: float, n: float) -> float:
    """Return |a - n| / (|a| + |n|) for the losses `a` and `n`; 0 if they are equal."""
    return 0.0 if a == n else abs(a - n) / (abs(a) + abs(n))
