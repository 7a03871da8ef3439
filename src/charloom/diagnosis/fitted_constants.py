"""Finds the constants that a function's answers show: a factor, a decay, an ε, a limit of clipping.

Rounding has constants, too: whatever numbers are off by, some factor or some decay is nearest to
them. `explains_more` is the one rule that every explanation with a fitted constant must keep. It
knows no explanation as a whole.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.case import MATCHES, ZERO, Case, distance
from charloom.diagnosis.diagnosis_result import LOSS, Found
from charloom.diagnosis.mistakes import BY_ID

MARGIN: Final = 10.0  # how many times more a constant must explain than it leaves, or than rounding


def explains_more(left: float, without: float, rounding: float) -> bool:
    """Whether a fitted constant says more of an answer than rounding would.

    Without it the answer is off by `without`, with it by `left`. Both what it leaves and what
    `rounding` may do must be at least `MARGIN` times smaller than `without`; so a constant that is
    no further from "no mistake" than rounding could make it is none.
    """
    return MARGIN * max(left, rounding) <= without


def tells_more(case: Case, one: Found, name: str, places: Iterable[int] | None = None) -> bool:
    """Whether a mistake with a fitted constant keeps that rule for one gradient, or for the loss.

    Errors are counted in what rounding may do in the same trial (`Case.limits`); those of all trials,
    or of some `places`.
    """
    left = without = 0.0
    for place in range(len(case.trials)) if places is None else places:
        limit = case.limits[place][name]
        predicted = case.predicted(case.trials[place].problem, (one,))
        left = max(left, case.distances(place, predicted).get(name, 0.0) / limit)
        without = max(without, case.distances(place, case.exact[place]).get(name, 0.0) / limit)
    return explains_more(left, without, 1.0)


def common_factor(case: Case, names: Sequence[str] = ()) -> float | None:
    """The number that these gradients (all) of all trials are multiplied by, where there is one.

    None where it cannot be told from 1.
    """
    factors = []
    left = without = 0.0
    for place, exact in enumerate(case.exact):
        for name, right in exact.gradients.items():
            if names and name not in names:
                continue
            given = case.calls[place].gradients[name]
            size = float(np.vdot(right, right))
            if given.shape != right.shape:
                return None
            if size == 0:
                continue
            factors.append(float(np.vdot(given, right)) / size)
            far, limit = distance(given, factors[-1] * right, ZERO), case.limits[place][name]
            if not far <= MATCHES:
                return None
            left = max(left, far / limit)
            without = max(without, distance(given, right, ZERO) / limit)
    if not factors or not explains_more(left, without, 1.0):
        return None
    spread = max(factors) - min(factors)
    return factors[0] if spread <= MATCHES * abs(factors[0]) else None


def epsilons_seen(case: Case) -> list[str]:
    """An ε other than the usual ones: what the p of a window of one step is too large by."""
    one_step = [place for place, trial in enumerate(case.trials) if len(trial.problem.x) == 1]
    usual = BY_ID["epsilon-in-log"].variants
    for place in one_step:
        call = case.calls[place]
        if call.loss is None:
            continue
        epsilon = math.exp(-min(max(call.loss, -1), 700)) - math.exp(-case.exact[place].loss)
        told = f"ε = {float(f'{epsilon:.3g}')!r}"
        known = {float(variant[4:].partition(",")[0]) for variant in usual}
        if not 0 < epsilon < 1 or float(told[4:]) in known:
            continue
        one = Found("epsilon-in-log", told)
        if tells_more(case, one, LOSS, one_step) or tells_more(case, one, LOSS):
            return [told, f"{told}, gradient too"]
    return []


def scalings(case: Case) -> Iterator[Found]:
    """The gradients that are a constant times the right ones, if there are any, as one mistake."""
    found = []
    for name in case.exact[0].gradients:
        factor = common_factor(case, (name,))
        if factor is not None:
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
            left, limit = distance(given, right + rate * theta, ZERO), case.limits[0][name]
            if left <= MATCHES and explains_more(left, distance(given, right, ZERO), limit):
                rates[name] = rate
    # The largest decay is read off most exactly; of rounding there is none that is the same in all.
    for rate in sorted(rates.values(), key=abs, reverse=True)[:1]:
        names = [name for name, own in rates.items() if abs(own - rate) <= 1e-3 * abs(rate)]
        told = f"λ = {float(f'{rate:.9g}')!r} in {', '.join(names)}"
        yield Found("weight-decay-added", told)
        yield Found("weight-decay-added", f"{told} and the loss")


def limits_seen(case: Case) -> list[str]:
    """Clipping limits other than the usual ones that the function's answers show.

    They are read off numbers that are equal to the last digit, which rounding makes of none.
    """
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
