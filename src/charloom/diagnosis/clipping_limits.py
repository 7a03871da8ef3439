"""Finds the limits to which a function clips its gradients, and what they hide.

A clipped entry shows only that the gradient is at least as large as the limit. So comparisons leave such
entries out. This module knows no network.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Arrays

# A limit is seen if more entries than this share the largest absolute value. Two entries may share it
# without a limit: in a window of one step, a column of dU equals db.
SHARED: Final = 2
SAME_NORM: Final = 1e-9  # relative difference up to which the norms of two trials are the same


class Limits(NamedTuple):
    """The limits to which a function clips its gradients; infinity for no limit.

    Attributes:
        entries: the largest absolute value of an entry.
        norm: the largest norm of all gradients of a call together.
    """

    entries: float = math.inf
    norm: float = math.inf

    @property
    def seen(self) -> bool:
        """Whether there is a limit."""
        return min(self) < math.inf

    def free(self, gradient: Array) -> Array:
        """Return True for each entry of a gradient that is not clipped."""
        return np.asarray(np.abs(gradient) < self.entries)

    def clipped(self, gradient: Array) -> Array:
        """Return a gradient with each entry clipped to the limit."""
        return np.clip(gradient, -self.entries, self.entries)

    def clips_entries(self, gradients: Arrays, names: Sequence[str] = ()) -> bool:
        """Return True if an entry of the gradients with these names is clipped; of all without names."""
        return not all(self.free(gradients[name]).all() for name in names or gradients)

    def clips_norm(self, gradients: Arrays) -> bool:
        """Return True if the gradients of a call are scaled down to the norm."""
        return norm_of(gradients) >= self.norm * (1 - SAME_NORM)

    def variants(self) -> list[str]:
        """Return the variants of the mistake "clipped" with these limits."""
        found = [] if math.isinf(self.entries) else [f"entries {self.entries!r}"]
        return found if math.isinf(self.norm) else [*found, f"norm {float(f'{self.norm:.9g}')!r}"]


NO_LIMITS: Final = Limits()


def limits_of(calls: Sequence[Call]) -> Limits:
    """Return the limits that the gradients of the calls show.

    A limit on entries is seen if several entries share the largest absolute value. A limit on the norm is
    seen if several calls share the largest norm. Gradients that are not finite count as if they were left out.
    """
    finite = [call for call in calls if all(np.isfinite(g).all() for g in call.gradients.values())]
    if not finite:
        return NO_LIMITS
    entries = np.concatenate(
        [np.abs(g).ravel() for call in finite for g in call.gradients.values()]
    )
    largest = float(entries.max(initial=0.0))
    shared = largest > 0 and int((entries == largest).sum()) > SHARED
    norms = [norm_of(call.gradients) for call in finite]
    norm = max(norms)
    same = sum(abs(other - norm) <= SAME_NORM * norm for other in norms)
    return Limits(largest if shared else math.inf, norm if norm > 0 and same > 1 else math.inf)


def norm_of(gradients: Arrays) -> float:
    """Return the norm of all gradients together."""
    return math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
