"""Finds a known mistake together with a constant factor or a weight decay that the results show.

Such a constant cannot be seen in a comparison with the right results, because the other mistake changes
them too. So it is fitted again for the prediction of each mistake.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from charloom.diagnosis.case import MATCHES, ZERO, Case, Explanation
from charloom.diagnosis.found_mistake import Found
from charloom.diagnosis.problem import Array, Arrays

MOST_FACTORS = 2  # gradients with factors of their own, if not all have the same factor


def with_fitted_constant(case: Case, singles: Sequence[Found]) -> Iterator[Explanation]:
    """Yield pairs of a mistake of `singles` and a factor or a weight decay that fits the smallest trial."""
    problem = case.trials[case.smallest].problem
    given = case.calls[case.smallest].gradients
    for one in singles:
        if one.id in ("clipped", "gradient-scaled", "weight-decay-added"):
            continue
        predicted = case.predicted(problem, (one,)).gradients
        if any(given[name].shape != g.shape for name, g in predicted.items()):
            continue
        factors = fitted_factors(given, predicted)
        if factors:
            yield (one, Found("gradient-scaled", factors))
        decay = fitted_decay(given, predicted, problem.parameters)
        if decay:
            yield (one, Found("weight-decay-added", decay))
            yield (one, Found("weight-decay-added", f"{decay} and the loss"))


def fitted_factors(given: Arrays, predicted: Arrays) -> str:
    """Return the variant of gradient-scaled that turns the predicted gradients into the given ones; "" if none."""
    size = norm(list(given.values()))
    factors = {}
    for name, one in predicted.items():
        square = float(np.vdot(one, one))
        factor = float(np.vdot(one, given[name])) / square if square > (ZERO * size) ** 2 else 1.0
        if not close(given[name], factor * one, size) or abs(factor) < MATCHES:
            return ""
        factors[name] = factor
    scaled = {name: factor for name, factor in factors.items() if abs(factor - 1) > MATCHES}
    same = max(factors.values()) - min(factors.values()) <= MATCHES * abs(max(factors.values()))
    if not same and len(scaled) > MOST_FACTORS:
        return ""
    return ", ".join(f"{factor:.12g} d{name}" for name, factor in scaled.items())


def fitted_decay(given: Arrays, predicted: Arrays, theta: Arrays) -> str:
    """Return the variant of weight-decay-added that turns the predicted gradients into the given ones; "" if none."""
    size = norm(list(given.values()))
    rates = {}
    for name, one in predicted.items():
        left = given[name] - one
        if close(given[name], one, size):
            continue
        rate = float(np.vdot(theta[name], left)) / float(np.vdot(theta[name], theta[name]))
        if not close(given[name], one + rate * theta[name], size):
            return ""
        rates[name] = rate
    if not rates or max(rates.values()) - min(rates.values()) > MATCHES * abs(max(rates.values())):
        return ""
    rate = float(f"{max(rates.values(), key=abs):.9g}")
    return f"λ = {rate!r} in {', '.join(rates)}"


def close(given: Array, wanted: Array, size: float) -> bool:
    """Return True if two gradients differ only by rounding; `size` is the norm of all gradients."""
    far = norm([given - wanted])
    return far <= MATCHES * norm([given]) or far <= ZERO * size


def norm(arrays: Sequence[Array]) -> float:
    """Return the norm of all entries of several arrays."""
    return float(np.sqrt(sum(float(np.vdot(one, one)) for one in arrays)))
