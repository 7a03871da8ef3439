"""Finds the known mistakes that explain a function's results.

An explanation is a set of mistakes. `faulty_network.py` predicts the results of code with these
mistakes. An explanation matches if its predictions equal the function's results in every trial,
except for rounding.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.case import Case, Explanation, distance, relative
from charloom.diagnosis.diagnosis_result import LOSS, Row
from charloom.diagnosis.faulty_cells import OF_TANH
from charloom.diagnosis.fitted_constants import (
    MARGIN,
    decays,
    epsilons_seen,
    explains_more,
    limits_seen,
    scalings,
)
from charloom.diagnosis.fitted_pairs import with_fitted_constant
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.known_mistakes.variants import AGAIN
from charloom.diagnosis.mistakes import BY_ID, MISTAKES, RANK
from charloom.diagnosis.problem import Answer

SAME: Final = 1e-11  # predictions up to this distance from the results differ only by rounding
UNSEEN: Final = (
    1e-7  # a change of a result up to this distance does not decide whether a pair matches
)
PAIR_ORDERS: Final = 5  # number of wrong gate orders that are tried in pairs with other mistakes


def explained(
    case: Case, wrong: Sequence[Row], right: bool = False
) -> tuple[list[Explanation], bool]:
    """Return the explanations of the wrong results, and whether they predict every number.

    The first value is the list of explanations, likeliest first; it is empty if none was found. The
    second value is False if the loss is not explained, or if each wrong gradient has a separate
    explanation. `wrong` are the rows of the wrong gradients and losses. `right` says whether the gradients
    are those of the function's own loss: then only differences of the network can explain them, and exactly.
    """
    names = sorted({row.parameter for row in wrong})
    singles, constant = list(candidates(case)), [*scalings(case), *decays(case)]
    if right:
        singles, constant = (
            [one for one in some if one.is_accounted] for some in (singles, constant)
        )
    for only in (None, list(case.exact[0].gradients)):
        fitting = (
            nearest(case, ((one,) for one in singles), only)
            or nearest(case, ((one,) for one in constant), only)
            or nearest(case, with_fitted_constant(case, singles), only)
            or (
                # If the function's results are nearly right, nearly every pair of mistakes would
                # match them, so pairs are not tried.
                nearest(case, pairs(case, [*singles, *constant], only), only)
                if math.isinf(largest_distance(case, (), only))
                else []
            )
        )
        if fitting:
            return fitting, only is None
        # The second round of this loop compares only the gradients. It can find more only if the
        # loss and a gradient are wrong.
        if right or LOSS not in names or names == [LOSS]:
            break
    if right:
        return [], False
    return separate_explanation(case, [*singles, *constant], names), False


def single_mistakes(case: Case) -> list[Explanation]:
    """Return the explanations with a single mistake that predict every result, likeliest first."""
    return nearest(case, ((one,) for one in candidates(case)), None) or nearest(
        case, ((one,) for one in (*scalings(case), *decays(case))), None
    )


def candidates(case: Case) -> Iterator[Found]:
    """Yield every variant of every known mistake that changes the result of a single call, likeliest first.

    Mistakes with a constant, such as a clipping limit, also get variants with the constants that
    the function's results show.
    """
    if any(one.id == "activation-differs" for one in case.network):
        yield Found("tanh-derivative", OF_TANH)
    for mistake in MISTAKES:
        no_mistake = "mean-over-time" if case.reduction == "mean" else "sum-over-time"
        if mistake.kind != "gradient" or mistake.id == no_mistake:
            continue
        for variant in mistake.variants_of(case.cell):
            if variant != AGAIN or any(one.id == "mean-over-time" for one in case.network):
                yield Found(mistake.id, variant)
        seen = {"clipped": limits_seen, "epsilon-in-log": epsilons_seen}.get(mistake.id)
        for variant in seen(case) if seen else ():
            yield Found(mistake.id, variant)


def nearest(
    case: Case, explanations: Iterable[Explanation], only: Sequence[str] | None
) -> list[Explanation]:
    """Return the items of `explanations` that predict the function's results, likeliest first.

    An explanation must predict the results of every trial. Its prediction must be much closer to the
    function's results than the right results are. In float64, an explanation is also left out if the
    prediction of another one is much closer to the results.

    `only` are the results to compare, such as ["U", "W"]; None to compare all.
    """
    fitting = [(largest_distance(case, e, only), e) for e in explanations]
    without = largest_distance(case, (), only)
    fitting = [
        (far, e) for far, e in fitting if math.isfinite(far) and explains_more(far, without, SAME)
    ]
    # Even if only gradients are compared, each predicted loss must be right or be the function's
    # loss.
    if only is not None:
        fitting = [(far, e) for far, e in fitting if predicts_right_or_given_loss(case, e)]
    if not fitting:
        return []
    best = min(far for far, _ in fitting)
    limit = max(SAME, MARGIN * best) if not case.single else math.inf
    return sorted((e for far, e in fitting if far <= limit), key=likelihood)


def predicts_right_or_given_loss(case: Case, explanation: Explanation) -> bool:
    """Return True if the loss predicted for each trial is the right loss or the function's loss.

    The prediction is for code with the mistakes in `explanation`. Trials in which the function's
    loss is infinite or NaN are skipped: some mistakes make the probability of a target zero.
    """
    for place in case.usable:
        if not math.isfinite(case.calls[place].loss or 0.0):
            continue
        predicted = case.predicted(case.trials[place].problem, explanation)
        if predicted.loss != case.exact[place].loss and not case.matching(place, predicted, [LOSS]):
            return False
    return True


def likelihood(explanation: Explanation) -> tuple[int, ...]:
    """Return a sort key that puts the likeliest explanation first.

    The key has the positions in `MISTAKES` of the explanation's mistakes, and then, for each of these
    mistakes, the position of its variant in `Mistake.variants`.
    """
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
    """Yield the pairs of mistakes whose predictions match the function's results in the smallest trial.

    Two rules exclude nearly all pairs without computing their predictions. A gradient that only one
    of the two mistakes changes must match the prediction for this mistake. A gradient that neither
    mistake changes must be right. So a mistake that changes nothing in the smallest trial, such as a
    clipping limit that no gradient reaches, is paired with each mistake that alone predicts the
    results.

    `singles` are the mistakes to pair. `only` are the results to compare, such as ["U", "W"]; None
    to compare all.
    """
    place = case.smallest
    exact = case.exact[place]
    names = [*exact.gradients, LOSS] if only is None else list(only)
    right = case.matching(place, exact, names)
    orders = BY_ID["gate-order"].variants_of(case.cell)
    changes: dict[Found, set[str]] = {}
    matches: dict[Found, set[str]] = {}
    for one in singles:
        if one.id == "gate-order" and one.variant not in orders[:PAIR_ORDERS]:
            continue  # there are too many wrong gate orders to try all of them in pairs
        predicted = case.predicted(case.trials[place].problem, (one,))
        changes[one] = {name for name in names if not nearly_same(predicted, exact, name)}
        matches[one] = case.matching(place, predicted, names)
    for first, second in itertools.combinations(changes, 2):
        if first.id == second.id:
            continue
        by_first, by_second = changes[first], changes[second]
        if (
            by_first - by_second <= matches[first]
            and by_second - by_first <= matches[second]
            and set(names) - by_first - by_second <= right
            and (
                not by_first & by_second
                or (
                    not (by_first == by_second and found_from_places(first, second))
                    and math.isfinite(case.distance_if_matching(place, (first, second), only))
                )
            )
        ):
            yield (first, second)


def found_from_places(first: Found, second: Found) -> bool:
    """Return True if a pair of mistakes that change the same gradients is found from their places.

    There are too many mistakes within a step to try all pairs; `combined_mistakes.py` finds these pairs.
    """
    if first.mistake.in_one_formula or second.mistake.in_one_formula:
        return True
    return first.mistake.has_place and second.mistake.has_place


def same(a: Answer, b: Answer, name: str) -> bool:
    """Return True if two predictions have the same gradient of the parameter `name`.

    If `name` is "loss", return True if they have the same loss.
    """
    if name == LOSS:
        return a.loss == b.loss
    return np.array_equal(a.gradients[name], b.gradients[name])


def nearly_same(a: Answer, b: Answer, name: str) -> bool:
    """Return True if two predictions of a gradient or of the loss differ by far less than a match may."""
    if name == LOSS:
        return relative(a.loss, b.loss) <= UNSEEN
    return distance(a.gradients[name], b.gradients[name], 0.0) <= UNSEEN


def separate_explanation(
    case: Case, singles: Sequence[Found], names: Sequence[str]
) -> list[Explanation]:
    """Return a list with one explanation: a set of mistakes that together explain all wrong gradients.

    Each mistake in the set explains at least one wrong gradient. The set may have any number of
    mistakes. It has only mistakes that `keeps_right_results` accepts. If these do not explain all
    wrong gradients, return an empty list.

    `singles` are the mistakes to try. `names` are the parameters with a wrong gradient, and "loss"
    if the loss is wrong.
    """
    remaining = {name for name in names if name != LOSS}
    chosen: list[Found] = []
    explains_names: dict[Found, set[str]] = {one: set() for one in singles}
    for name in remaining:
        for one in explaining(case, singles, name):
            explains_names[one].add(name)
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


def explaining(case: Case, singles: Sequence[Found], name: str) -> Iterator[Found]:
    """Yield the mistakes in `singles` that explain the function's gradient of the parameter `name`.

    In every trial, the gradient that code with this mistake would return must match the function's
    gradient, and must be much closer to it than the right gradient is.
    """
    # Most mistakes differ already in the first trial whose gradient is wrong.
    wrong = [n for n in case.smallest_first() if not case.matching(n, case.exact[n], [name])]
    without = largest_distance(case, (), [name])
    for one in singles:
        if wrong and math.isinf(case.distance_if_matching(wrong[0], (one,), [name])):
            continue
        far = largest_distance(case, (one,), [name])
        if math.isfinite(far) and explains_more(far, without, SAME):
            yield one


def largest_distance(case: Case, explanation: Explanation, only: Sequence[str] | None) -> float:
    """Return the largest distance in any trial between a result of the function and its prediction.

    The prediction is the result of code with the mistakes in `explanation`. Return infinity if a
    distance is above `Case.match_limit`. `only` are the results to compare, such as ["U", "loss"];
    None to compare all.
    """
    far = 0.0
    for trial in case.smallest_first():
        far = max(far, case.distance_if_matching(trial, explanation, only))
        if math.isinf(far):
            break
    return far


def keeps_right_results(case: Case, one: Found, names: Sequence[str]) -> bool:
    """Return True if the mistake `one` agrees with the results that the function gets right.

    `names` are the parameters whose gradient is wrong. If the mistake changes the gradient of
    another parameter, the function's gradient must match the changed one. The loss that code with
    the mistake would return must be the right loss or the function's loss.
    """
    for place in case.usable:
        predicted = case.predicted(case.trials[place].problem, (one,))
        exact = case.exact[place]
        changed = {name for name in exact.gradients if not same(predicted, exact, name)}
        if not changed <= {*names, *case.matching(place, predicted, changed)}:
            return False
    return predicts_right_or_given_loss(case, (one,))
