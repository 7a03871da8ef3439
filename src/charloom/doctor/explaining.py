"""Which known mistakes explain what a function answered.

An explanation is a set of mistakes. `faulty.py` computes what the gradient would be with it; the one
that predicts every number of every trial, with no other closer, is the function's.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from charloom.doctor.case import MATCHES, ZERO, Case, Explanation, common_factor, distance
from charloom.doctor.faulty import Answer
from charloom.doctor.mistakes import BY_ID, MISTAKES, RANK
from charloom.doctor.result import LOSS, Found, Row

CLOSER: Final = 10.0  # an explanation that is so many times further than the best is none
SAME: Final = 1e-11  # nearer than this they are all the same: rounding
SHORT: Final = 1  # the trial on which pairs are tried first
PAIR_ORDERS: Final = 5  # of the gates, in pairs


def explained(case: Case, wrong: Sequence[Row]) -> tuple[list[Explanation], bool]:
    """The explanations that fit, likeliest first, and whether they predict every number."""
    names = sorted({row.parameter for row in wrong})
    singles, constant = list(candidates(case)), [*scalings(case), *decays(case)]
    for only in (None, list(case.exact[0].gradients)):
        fitting = (
            nearest(case, ((one,) for one in singles), only)
            or nearest(case, ((one,) for one in constant), only)
            or (
                # Where all is within what a match may be off, nearly every pair would be one.
                nearest(case, pairs(case, [*singles, *constant], only), only)
                if math.isinf(unmistaken(case, only))
                else []
            )
        )
        if fitting:
            return fitting, only is None
        # Gradients that are right explain nothing about a loss.
        if LOSS not in names or names == [LOSS]:
            break
    return apart(case, [*singles, *constant], names), False


def candidates(case: Case) -> Iterator[Found]:
    """Every known mistake that shows in one call, in every variant, likeliest first."""
    for mistake in MISTAKES:
        no_mistake = "mean-over-time" if case.reduction == "mean" else "sum-over-time"
        if mistake.kind != "gradient" or mistake.id == no_mistake:
            continue
        for variant in mistake.variants_of(case.cell):
            yield Found(mistake.id, variant)
        if mistake.id == "clipped":
            for variant in limits_seen(case):
                yield Found(mistake.id, variant)
        if mistake.id == "epsilon-in-log":
            for variant in epsilons_seen(case):
                yield Found(mistake.id, variant)


def epsilons_seen(case: Case) -> list[str]:
    """An ε other than the usual ones: what the p of a window of one step is too large by."""
    usual = BY_ID["epsilon-in-log"].variants
    for place, call in enumerate(case.calls):
        if len(case.trials[place].problem.x) > 1 or call.loss is None:
            continue
        epsilon = math.exp(-min(max(call.loss, -1), 700)) - math.exp(-case.exact[place].loss)
        told = f"ε = {float(f'{epsilon:.3g}')!r}"
        known = {float(variant[4:].partition(",")[0]) for variant in usual}
        if 1e-13 < epsilon < 1 and float(told[4:]) not in known:
            return [told, f"{told}, gradient too"]
    return []


def scalings(case: Case) -> Iterator[Found]:
    """The gradients that are a constant times the right ones, if there are any, as one mistake."""
    found = []
    for name in case.exact[0].gradients:
        factor = common_factor(case, (name,))
        if factor is not None and abs(factor - 1) > MATCHES:
            found.append(f"{factor:.12g} d{name}")
    if found:
        yield Found("gradient-scaled", ", ".join(found))


def decays(case: Case) -> Iterator[Found]:
    """Weight decay with the λ that the first trial's numbers show, in the parameters that it has."""
    parameters = case.trials[0].problem.parameters
    rates = {}
    for name, right in case.exact[0].gradients.items():
        given, theta = case.calls[0].gradients[name], parameters[name]
        if given.shape == right.shape:
            rate = float(np.vdot(theta, given - right)) / float(np.vdot(theta, theta))
            if abs(rate) > ZERO and distance(given, right + rate * theta, ZERO) <= MATCHES:
                rates[name] = rate
    # The largest decay is read off most exactly; of rounding there is none that is the same in all.
    for rate in sorted(rates.values(), key=abs, reverse=True)[:1]:
        names = [name for name, own in rates.items() if abs(own - rate) <= 1e-3 * abs(rate)]
        told = f"λ = {float(f'{rate:.9g}')!r} in {', '.join(names)}"
        yield Found("weight-decay-added", told)
        yield Found("weight-decay-added", f"{told} and the loss")


def limits_seen(case: Case) -> list[str]:
    """Clipping limits other than the usual ones that the function's answers show."""
    usual = BY_ID["clipped"].variants
    entries = np.concatenate(
        [np.abs(g).ravel() for call in case.calls for g in call.gradients.values()]
    )
    top = float(np.max(entries, initial=0))
    found = []
    if np.isfinite(top) and int((entries == top).sum()) > 1:
        found.append(f"entries {top!r}")
    norms = [
        math.sqrt(sum(float((g * g).sum()) for g in call.gradients.values())) for call in case.calls
    ]
    high = max(norms)
    if np.isfinite(high) and sum(abs(norm - high) <= 1e-9 * high for norm in norms) > 1:
        found.append(f"norm {float(f'{high:.9g}')!r}")
    known = {(kind, float(limit)) for kind, _, limit in (v.partition(" ") for v in usual)}
    return [v for v in found if (v.split()[0], float(v.split()[1])) not in known]


