"""Finds the limits to which a function clips its gradients, and what they hide.

A clipped entry shows only that the gradient is at least as large as the limit. So comparisons leave such
entries out. This module knows no network.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.outcome import Call
from charloom.diagnosis.problem import Array, Arrays

# A limit is seen if more entries than this share the largest value, or the smallest one. Two entries may share
# it without a limit: in a window of one step, a column of dU equals db.
SHARED: Final = 2
ROUNDING: Final = 1e-13  # relative error of a limit that is computed as a norm
SAME_NORM: Final = 1e-9  # relative difference up to which the norms of two trials are the same


class Limits(NamedTuple):
    """The limits to which a function clips its gradients; infinity for no limit.

    Attributes:
        low, high: the smallest and the largest value of an entry.
        norm: the largest norm of all gradients of a call together.
        norms: the largest norm of each gradient alone.
    """

    low: float = -math.inf
    high: float = math.inf
    norm: float = math.inf
    norms: float = math.inf

    @property
    def seen(self) -> bool:
        """Whether there is a limit."""
        return bool(self.variants())

    def free(self, gradient: Array) -> Array:
        """Return True for each entry of a gradient that is not clipped."""
        return np.asarray((gradient > self.low) & (gradient < self.high))

    def clipped(self, gradient: Array) -> Array:
        """Return a gradient with each entry clipped to the limits of entries."""
        return np.clip(gradient, self.low, self.high)

    def shrunk(self, gradients: Arrays) -> Arrays:
        """Return gradients within the limits of entries, and within the limit of the norm of each gradient."""
        found = {}
        for name, g in gradients.items():
            norm = norm_of({name: g})
            found[name] = self.clipped(g * (self.norms / norm if norm > self.norms else 1.0))
        return found

    def clips_entries(self, gradients: Arrays, names: Sequence[str] = ()) -> bool:
        """Return True if an entry of the gradients with these names is clipped; of all without names."""
        return not all(self.free(gradients[name]).all() for name in names or gradients)

    def clips_norm(self, gradients: Arrays) -> bool:
        """Return True if the gradients of a call are scaled down to the norm together."""
        return norm_of(gradients) >= self.norm * (1 - SAME_NORM)

    def scaled(self, gradients: Arrays) -> list[str]:
        """Return the names of the gradients that are scaled down to a norm of their own."""
        least = self.norms * (1 - SAME_NORM)
        return [name for name, g in gradients.items() if norm_of({name: g}) >= least]

    def variants(self) -> list[str]:
        """Return the variants of the mistake "clipped" with these limits."""
        found = []
        if not math.isinf(self.low) or not math.isinf(self.high):
            both = (self.high,) if self.low == -self.high else (self.low, self.high)
            found.append(" ".join(["entries", *(as_text(limit) for limit in both)]))
        for kind, limit in (("norm", self.norm), ("norms", self.norms)):
            if not math.isinf(limit):
                found.append(f"{kind} {as_text(limit)}")
        return found


NO_LIMITS: Final = Limits()


def limits_of(calls: Sequence[Call]) -> Limits:
    """Return the limits that the gradients of the calls show.

    A limit on entries is seen if several entries share the largest value, or the smallest one. A limit on the
    norm is seen if several calls share the largest norm, and one on the norm of each gradient if gradients of
    several calls do. Gradients that are not finite count as if they were left out.
    """
    finite = [call for call in calls if all(np.isfinite(g).all() for g in call.gradients.values())]
    if not finite:
        return NO_LIMITS
    entries = np.concatenate([g.ravel() for call in finite for g in call.gradients.values()])
    low, high = entry_limits(entries)
    if not (math.isinf(low) and math.isinf(high)):
        return Limits(low, high)
    whole = shared_norm([norm_of(call.gradients) for call in finite])
    apart = shared_norm([max(norm_of({n: g}) for n, g in c.gradients.items()) for c in finite])
    # If each gradient has a limit of its own, calls in which all reach it share the whole norm too.
    return Limits(norms=apart) if apart < whole else Limits(norm=whole)


def entry_limits(entries: Array) -> tuple[float, float]:
    """Return the smallest and the largest value of an entry that several entries share; infinity for none.

    If only one of them is seen, and no entry is beyond the same distance on the other side, the limits are
    taken to be symmetric.
    """
    least, largest = float(entries.min()), float(entries.max())
    low = least if least < 0 and int((entries == least).sum()) > SHARED else -math.inf
    high = largest if largest > 0 and int((entries == largest).sum()) > SHARED else math.inf
    if math.isinf(low) and -least <= high < math.inf:
        return -high, high
    if math.isinf(high) and largest <= -low < math.inf:
        return low, -low
    return low, high


def shared_norm(norms: Sequence[float]) -> float:
    """Return the largest norm if several calls share it; otherwise infinity."""
    largest = max(norms)
    same = sum(abs(other - largest) <= SAME_NORM * largest for other in norms)
    return largest if largest > 0 and same > 1 else math.inf


def norm_of(gradients: Mapping[str, Array]) -> float:
    """Return the norm of all gradients together."""
    return math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))


def as_text(limit: float) -> str:
    """Return a limit with as few digits as rounding allows, such as "5" or "0.7"."""
    texts = [f"{limit:.{digits}g}" for digits in (3, 6, 9, 15)]
    near = (t for t in texts if math.isinf(limit) or abs(float(t) - limit) <= ROUNDING * abs(limit))
    return next(near, texts[-1])


def bounds(variant: str) -> tuple[float, float]:
    """Return the smallest and the largest entry of a variant such as "entries 5.0" or "entries -5.0 10.0"."""
    numbers = [float(one) for one in variant.split()[1:]]
    return (-numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
