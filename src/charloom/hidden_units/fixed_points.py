"""Finds the fixed points of a network for a constant input: states that a step does not change.

From many states, Newton's method with the exact Jacobian looks for a zero of F(s) - s (spec/mathematics.md: Fixed
points). The question and the measures are those of Sussillo and Barak 2013, and of FixedPointFinder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.hidden_units.state_map import StateMap

Vector = NDArray[np.float64]

TOLERANCE: Final = 1e-10  # largest |F(s) - s| of any number of a fixed point
# Eigenvalues whose moduli differ from 1 by no more than this are on the unit circle: a fixed point is known to 1e-10, so
# rounding decides on which side they are.
ON_CIRCLE: Final = 1e-9
SAME: Final = 1e-6  # two results whose numbers differ by no more than this are the same point
STEPS: Final = 200  # Newton steps after which the search from one state ends without a point
HALVINGS: Final = 30  # of one Newton step, before the search ends in a slow point


@dataclass(frozen=True, eq=False)
class FoundPoints:
    """The different fixed points that a search found, the most often found first.

    Attributes:
        vectors: the states, shape (F, n).
        residuals: the largest |F(s) - s| of any number of each state, shape (F,).
        eigenvalues: the eigenvalues of the Jacobian at each point, largest modulus first, complex, shape (F, n).
        found: from how many of the first states each point was reached, shape (F,).
        unfinished: from how many of the first states no point was reached.
    """

    vectors: Vector
    residuals: Vector
    eigenvalues: NDArray[np.complex128]
    found: NDArray[np.int64]
    unfinished: int


def find_fixed_points(
    step: StateMap, starts: Sequence[Vector], report: Callable[[int, int], None]
) -> FoundPoints:
    """Search for a fixed point from each state in `starts`, and return the different ones.

    Args:
        step: the map from a state to the next.
        starts: the first states, each of shape (n,).
        report: is called after each search with the number of searches that are done, and of all searches.
    """
    vectors: list[Vector] = []
    found: list[int] = []
    for done, start in enumerate(starts, 1):
        vector = search_from(step, start)
        if vector is not None:
            near = [n for n, known in enumerate(vectors) if np.abs(known - vector).max() <= SAME]
            if near:
                found[near[0]] += 1
            else:
                vectors.append(vector)
                found.append(1)
        report(done, len(starts))
    order = np.argsort(-np.array(found, dtype=np.int64), kind="stable")
    points = np.array([vectors[n] for n in order]).reshape(-1, step.size)
    spectra = [eigenvalues_at(step, point) for point in points]
    return FoundPoints(
        points,
        np.array([residual(step(point) - point) for point in points]),
        np.array(spectra, dtype=np.complex128).reshape(-1, step.size),
        np.array(found, dtype=np.int64)[order],
        len(starts) - sum(found),
    )


def search_from(step: StateMap, start: Vector) -> Vector | None:
    """Return the fixed point that damped Newton steps from `start` reach; None if they reach none.

    A step is halved until it makes q = |F(s) - s|² / 2 smaller and leads to a state that the network can reach. After the tolerance is reached, full steps continue
    as long as they make the residual smaller.
    """
    vector = np.asarray(start, dtype=np.float64)
    value, jacobian = step.with_jacobian(vector)
    left = value - vector
    for _ in range(STEPS):
        better = _better(step, vector, left, jacobian)
        if better is None:
            break
        vector = better
        value, jacobian = step.with_jacobian(vector)
        left = value - vector
    return vector if residual(left) <= TOLERANCE else None


def _better(step: StateMap, vector: Vector, left: Vector, jacobian: Any) -> Vector | None:
    """Return the state after one Newton step, halved until it is reachable and q smaller; None if it never is.

    `left` is F(s) - s at the state `vector`.
    """
    try:
        move = np.linalg.solve(np.eye(step.size) - jacobian, left)
    except np.linalg.LinAlgError:  # singular: take the shortest of the best steps
        move = np.linalg.lstsq(np.eye(step.size) - jacobian, left, rcond=None)[0]
    if not np.isfinite(move).all():
        return None
    q, share = float(left @ left), 1.0
    for _ in range(HALVINGS if residual(left) > TOLERANCE else 1):
        tried = vector + share * move
        if step.reachable(tried):
            now = step(tried) - tried
            if float(now @ now) < q * (1 - 1e-4 * share):
                return np.asarray(tried)
        share /= 2
    return None


def residual(left: Vector) -> float:
    """Return the largest absolute value of F(s) - s."""
    return float(np.abs(left).max())


def eigenvalues_at(step: StateMap, vector: Vector) -> NDArray[np.complex128]:
    """Return the eigenvalues of the Jacobian at a state, largest modulus first, shape (n,)."""
    found = np.linalg.eigvals(step.with_jacobian(vector)[1]).astype(np.complex128)
    return np.asarray(found[np.argsort(-np.abs(found), kind="stable")])
