"""Holds the right results and the function's results of all trials, and compares predictions with them.

A prediction is the result that code with certain mistakes would return. This module does not know
the mistakes, and does not decide whether a result is right.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.found_mistake import Found, switches_of
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Answer, Problem
from charloom.diagnosis.trials import Trial

Explanation = tuple[Found, ...]

SHORT: Final = 1  # index of the smallest trial
# Each result has an error limit, a norm-relative error: up to this error, the result counts as right.
MATCHES: Final = 1e-6  # largest distance of a result from a prediction that it matches, in float64
MARGIN: Final = 30.0  # an error limit is this many times the error that rounded parameters cause


class Precision(NamedTuple):
    """The precision with which a function is assumed to compute, and the errors that it explains.

    Attributes:
        name: the dtype.
        least, widest: smallest and largest error limit. Careful code in float64 has errors of about 1e-14.
        rounded: the dtype to which the parameters are rounded to measure what rounding changes.
        scale: the rounding error of this precision, divided by that of `rounded`.
        largest_loss: a larger loss (nats) may have a step whose probability is 0 in this precision; 0 if no
            trial has such a step.
    """

    name: str
    least: float
    widest: float
    rounded: type[np.floating]
    scale: float
    largest_loss: float = 0.0


FLOAT64: Final = Precision(
    "float64",
    1e-10,
    MATCHES,
    np.float32,
    float(np.finfo(np.float64).eps / np.finfo(np.float32).eps),
)
FLOAT32: Final = Precision("float32", 1e-5, 1e-3, np.float32, 1.0)
FLOAT16: Final = Precision("float16", 3e-3, 0.1, np.float16, 1.0, largest_loss=17.0)
ZERO: Final = 1e-12  # up to this share of the norm of all gradients, one gradient counts as zero


class Case:
    """The right results and the function's results of every trial, with the error limits.

    Attributes:
        trials: the trials.
        calls: the function's result in each trial.
        reduction: "sum" or "mean", the right reduction of the loss over time.
        precision: the precision with which the function is assumed to compute; it decides the error
            limits.
        cell: the cell of the network, such as "lstm".
        exact: the right result of each trial.
        limits: for each trial, a dict that maps each gradient and the loss to its error limit.
        network: the differences of the function's network and loss from those of the specification,
            such as a mean instead of a sum. "Right" means right for the network with these differences.
        loss_errors: for each trial, the relative error that rounding of the loss alone can cause; empty if
            the loss is not rounded more than the gradients.
        usable: the trials in which the function returned only finite numbers; all trials if there is
            no such trial.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        calls: Sequence[Call],
        reduction: str,
        precision: Precision = FLOAT64,
        network: Explanation = (),
        loss_errors: Sequence[float] = (),
    ) -> None:
        self.trials, self.calls, self.reduction, self.precision = (
            trials,
            calls,
            reduction,
            precision,
        )
        self.cell = trials[0].problem.cell
        self.network = network
        self.loss_errors = loss_errors
        finite = [place for place, call in enumerate(calls) if call.is_finite()]
        self.usable = finite or list(range(len(trials)))
        # The smallest trial excludes most explanations, so it is compared first.
        self.smallest = SHORT if SHORT in self.usable else min(self.usable, key=self.length)
        self._of_single: dict[tuple[int, Explanation], Answer] = {}
        self._sizes = [
            math.sqrt(sum(float(np.vdot(g, g)) for g in call.gradients.values())) for call in calls
        ]
        self._places = {id(trial.problem): place for place, trial in enumerate(trials)}
        self.exact = [self.predicted(trial.problem, ()) for trial in trials]
        self.limits = [self._limits(trial) for trial in range(len(trials))]

    def predicted(self, problem: Problem, explanation: Explanation) -> Answer:
        """Return the loss and gradients that code with the mistakes in `explanation` would compute.

        The code also has the differences in `network`. If `explanation` is empty, the results are
        exact for this network. The results of single mistakes in the trials are kept, because
        every search asks for them.
        """
        place = self._places.get(id(problem)) if len(explanation) == 1 else None
        if place is None:
            return self._computed(problem, explanation)
        key = place, explanation
        if key not in self._of_single:
            self._of_single[key] = self._computed(problem, explanation)
        return self._of_single[key]

    def _computed(self, problem: Problem, explanation: Explanation) -> Answer:
        """Compute the loss and gradients of code with the mistakes in `explanation`."""
        with np.errstate(all="ignore"):
            total = answer(problem, switches_of((*self.network, *explanation)))
        if self.reduction == "sum":
            return total
        T = len(problem.x)
        return Answer(total.loss / T, {name: g / T for name, g in total.gradients.items()})

    @property
    def single(self) -> bool:
        """Whether the error limits are those of a precision below float64."""
        return self.precision.name != FLOAT64.name

    def length(self, trial: int) -> int:
        """Return the number of steps of a trial's window."""
        return len(self.trials[trial].problem.x)

    def with_network(self, network: Explanation) -> "Case":
        """Return the same results, compared with the right ones for a network with these differences."""
        return Case(
            self.trials, self.calls, self.reduction, self.precision, network, self.loss_errors
        )

    def with_precision(self, precision: Precision) -> "Case":
        """Return the same results, with the error limits of another precision."""
        return Case(
            self.trials, self.calls, self.reduction, precision, self.network, self.loss_errors
        )

    def with_loss_errors(self, errors: Sequence[float]) -> "Case":
        """Return the same results, with these relative errors that rounding can cause in the losses."""
        return Case(self.trials, self.calls, self.reduction, self.precision, self.network, errors)

    def smallest_first(self) -> list[int]:
        """Return the usable trials, the smallest one first."""
        return sorted(self.usable, key=lambda n: (n != self.smallest, self.length(n)))

    def _limits(self, trial: int) -> dict[str, float]:
        """Return a dict with the error limit of each gradient and of the loss in a trial.

        The error limit is the largest relative error that rounding can cause. To measure how much
        rounding changes the results, this method rounds the parameters and the state to a lower
        precision and computes the results again.
        """
        problem, exact = self.trials[trial].problem, self.exact[trial]
        _, least, widest, dtype, scale, _ = self.precision
        rounded = problem._replace(
            parameters={
                name: p.astype(dtype).astype(np.float64) for name, p in problem.parameters.items()
            },
            state={name: s.astype(dtype).astype(np.float64) for name, s in problem.state.items()},
        )
        result = self.predicted(rounded, ())
        errors = {n: distance(g, exact.gradients[n], 0) for n, g in result.gradients.items()}
        errors[LOSS] = relative(result.loss, exact.loss)
        limits = {n: max(least, min(widest, MARGIN * scale * error)) for n, error in errors.items()}
        if self.loss_errors:
            limits[LOSS] = max(limits[LOSS], self.loss_errors[trial])
        return limits

    def distances(self, trial: int, predicted: Answer) -> dict[str, float]:
        """Return a dict with the relative distance of each gradient and of the loss from a prediction.

        `trial` is the index of the trial. `predicted` is the result that is predicted for it.
        """
        names = (
            (*predicted.gradients, LOSS)
            if self.calls[trial].loss is not None
            else predicted.gradients
        )
        return {name: self.distance(trial, predicted, name) for name in names}

    def distance(self, trial: int, predicted: Answer, name: str) -> float:
        """Return the relative distance of a gradient, or of the loss, from a prediction; 0 without a loss."""
        call = self.calls[trial]
        if name == LOSS:
            return 0.0 if call.loss is None else relative(call.loss, predicted.loss)
        zero = ZERO * self._sizes[trial]
        return distance(call.gradients[name], predicted.gradients[name], zero)

    def matching(self, trial: int, predicted: Answer, names: Iterable[str]) -> set[str]:
        """Return each name in `names` whose result in a trial matches the result in `predicted`.

        `names` are parameters, which stand for their gradients, and "loss". `trial` is the index of
        the trial, and `predicted` the result that is predicted for it.
        """
        return {
            name
            for name in names
            if self.distance(trial, predicted, name) <= self.match_limit(trial, name)
        }

    def match_limit(self, trial: int, name: str) -> float:
        """Return the largest distance from its prediction at which a result of a trial still matches.

        `name` is "loss", or the parameter whose gradient is the result.
        """
        loosened = self.single or (name == LOSS and self.loss_errors)
        return max(MATCHES, self.limits[trial][name]) if loosened else MATCHES

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
        for name in (*predicted.gradients, LOSS) if only is None else only:
            error = self.distance(trial, predicted, name)
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
