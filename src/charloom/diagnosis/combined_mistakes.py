"""Finds several mistakes that occur together, by following the function's own backward pass.

In the trial "separate steps", dU shows the function's gradient of each step. The search computes the
backward pass with some mistakes, from the last step to the first, and looks for the latest step at which
it differs from the function's. A mistake that makes more of this step right is added, until all steps are
right. Then it looks for mistakes in the sums over the steps. What it finds must predict the results of
every trial.
"""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.case import MATCHES, Case, Explanation
from charloom.diagnosis.clipping_limits import NO_LIMITS, limits_of
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.explanation import nearest
from charloom.diagnosis.faulty_network import walk
from charloom.diagnosis.faulty_sums import summed
from charloom.diagnosis.fitted_pairs import close, norm
from charloom.diagnosis.found_mistake import Found, may_join, switches_of
from charloom.diagnosis.limited_variants import AT, limited
from charloom.diagnosis.location import Places
from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.diagnosis.step_gradients import LIMIT, near

# Mistakes that change what a step passes back. Two of them can spoil the same step, so that only both
# together make it right.
CARRIES: Final = (
    *("time-carry-missing", "carry-not-transposed", "carry-accumulated", "carry-of-other-gate"),
    *("carry-without-derivative", "recurrent-carry", "gate-not-carried", "reset-product"),
    *("reset-gate-not-in-gradient", "direct-carry", "forget-gate-not-carried", "cell-carry"),
    *("cell-carry-times-output-gate", "carry-after-derivative", "carry-of-input"),
)
IN_SUMS_TOO: Final = ("reset-gate-not-in-gradient",)  # some variants change only sums
MOST_TOGETHER: Final = 4  # mistakes within the steps that are combined
WIDEST: Final = 5  # mistakes that are tried after each other for the same step
MOST_NODES: Final = 14  # sets of mistakes that are extended
MOST_PASSES: Final = (
    20_000  # backward passes that are computed, so that a search takes about two seconds
)
MOST_SUMS: Final = 60  # combinations of mistakes in the sums that are tried


class Reached(NamedTuple):
    """How far a backward pass with some mistakes equals the function's.

    Attributes:
        step: the latest step (from 0) at which they differ; -1 if there is none.
        gates: the gates that are right at this step.
    """

    step: int
    gates: frozenset[str]

    def is_beyond(self, other: "Reached") -> bool:
        """Return True if this backward pass is right for longer, or at more gates of the same step."""
        return self.step < other.step or (self.step == other.step and self.gates > other.gates)


class Candidate(NamedTuple):
    """A set of mistakes within the steps, and how far a backward pass with them reaches."""

    reached: Reached
    mistakes: Explanation

    def rank(self) -> tuple[int, int, int, int]:
        """Return a sort key: the ones that reach farthest first, then the simplest."""
        in_sums = sum(not one.mistake.within_step for one in self.mistakes)
        return self.reached.step, -len(self.reached.gates), in_sums, len(self.mistakes)


def combined(case: Case, problem: Problem, call: Call) -> tuple[list[Explanation], bool]:
    """Return the sets of mistakes that predict the function's results together, and whether exactly.

    The smallest sets are returned, the likeliest first. `problem` is that of the trial "separate steps",
    and `call` the function's result. The second value is False if the loss is not explained.
    """
    if any(call.gradients[n].shape != p.shape for n, p in problem.parameters.items()):
        return [], False
    with np.errstate(all="ignore"):
        for wrapping, gradients in unwrapped(case, problem, call.gradients):
            found = list(Together(case, problem, call, gradients, wrapping).explanations())
            for only in (None, list(case.exact[0].gradients)) if found else ():
                fitting = nearest(case, found, only)
                if fitting:
                    least = min(map(len, fitting))
                    return [one for one in fitting if len(one) == least], only is None
    return [], False


