"""Holds all trials with the right answers and the function's own, and how near a prediction must
come.

It knows no list of mistakes, and decides nothing.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from charloom.diagnosis.diagnosis_result import LOSS, Found
from charloom.diagnosis.faulty_network import Answer, Problem, answer
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.trials import Trial

Explanation = tuple[Found, ...]

MATCHES: Final = 1e-6  # norm-relative: how near a prediction must come in float64
FLOAT64: Final = 1e-10  # what a right gradient keeps in float64; careful code keeps 1e-14
FLOAT32: Final = 1e-5  # and in float32, where rounding does no more than that
MARGIN: Final = 30.0  # how many times what one rounding in float32 does, is still rounding
WIDEST: Final = 1e-3
DIGITS: Final = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)
ZERO: Final = 1e-12  # of all gradients' norm: what counts as zero


class Case:
    """All trials with the right answers, what the function answered, and the limits."""

    def __init__(
        self, trials: Sequence[Trial], calls: Sequence[Call], reduction: str, single: bool
    ) -> None:
        self.trials, self.calls, self.reduction, self.single = trials, calls, reduction, single
        self.cell = trials[0].problem.cell
        self.exact = [self.predicted(trial.problem, ()) for trial in trials]
        self.limits = [self._limits(place) for place in range(len(trials))]

    def predicted(self, problem: Problem, explanation: Explanation) -> Answer:
        """The answer that code with these mistakes would give."""
        with np.errstate(all="ignore"):
            found = answer(problem, {one.id: one.variant for one in explanation})
        if self.reduction == "sum":
            return found
        T = len(problem.x)
        return Answer(found.loss / T, {name: g / T for name, g in found.gradients.items()})

    def _limits(self, place: int) -> dict[str, float]:
        """What a right answer keeps in a trial, by parameter: more where rounding does more.

        How much it does is seen from the same trial in float32.
        """
        problem, exact = self.trials[place].problem, self.exact[place]
        rounded = problem._replace(
            parameters={name: p.astype(np.float32) for name, p in problem.parameters.items()},
            state={name: s.astype(np.float32) for name, s in problem.state.items()},
        )
        moved = self.predicted(rounded, ())
        found = {name: distance(g, exact.gradients[name], 0) for name, g in moved.gradients.items()}
        found[LOSS] = relative(moved.loss, exact.loss)
        if self.single:
            return {n: max(FLOAT32, min(WIDEST, MARGIN * error)) for n, error in found.items()}
        return {
            n: max(FLOAT64, min(MATCHES, MARGIN * DIGITS * error)) for n, error in found.items()
        }

    def distances(self, place: int, predicted: Answer) -> dict[str, float]:
        """How far the function's answer is from a predicted one in a trial, by parameter."""
        call = self.calls[place]
        size = math.sqrt(sum(float(np.vdot(g, g)) for g in call.gradients.values()))
        found = {
            name: distance(call.gradients[name], g, ZERO * size)
            for name, g in predicted.gradients.items()
        }
        if call.loss is not None:
            found[LOSS] = relative(call.loss, predicted.loss)
        return found

    def matching(self, place: int, predicted: Answer, names: Iterable[str]) -> set[str]:
        """Of these names those at which the function's answer matches a predicted one."""
        found = self.distances(place, predicted)
        return {name for name in names if found.get(name, 0.0) <= self.match_limit(place, name)}

    def match_limit(self, place: int, name: str) -> float:
        """How near a prediction must come."""
        return max(MATCHES, self.limits[place][name]) if self.single else MATCHES

    def accepts(
        self, place: int, explanation: Explanation, only: Iterable[str] | None = None
    ) -> float:
        """The largest distance in a trial if it is a match, else infinity; `only` these names."""
        predicted = self.predicted(self.trials[place].problem, explanation)
        far = 0.0
        for name, error in self.distances(place, predicted).items():
            if only is not None and name not in only:
                continue
            if not error <= self.match_limit(place, name):
                return math.inf
            far = max(far, error)
        return far


def distance(a: Any, n: Any, zero: float) -> float:
    """Norm-relative distance of two arrays; infinite where their shapes differ."""
    if a.shape != n.shape:
        return math.inf
    gap = a - n
    far = math.sqrt(float(np.vdot(gap, gap)))
    if not math.isfinite(far):
        return math.inf  # and then `zero`, a share of the same numbers, is no limit either
    if far <= zero:
        return 0.0
    return far / (math.sqrt(float(np.vdot(a, a))) + math.sqrt(float(np.vdot(n, n))))


def relative(a: float, n: float) -> float:
    """The same of two losses."""
    return 0.0 if a == n else abs(a - n) / (abs(a) + abs(n))
