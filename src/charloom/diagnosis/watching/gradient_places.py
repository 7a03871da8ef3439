"""Finds where a program holds the gradient of each parameter: by PyTorch's `grad`, or by the signs of the update."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from charloom.diagnosis.problem import Array
from charloom.diagnosis.watching.array_names import name_of
from charloom.diagnosis.watching.held_arrays import Place
from charloom.diagnosis.watching.iteration import DERIVED, END, GRADIENT, Iteration, Seen
from charloom.diagnosis.watching.parameter_roles import squeezed

LEAST_AGREEMENT: Final = 0.97  # share of the numbers whose sign is opposite to that of the change


class Score(NamedTuple):
    """How likely an array is a gradient; a higher one is likelier."""

    agreement: float
    named: bool
    company: int
    size: float


def gradients_seen(
    places: Sequence[Place], runs: Sequence[tuple[Mapping[Place, Array], Iteration]]
) -> dict[Place, Seen]:
    """Return where the gradient of each parameter is seen.

    Args:
        places: the parameters.
        runs: iterations, each with the numbers of the parameters before it. An array that is not a gradient has by
            chance the right signs in one of them, but hardly in all.
    """
    found: dict[Place, Seen] = {}
    usual: dict[Place, list[tuple[Seen, float, float]]] = {}
    for place in places:
        own = own_gradient(place, runs)
        if own is not None:
            found[place] = own
        else:
            usual[place] = list(opposite_changes(place, runs))
    company: dict[str, set[Place]] = {}
    for place, seen in [
        *found.items(),
        *((p, s[0]) for p, several in usual.items() for s in several),
    ]:
        company.setdefault(seen.where, set()).add(place)
    arrays = runs[0][1].arrays
    # Those with the fewest choices come first, so that the others do not take theirs.
    for place, several in sorted(usual.items(), key=lambda item: len(item[1])):
        taken = [arrays[seen] for seen in found.values()]
        free = [one for one in several if not any(same(arrays[one[0]], t) for t in taken)]
        scores = [
            (Score(agrees, is_named(seen, place), len(company[seen.where]), size), seen)
            for seen, agrees, size in free or several
        ]
        if scores:
            found[place] = max(scores, key=lambda one: one[0])[1]
    return found


def same(one: Array, other: Array) -> bool:
    """Return True if two arrays have the same numbers, as two names of one array have."""
    return one.size == other.size and np.array_equal(one.reshape(-1), other.reshape(-1))


def is_named(seen: Seen, place: Place) -> bool:
    """Return True if the name of a parameter is a part of the name of what may be its gradient."""
    words = "".join(str(getattr(step, "name", step)) for step in seen.place)
    words = words.lower().replace("_", "")
    return name_of(place).lower().replace("_", "") in words


def own_gradient(
    place: Place, runs: Sequence[tuple[Mapping[Place, Array], Iteration]]
) -> Seen | None:
    """Return where the attribute `grad` of a tensor is seen: after backward(), or else at the end."""
    for where in (DERIVED, END):
        seen = Seen(where, (*place, GRADIENT))
        arrays = [run.arrays.get(seen) for _, run in runs]
        if all(one is not None and np.isfinite(one).all() for one in arrays) and any(
            one is not None and one.any() for one in arrays
        ):
            return seen
    return None


def opposite_changes(
    place: Place, runs: Sequence[tuple[Mapping[Place, Array], Iteration]]
) -> Iterator[tuple[Seen, float, float]]:
    """Yield the arrays whose signs are opposite to the change of a parameter in every run.

    Yields:
        Where it is seen, the share of opposite signs, and its size: a gradient is larger before it is clipped.
    """
    changes = []
    for before, run in runs:
        after = run.after.get(place)
        if after is None or after.shape != before[place].shape:
            return
        changes.append(after - before[place])
    for seen, array in runs[0][1].arrays.items():
        if array.size != changes[0].size:
            continue
        agreements, size = [], 0.0
        for change, (_, run) in zip(changes, runs, strict=True):
            agreements.append(agreement(run.arrays.get(seen), change))
            if agreements[-1] < LEAST_AGREEMENT:
                break
            size += float(np.linalg.norm(run.arrays[seen]))
        else:
            yield seen, round(min(agreements), 2), size * (1 + 1e-6 * (seen.where == END))


def agreement(array: Array | None, change: Array) -> float:
    """Return the share of the numbers whose sign is opposite to that of the change; 0 if the axes differ."""
    if (
        array is None
        or array.size != change.size
        or not array.any()
        or not np.isfinite(array).all()
    ):
        return 0.0
    axes, own = squeezed(change.shape), squeezed(array.shape)
    if own == axes:
        given = array.reshape(axes)
    elif own == axes[::-1]:
        given = array.reshape(own).T
    else:
        return 0.0
    moved = change.reshape(axes)
    opposite = np.sign(given) == -np.sign(moved)
    large = np.abs(moved) > 1e-12 * np.abs(moved).max()
    return max(float(opposite.mean()), float(opposite[large].mean()) if large.any() else 0.0)