def nearest(
    case: Case, explanations: Iterable[Explanation], only: Sequence[str] | None
) -> list[Explanation]:
    """Those that match in every trial, with no other closer; likeliest first."""
    fitting: list[tuple[float, Explanation]] = []
    places = sorted(range(len(case.trials)), key=lambda place: len(case.trials[place].problem.x))
    places.sort(key=lambda place: place != SHORT)  # the cheapest that tells most of them apart
    for explanation in explanations:
        far = 0.0
        for place in places:
            far = max(far, case.accepts(place, explanation, only))
            if math.isinf(far):
                break
        else:
            fitting.append((far, explanation))
    # What is hardly nearer than code without any mistake explains nothing.
    none = unmistaken(case, only)
    fitting = [(far, e) for far, e in fitting if CLOSER * max(far, SAME) <= none]
    if only is not None:  # what it says of the loss must be true, too
        fitting = [(far, e) for far, e in fitting if says_no_wrong_loss(case, e)]
    if not fitting:
        return []
    best = min(far for far, _ in fitting)
    near = max(SAME, CLOSER * best) if not case.single else math.inf
    return sorted((e for far, e in fitting if far <= near), key=likelihood)


def unmistaken(case: Case, only: Sequence[str] | None) -> float:
    """How far code without any mistake is from the function's answers; infinite beyond a match."""
    return max(case.accepts(place, (), only) for place in range(len(case.trials)))


def says_no_wrong_loss(case: Case, explanation: Explanation) -> bool:
    """Whether an explanation leaves the loss alone, or predicts what the function returned.

    A loss that is not finite is another matter: another network may drive p to 0.
    """
    for place, trial in enumerate(case.trials):
        if not math.isfinite(case.calls[place].loss or 0.0):
            continue
        predicted = case.predicted(trial.problem, explanation)
        if predicted.loss != case.exact[place].loss and not case.matching(place, predicted, [LOSS]):
            return False
    return True


def likelihood(explanation: Explanation) -> tuple[int, ...]:
    """The order of explanations: the place of their mistakes, then of their variants, in the list."""
    ranks = sorted(RANK[one.id] for one in explanation)
    variants = [
        list(BY_ID[one.id].variants).index(one.variant)
        if one.variant in BY_ID[one.id].variants
        else 99
        for one in explanation
    ]
    return (*ranks, *variants)


def pairs(
    case: Case, singles: Sequence[Found], only: Sequence[str] | None
) -> Iterator[Explanation]:
    """Pairs that match in the smallest trial.

    What only one of the two changes there must be what that one predicts, and what neither changes
    must be right: so nearly all pairs are left out without computing them. Some mistakes do nothing
    there (a truncation beyond its length, a limit that is not reached): with such a one a pair is
    what the other is alone.
    """
    exact = case.exact[SHORT]
    names = [*exact.gradients, LOSS] if only is None else list(only)
    right = case.matching(SHORT, exact, names)
    changes: dict[Found, set[str]] = {}
    matches: dict[Found, set[str]] = {}
    for one in singles:
        if one.id == "gate-order" and not in_pairs(case.cell, one):
            continue
        predicted = case.predicted(case.trials[SHORT].problem, (one,))
        changes[one] = {name for name in names if not same(predicted, exact, name)}
        matches[one] = case.matching(SHORT, predicted, names)
    for first, second in itertools.combinations(changes, 2):
        if first.id == second.id:
            continue
        mine, its = changes[first], changes[second]
        if (
            mine - its <= matches[first]
            and its - mine <= matches[second]
            and set(names) - mine - its <= right
            and (not mine & its or not math.isinf(case.accepts(SHORT, (first, second), only)))
        ):
            yield (first, second)


def same(a: Answer, b: Answer, name: str) -> bool:
    """Whether two predictions agree on a parameter, or on the loss."""
    if name == LOSS:
        return a.loss == b.loss
    return np.array_equal(a.gradients[name], b.gradients[name])


def in_pairs(cell: str, one: Found) -> bool:
    """Whether an order of the gates is usual enough to be tried together with another mistake."""
    return BY_ID["gate-order"].variants_of(cell).index(one.variant) < PAIR_ORDERS


def apart(case: Case, singles: Sequence[Found], names: Sequence[str]) -> list[Explanation]:
    """One explanation made of mistakes that each explain some wrong parameters on their own.

    For three mistakes and more, each in a parameter of its own. Empty where that explains not all.
    A mistake that would make something else wrong, which is right, explains nothing.
    """
    left = {name for name in names if name != LOSS}
    chosen: list[Found] = []
    fits = {
        one: {name for name in left if all(
            not math.isinf(case.accepts(place, (one,), [name])) for place in range(len(case.trials))
        )}
        for one in singles
    }  # fmt: skip
    fits = {
        one: fitting for one, fitting in fits.items() if fitting and harms_none(case, one, names)
    }
    while left and fits:
        best = max(fits, key=lambda one: (len(fits[one] & left), -RANK[one.id]))
        if not fits[best] & left:
            return []
        chosen.append(best)
        left -= fits[best]
    return [tuple(chosen)] if chosen and not left else []


def harms_none(case: Case, one: Found, names: Sequence[str]) -> bool:
    """Whether a mistake leaves alone what is right, and predicts no loss that is not the function's."""
    for place, trial in enumerate(case.trials):
        predicted, exact = case.predicted(trial.problem, (one,)), case.exact[place]
        changed = {name for name in exact.gradients if not same(predicted, exact, name)}
        if not changed <= {*names, *case.matching(place, predicted, changed)}:
            return False
    return says_no_wrong_loss(case, (one,))