def unwrapped(
    case: Case, problem: Problem, given: Arrays
) -> Iterator[tuple[list[Explanation], Arrays]]:
    """Yield what may have been done to the finished gradients, and the gradients before it.

    What was done is a list of explanations: nothing, clipping, or a weight decay that dV shows.
    """
    clipping = clippings(case)
    yield [(), *clipping], given
    right = case.predicted(problem, ()).gradients
    theta = problem.parameters
    for one in clipping:
        factor = float(np.vdot(given["V"], right["V"])) / float(np.vdot(right["V"], right["V"]))
        if one[0].variant.startswith("norm ") and factor > MATCHES:
            yield [one], {name: g / factor for name, g in given.items()}
    left = given["V"] - right["V"]
    rate = float(np.vdot(theta["V"], left)) / float(np.vdot(theta["V"], theta["V"]))
    size = norm(list(given.values()))
    if abs(rate) < MATCHES or not close(given["V"], right["V"] + rate * theta["V"], size):
        return
    rate = float(f"{rate:.9g}")
    matrices = [name for name in theta if theta[name].ndim == 2]
    for names in (matrices, list(theta)):
        less = {name: g - rate * theta[name] if name in names else g for name, g in given.items()}
        variant = f"λ = {rate!r} in {', '.join(names)}"
        ends = ("", f" and the {LOSS}")
        yield [(Found("weight-decay-added", f"{variant}{end}"),) for end in ends], less


def clippings(case: Case) -> list[Explanation]:
    """Return the clipping of the finished gradients that they show, one explanation for each kind."""
    seen = limits_of([case.calls[n] for n in case.usable]).variants()
    return [(Found("clipped", variant),) for variant in seen]


