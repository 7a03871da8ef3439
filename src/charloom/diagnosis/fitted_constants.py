"""Finds constants in a function's results: a factor, a weight decay, an ε, or a clipping limit.

Some factor or weight decay always fits best, even if all errors come from rounding. So a mistake
with a fitted constant counts only if `explains_more` returns True. This module does not combine
mistakes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.case import MATCHES, ZERO, Case, distance
from charloom.diagnosis.clipping_limits import limits_of
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.mistakes import BY_ID

MARGIN: Final = 10.0  # a fitted constant must make the error at least this many times smaller


def explains_more(left: float, without: float, rounding: float) -> bool:
    """Return True if a fitted constant explains much more of an error than rounding can.

    Both `left` and `rounding` must be at least `MARGIN` times smaller than `without`.

    Args:
        left: the error that remains with the constant.
        without: the error without the constant.
        rounding: the error that rounding can cause.
    """
    return MARGIN * max(left, rounding) <= without


def explains_loss(case: Case, one: Found, trials: Iterable[int]) -> bool:
    """Return True if the mistake `one` explains much more of the losses' errors than rounding can.

    The mistake has a constant that was fitted to the function's results. `trials` are the indices
    of the trials whose losses are compared. The error of each loss is measured in units of its
    error limit, so that rounding can cause an error of at most 1.
    """
    left = without = 0.0
    for trial in trials:
        limit = case.limits[trial][LOSS]
        predicted = case.predicted(case.trials[trial].problem, (one,))
        left = max(left, case.distances(trial, predicted).get(LOSS, 0.0) / limit)
        without = max(without, case.distances(trial, case.exact[trial]).get(LOSS, 0.0) / limit)
    return explains_more(left, without, 1.0)


def common_factor(case: Case, names: Sequence[str] = ()) -> float | None:
    """Return the factor f for which each gradient of the function is f times the right gradient.

    The factor must be the same in all trials. Return None if there is no such factor, or if it
    cannot be distinguished from 1. `names` are the parameters whose gradients are compared; if
    `names` is empty, the gradients of all parameters are compared.
    """
    factors = []
    left = without = 0.0
    for trial in case.usable:
        for name, right in case.exact[trial].gradients.items():
            if names and name not in names:
                continue
            given = case.calls[trial].gradients[name]
            size = float(np.vdot(right, right))
            if given.shape != right.shape:
                return None
            if size == 0:
                continue
            factor = float(np.vdot(given, right)) / size
            factors.append(factor if abs(factor) > ZERO else 0.0)
            far, limit = distance(given, factors[-1] * right, ZERO), case.limits[trial][name]
            if not far <= MATCHES:
                return None
            left = max(left, far / limit)
            without = max(without, distance(given, right, ZERO) / limit)
    if not factors or not explains_more(left, without, 1.0):
        return None
    spread = max(factors) - min(factors)
    return factors[0] if spread <= MATCHES * abs(factors[0]) else None


def epsilons_seen(case: Case) -> list[str]:
    """Compute ε from the loss, and return the variants of the mistake epsilon-in-log with this ε.

    If code has this mistake, exp(-loss) in a window of one step is the probability of the target
    plus ε. The list is empty if no loss shows an ε, or if the ε is one of the usual values, which
    `mistakes.py` lists.
    """
    one_step = [n for n in case.usable if case.length(n) == 1]
    usual = BY_ID["epsilon-in-log"].variants
    for trial in one_step:
        call = case.calls[trial]
        if call.loss is None:
            continue
        epsilon = math.exp(-min(max(call.loss, -1), 700)) - math.exp(-case.exact[trial].loss)
        variant = f"ε = {float(f'{epsilon:.3g}')!r}"
        known = {float(other[4:].partition(",")[0]) for other in usual}
        if not 0 < epsilon < 1 or float(variant[4:]) in known:
            continue
        one = Found("epsilon-in-log", variant)
        if any(explains_loss(case, one, trials) for trials in (one_step, case.usable)):
            return [variant, f"{variant}, gradient too"]
    return []


def scalings(case: Case) -> Iterator[Found]:
    """Yield the mistake gradient-scaled once if some gradients are right except for a constant factor.

    The variant of the mistake lists these gradients with their factors, such as "2 db".
    """
    found = []
    for name in case.exact[0].gradients:
        factor = common_factor(case, (name,))
        if factor is not None:
            found.append(f"{factor:.12g} d{name}")
    if found:
        yield Found("gradient-scaled", ", ".join(found))


def decays(case: Case) -> Iterator[Found]:
    """Yield two variants of the mistake weight-decay-added.

    In the first variant, weight decay is only in the gradients. In the second, it is also in the
    loss. Each variant names the decay λ, and the parameters whose gradients in the first trial are too
    large by λ times the parameter. If there is no such gradient, yield nothing.
    """
    first = case.usable[0]
    parameters = case.trials[first].problem.parameters
    rates = {}
    for name, right in case.exact[first].gradients.items():
        given, theta = case.calls[first].gradients[name], parameters[name]
        if given.shape == right.shape:
            rate = float(np.vdot(theta, given - right)) / float(np.vdot(theta, theta))
            left, limit = distance(given, right + rate * theta, ZERO), case.limits[first][name]
            if left <= MATCHES and explains_more(left, distance(given, right, ZERO), limit):
                rates[name] = rate
    # `rates` has the λ that fits each gradient. Use the largest λ, because rounding changes the
    # largest λ least. Leave out gradients with another λ: their error is not the weight decay.
    if rates:
        rate = max(rates.values(), key=abs)
        names = [name for name, other in rates.items() if abs(other - rate) <= 1e-3 * abs(rate)]
        variant = f"λ = {float(f'{rate:.9g}')!r} in {', '.join(names)}"
        yield Found("weight-decay-added", variant)
        yield Found("weight-decay-added", f"{variant} and the loss")


def limits_seen(case: Case) -> list[str]:
    """Return the variants of the mistake "clipped" with the clipping limits that the results show.

    The usual limits, which `mistakes.py` lists, are left out.
    """
    seen = limits_of([case.calls[n] for n in case.usable]).variants()
    return [variant for variant in seen if variant not in BY_ID["clipped"].variants]
