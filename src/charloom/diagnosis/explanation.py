"""Finds the known mistakes that explain a function's results.

An explanation is a set of mistakes. `faulty_network.py` predicts the results of code with these
mistakes. The explanation whose predictions match every number of every trial best is the likeliest.
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

SAME: Final = 1e-11  # distances up to this differ only by rounding
SHORT: Final = 1  # index of the smallest trial, on which pairs are tried first
PAIR_ORDERS: Final = 5  # orders of the gates that are tried in pairs


def explained(case: Case, wrong: Sequence[Row]) -> tuple[list[Explanation], bool]:
    """Return the explanations that match, likeliest first, and whether they predict every number.

    `wrong` are the rows to explain.
    """
    names = sorted({row.parameter for row in wrong})
    singles, constant = list(candidates(case)), [*scalings(case), *decays(case)]
    for only in (None, list(case.exact[0].gradients)):
        fitting = (
            nearest(case, ((one,) for one in singles), only)
            or nearest(case, ((one,) for one in constant), only)
            or (
                # If the right results match already, nearly every pair would match too.
                nearest(case, pairs(case, [*singles, *constant], only), only)
                if math.isinf(largest_distance(case, (), only))
                else []
            )
        )
        if fitting:
            return fitting, only is None
        # The second round leaves out the loss; it cannot help if the loss alone is wrong, or right.
        if LOSS not in names or names == [LOSS]:
            break
    return separate_explanation(case, [*singles, *constant], names), False


def candidates(case: Case) -> Iterator[Found]:
    """Yield every variant of every known mistake that shows in a single call, likeliest first."""
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
    """Return the explanations that match in every trial and are closest, likeliest first.

    `only`: the names to compare; None for all.
    """
    fitting: list[tuple[float, Explanation]] = []
    for explanation in explanations:
        far = largest_distance(case, explanation, only)
        if math.isfinite(far):
            fitting.append((far, explanation))
    # An explanation must be clearly closer than the right results are.
    without = largest_distance(case, (), only)
    fitting = [(far, e) for far, e in fitting if explains_more(far, without, SAME)]
    # The loss is not compared, but the explanation must not predict a wrong loss.
    if only is not None:
        fitting = [(far, e) for far, e in fitting if predicts_no_wrong_loss(case, e)]
    if not fitting:
        return []
    best = min(far for far, _ in fitting)
    limit = max(SAME, MARGIN * best) if not case.single else math.inf
    return sorted((e for far, e in fitting if far <= limit), key=likelihood)


def predicts_no_wrong_loss(case: Case, explanation: Explanation) -> bool:
    """Return True if an explanation does not change the loss, or predicts the function's loss.

    Trials in which the function's loss is not finite are left out: a mistake can make p zero.
    """
    for place, trial in enumerate(case.trials):
        if not math.isfinite(case.calls[place].loss or 0.0):
            continue
        predicted = case.predicted(trial.problem, explanation)
        if predicted.loss != case.exact[place].loss and not case.matching(place, predicted, [LOSS]):
            return False
    return True


def likelihood(explanation: Explanation) -> tuple[int, ...]:
    """Return the sort key of an explanation: the positions of its mistakes and variants in the list."""
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
    """Yield the pairs of mistakes that match in the smallest trial.

    Where only one of the two mistakes changes a gradient, the function's gradient must match that
    mistake's prediction; where neither does, it must be right. This excludes nearly all pairs without
    computing them. Some mistakes change nothing in the smallest trial (such as truncation beyond its
    length or a clipping limit that is not reached); a pair with one of them matches if the other matches.
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
        by_first, by_second = changes[first], changes[second]
        if (
            by_first - by_second <= matches[first]
            and by_second - by_first <= matches[second]
            and set(names) - by_first - by_second <= right
            and (not by_first & by_second or pair_matches(case, (first, second), only))
        ):
            yield (first, second)


def pair_matches(case: Case, pair: Explanation, only: Sequence[str] | None) -> bool:
    """Return True if a pair of mistakes matches in the smallest trial."""
    return not math.isinf(case.distance_if_matching(SHORT, pair, only))


def same(a: Answer, b: Answer, name: str) -> bool:
    """Return True if two predictions have the same gradient of a parameter, or the same loss."""
    if name == LOSS:
        return a.loss == b.loss
    return np.array_equal(a.gradients[name], b.gradients[name])


def in_pairs(cell: str, one: Found) -> bool:
    """Return True if a wrong order of the gates is also tried together with a second mistake.

    Only the most usual orders are, because there are many.
    """
    return BY_ID["gate-order"].variants_of(cell).index(one.variant) < PAIR_ORDERS


def separate_explanation(
    case: Case, singles: Sequence[Found], names: Sequence[str]
) -> list[Explanation]:
    """Return an explanation made of mistakes that each explain some of the wrong gradients.

    It finds three and more mistakes in different parameters. It is empty if some gradient remains
    unexplained. A mistake that would make a right gradient wrong is left out.
    """
    remaining = {name for name in names if name != LOSS}
    chosen: list[Found] = []
    explains_names = {
        one: {name for name in remaining if explains(case, one, name)} for one in singles
    }
    fits = {
        one: explained_names
        for one, explained_names in explains_names.items()
        if explained_names and keeps_right_results(case, one, names)
    }
    while remaining and fits:
        best = max(fits, key=lambda one: (len(fits[one] & remaining), -RANK[one.id]))
        if not fits[best] & remaining:
            return []
        chosen.append(best)
        remaining -= fits[best]
    return [tuple(chosen)] if chosen and not remaining else []


def explains(case: Case, one: Found, name: str) -> bool:
    """Return True if a mistake predicts one gradient in every trial, clearly closer than the right one."""
    far = largest_distance(case, (one,), [name])
    return math.isfinite(far) and explains_more(far, largest_distance(case, (), [name]), SAME)


def largest_distance(case: Case, explanation: Explanation, only: Sequence[str] | None) -> float:
    """Return the largest distance of an explanation in any trial; infinity if one does not match."""
    trials = sorted(range(len(case.trials)), key=lambda trial: len(case.trials[trial].problem.x))
    trials.sort(key=lambda trial: trial != SHORT)  # this small trial excludes most explanations
    far = 0.0
    for trial in trials:
        far = max(far, case.distance_if_matching(trial, explanation, only))
        if math.isinf(far):
            break
    return far


def keeps_right_results(case: Case, one: Found, names: Sequence[str]) -> bool:
    """Return True if a mistake changes no gradient that is right, and predicts no wrong loss.

    `names` are the wrong gradients.
    """
    for place, trial in enumerate(case.trials):
        predicted, exact = case.predicted(trial.problem, (one,)), case.exact[place]
        changed = {name for name in exact.gradients if not same(predicted, exact, name)}
        if not changed <= {*names, *case.matching(place, predicted, changed)}:
            return False
    return predicts_no_wrong_loss(case, (one,))
