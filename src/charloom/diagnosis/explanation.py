"""Finds the known mistakes that explain a function's answers.

An explanation is a set of mistakes. `faulty_network.py` computes what the gradient would be with it; the one
that predicts every number of every trial, with no other closer, is the function's.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.case import Case, Explanation
from charloom.diagnosis.diagnosis_result import LOSS, Found, Row
from charloom.diagnosis.faulty_network import Answer
from charloom.diagnosis.fitted_constants import (
    MARGIN,
    decays,
    epsilons_seen,
    explains_more,
    limits_seen,
    scalings,
)
from charloom.diagnosis.mistakes import BY_ID, MISTAKES, RANK

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
                if math.isinf(furthest(case, (), only))
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


def nearest(
    case: Case, explanations: Iterable[Explanation], only: Sequence[str] | None
) -> list[Explanation]:
    """Those that match in every trial, with no other closer; likeliest first."""
    fitting: list[tuple[float, Explanation]] = []
    for explanation in explanations:
        far = furthest(case, explanation, only)
        if math.isfinite(far):
            fitting.append((far, explanation))
    # What is hardly nearer than code without any mistake explains nothing.
    none = furthest(case, (), only)
    fitting = [(far, e) for far, e in fitting if explains_more(far, none, SAME)]
    if only is not None:  # what it says of the loss must be true, too
        fitting = [(far, e) for far, e in fitting if says_no_wrong_loss(case, e)]
    if not fitting:
        return []
    best = min(far for far, _ in fitting)
    near = max(SAME, MARGIN * best) if not case.single else math.inf
    return sorted((e for far, e in fitting if far <= near), key=likelihood)


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
        one: {name for name in left if explains(case, one, name)}
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


def explains(case: Case, one: Found, name: str) -> bool:
    """Whether a mistake predicts one gradient in every trial, and more of it than no mistake does."""
    far = furthest(case, (one,), [name])
    return math.isfinite(far) and explains_more(far, furthest(case, (), [name]), SAME)


def furthest(case: Case, explanation: Explanation, only: Sequence[str] | None) -> float:
    """The largest distance of an explanation in any trial; infinite where it is beyond a match."""
    places = sorted(range(len(case.trials)), key=lambda place: len(case.trials[place].problem.x))
    places.sort(key=lambda place: place != SHORT)  # the cheapest that tells most of them apart
    far = 0.0
    for place in places:
        far = max(far, case.accepts(place, explanation, only))
        if math.isinf(far):
            break
    return far


def harms_none(case: Case, one: Found, names: Sequence[str]) -> bool:
    """Whether a mistake leaves alone what is right, and predicts no loss that is not the function's."""
    for place, trial in enumerate(case.trials):
        predicted, exact = case.predicted(trial.problem, (one,)), case.exact[place]
        changed = {name for name in exact.gradients if not same(predicted, exact, name)}
        if not changed <= {*names, *case.matching(place, predicted, changed)}:
            return False
    return says_no_wrong_loss(case, (one,))