class Together:
    """The search for the mistakes that a function makes together.

    Attributes:
        case, problem: the results of all trials, and the problem of the trial "separate steps".
        given: the function's gradients in this trial.
        wrappings: what may have been done to the finished gradients, as explanations.
        places: the function's gradients of the steps (`location.py`).
        da: its gradients of the steps, (T, G·H).
        passes: number of backward passes that were computed.
        limits: entries at these limits are clipped, so that nothing is known of them.
    """

    def __init__(
        self,
        case: Case,
        problem: Problem,
        call: Call,
        gradients: Arrays,
        wrappings: list[Explanation],
    ) -> None:
        self.case, self.problem, self.given = case, problem, call.gradients
        self.wrappings = wrappings
        self.places = Places(case, problem, call._replace(gradients=gradients))
        self.da = gradients["U"][:, problem.x].T
        self.limits = (
            limits_of([case.calls[n] for n in case.usable]) if len(wrappings) > 1 else NO_LIMITS
        )
        self.passes = 0
        self.inside = [one for one in self.places.known if one.mistake.has_place]
        self.outside = [
            one for one in self.places.known if one.id in IN_SUMS_TOO or not one.mistake.within_step
        ]

    def explanations(self) -> Iterator[Explanation]:
        """Yield the sets of mistakes that predict the gradients of this trial."""
        for logits in self.of_logits():
            for limits in (False, True):
                found = [
                    one
                    for inside in self.of_steps(logits, limits)
                    for wrapping in self.wrappings
                    for one in self.with_sums((*logits, *inside), wrapping)
                ]
                if found:
                    yield from found
                    return

    def of_logits(self) -> list[Explanation]:
        """Return the mistakes that explain the gradients of the logits; only () if these are right."""
        places, shown = self.places, self.places.do_used
        if self.limits.clips_entries(self.given) or not places.wrong_logits(shown):
            return [()]
        size = float(np.abs(shown).max())
        found: list[Explanation] = [
            (one,)
            for one in places.known
            if places.explains(shown, places.output({one.id: one.variant}), places.do, size)
        ]
        factor = float(np.vdot(shown, places.do)) / float(np.vdot(places.do, places.do))
        if places.explains(shown, factor * places.do, places.do, size):
            scaled = ", ".join(f"{factor:.12g} d{name}" for name in self.problem.parameters)
            found.append((Found("gradient-scaled", scaled),))
        return found

    def of_steps(self, logits: Explanation, limits: bool) -> Iterator[Explanation]:
        """Yield sets of mistakes with which the backward pass has the function's gradients of the steps.

        With `limits`, a mistake may also be made at some steps only.
        """
        above = self.above(logits)
        waiting = [Candidate(self.reached((), above), ())]
        seen = set()
        for _ in range(MOST_NODES):
            if not waiting:
                return
            waiting.sort(key=Candidate.rank)
            best = waiting.pop(0)
            if frozenset(best.mistakes) in seen:
                continue
            seen.add(frozenset(best.mistakes))
            if best.reached.step < 0:
                yield best.mistakes
            elif len(best.mistakes) < MOST_TOGETHER:
                waiting += self.extended(best, above, limits)

    def above(self, logits: Explanation) -> Array:
        """Return the gradients (T, H) of the hidden states from the output layer, without a common factor."""
        switches = switches_of(one for one in logits if one.id != "gradient-scaled")
        do = self.places.output(switches) if logits else self.places.do
        scaled = [one.variant for one in logits if one.id == "gradient-scaled"]
        factor = float(scaled[0].split()[0]) if scaled else 1.0
        return np.asarray(factor * do @ self.places.forward.theta["V"])

    def extended(self, base: Candidate, above: Array, limits: bool) -> list[Candidate]:
        """Return the mistakes of `base` with each further one that reaches farther, the farthest ones first."""
        better = []
        for one in self.variants(limits):
            if may_join(one, base.mistakes):
                mistakes = (*base.mistakes, one)
                after = self.reached(mistakes, above)
                if after.is_beyond(base.reached):
                    better.append(Candidate(after, mistakes))
        if not better:
            better = list(self.pairs(base.mistakes, base.reached, above, limits))
        return sorted(better, key=Candidate.rank)[:WIDEST]

    def pairs(
        self, chosen: Explanation, reached: Reached, above: Array, limits: bool
    ) -> Iterator[Candidate]:
        """Yield `chosen` with two further mistakes in what a step passes back, if they reach farther."""
        gated = self.case.cell != "rnn"
        if reached.gates or reached.step == len(self.da) - 1 or (gated and limits):
            return
        known = list(self.variants(limits))
        carries = [one for one in known if one.id in CARRIES]
        others = known if self.case.cell == "rnn" else carries
        for one, other in itertools.product(carries, others):
            if one == other or not may_join(one, chosen) or not may_join(other, (*chosen, one)):
                continue
            if other in carries and carries.index(other) < carries.index(one):
                continue
            after = self.reached((*chosen, one, other), above)
            if after.is_beyond(reached):
                yield Candidate(after, (*chosen, one, other))

    def variants(self, limits: bool) -> Iterator[Found]:
        """Yield the mistakes within the steps, also those at some steps only if `limits` is True."""
        for one in self.inside:
            yield one
            if limits and one.mistake.within_step:
                yield from (Found(one.id, limited(one.variant, where)) for where in AT)

    def reached(self, chosen: Explanation, above: Array) -> Reached:
        """Return how far a backward pass with the mistakes in `chosen` equals the function's.

        After `MOST_PASSES` backward passes, nothing is computed, and no set reaches farther.
        """
        self.passes += 1
        if self.passes > MOST_PASSES:
            return Reached(len(self.da), frozenset())
        forward = self.places.forward
        switches = {**forward.switches, **switches_of(chosen)}
        size = float(np.abs(self.da).max())
        for t, da, dr, _ in walk(forward.cell, forward.theta, forward.steps, above, switches):
            shown = summed(
                "dU", forward.cell, forward.steps[t : t + 1], da[None], dr[None], switches
            )
            given = self.da[t]
            hidden = ~self.limits.free(given)
            wanted = np.where(hidden, given, shown[0])
            right = frozenset(
                gate
                for gate in forward.gates
                if near(given[forward.rows(gate)], wanted[forward.rows(gate)], LIMIT, size)
            )
            if len(right) < len(forward.gates):
                return Reached(t, right)
        return Reached(-1, frozenset())

    def with_sums(self, inside: Explanation, wrapping: Explanation) -> Iterator[Explanation]:
        """Yield the mistakes, with further ones in the sums, that predict every gradient of the trial."""
        mistakes = (*inside, *wrapping)
        wrong = self.wrong_names(mistakes)
        if not wrong:
            if mistakes:
                yield mistakes
            return
        explaining: dict[str, list[Found]] = {name: [] for name in wrong}
        for one in self.outside:
            if not may_join(one, mistakes):
                continue
            left = self.wrong_names((*mistakes, one))
            for name in wrong - left if left < wrong else ():
                explaining[name].append(one)
        for chosen in itertools.islice(itertools.product(*explaining.values()), MOST_SUMS):
            sums = tuple(dict.fromkeys(chosen))
            ids = [one.id for one in sums]
            if len(set(ids)) == len(ids) and not self.wrong_names((*mistakes, *sums)):
                yield (*mistakes, *sums)

    def wrong_names(self, explanation: Explanation) -> set[str]:
        """Return the parameters whose gradient code with these mistakes would not have."""
        predicted = self.case.predicted(self.problem, explanation).gradients
        size = norm(list(self.given.values()))
        return {
            name
            for name, one in self.given.items()
            if predicted[name].shape != one.shape or not close(one, predicted[name], size)
        }
