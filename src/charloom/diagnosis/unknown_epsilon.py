"""Finds an ε in the logarithm of the loss of a network that the doctor does not know.

Code often returns the gradient of -ln p, although its loss is -ln(p + ε). The derivative of a step's loss is
then (1 - ε exp(l)) times the step's gradient, where l is the step's loss. The calls with the first 1, 2, …
steps of a window show the loss and the gradient of each step. So the derivative that the loss should have
follows from the function's own results. If the loss is -ln max(p, ε), a step with a smaller p has no derivative.
This module knows no network.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Arrays

AT_FLOOR: Final = 1e-9  # relative difference up to which a probability is ε itself
EPSILONS: Final = (1e-8, 1e-10, 1e-12, 1e-5, 1e-6, 1e-7, 1e-9, 1e-15, 1e-16, 1e-4, 1e-3)


def with_epsilon(
    prefixes: Sequence[Call], epsilon: float, mean: bool, floor: bool
) -> Arrays | None:
    """Return the derivatives of the loss that a function with an ε has, if its gradients are those without it.

    Args:
        prefixes: the results of calls with the first 1, 2, …, T steps of a window.
        epsilon: the ε in the logarithm.
        mean: whether the loss is the mean over the steps, not their sum.
        floor: whether the loss is -ln max(p, ε), and not -ln(p + ε).

    Returns:
        An array for each parameter; None if a call returned no loss, or if the shapes differ.
    """
    T = len(prefixes)
    found: Arrays = {name: np.zeros_like(g) for name, g in prefixes[0].gradients.items()}
    earlier, sums = 0.0, found
    for t, call in enumerate(prefixes, start=1):
        steps = t if mean else 1
        if call.loss is None or any(g.shape != found[n].shape for n, g in call.gradients.items()):
            return None
        now = {name: steps * g for name, g in call.gradients.items()}
        share = 1 - epsilon * np.exp(steps * call.loss - earlier)
        if floor:
            share = float(abs(share) > AT_FLOOR)
        found = {name: g + share * (now[name] - sums[name]) for name, g in found.items()}
        earlier, sums = steps * call.loss, now
    return {name: g / (T if mean else 1) for name, g in found.items()}


def corrected(windows: Sequence[Sequence[Call]]) -> Iterator[tuple[str, list[Arrays]]]:
    """Yield each ε that code may have, with the derivatives of the loss that it then has in each trial.

    The ε is a variant of the mistake epsilon-in-log. `windows` has the calls with the first 1, 2, …, T steps of
    each trial.
    """
    for epsilon, floor, mean in itertools.product(EPSILONS, (False, True), (False, True)):
        found = [with_epsilon(prefixes, epsilon, mean, floor) for prefixes in windows]
        known = [g for g in found if g is not None]
        if len(known) == len(windows):
            yield f"ε = {epsilon!r}{', maximum' if floor else ''}", known
