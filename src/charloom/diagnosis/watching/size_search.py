"""Makes the network and the windows of a program small, by changing numbers in its source."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from charloom.diagnosis.watching.found_loop import TrainingLoop
from charloom.diagnosis.watching.iteration import Iteration
from charloom.diagnosis.watching.parameter_roles import squeezed
from charloom.diagnosis.watching.program import Spot
from charloom.diagnosis.watching.random_texts import LENGTH, LETTERS, random_text
from charloom.diagnosis.watching.watched_program import NotObserved, WatchedProgram
from charloom.diagnosis.watching.window_reading import Window

UNITS: Final = 11  # number of hidden units, if the program lets it be changed
STEPS: Final = 9  # number of steps of a window, if the program lets it be changed
LAYERS: Final = (2, 3, 4)  # usual numbers of layers of a deep network
MOST_LAYERS: Final = 6  # number of such numbers that are changed to 1


def shrink(watched: WatchedProgram, window: Window, seen: Iteration) -> bool:
    """Change the sizes in the source: fewer units, fewer steps, one text. Return True if the steps change."""
    numbers = watched.program.numbers
    for changed, steps in smaller(watched, window, seen):
        watched.changed, watched.steps = changed, steps
        single = {s for s, v in changed.items() if v == 1 and numbers[s] == window.texts}
        watched.texts = frozenset(single)
        with contextlib.suppress(NotObserved):
            loop, now, windows = watched.look()
            axes = {n for p in loop.changed if p in now.before for n in now.before[p].shape}
            fits = watched.names or (any(w.length == STEPS for w in windows) and STEPS not in axes)
            if windows and fits and sizes_differ(loop, now, windows):
                shorten_text(watched, windows)
                return True
    watched.changed, watched.steps = {}, {}
    return False


def shorten_text(watched: WatchedProgram, windows: Sequence[Window]) -> None:
    """Use a short text again if the program reads the same window in it."""
    long = watched.text
    if len(long) <= LENGTH or watched.names:
        return
    watched.text = random_text(0)
    with contextlib.suppress(NotObserved):
        _, _, again = watched.look()
        if again and again[0].length == windows[0].length:
            return
    watched.text = long
    watched.look()


def smaller(
    watched: WatchedProgram, window: Window, seen: Iteration
) -> Iterator[tuple[dict[Spot, int], dict[Spot, int]]]:
    """Yield changed numbers, and those of them that follow the number of steps, with their difference to it."""
    spots, named = watched.program.numbers, watched.program.named
    T, N = window.length, window.texts
    axes = axes_of_weights(watched.loop, seen) - {len(LETTERS), N}
    K = max(window.letters) + 1
    free = set(spots.values()) - {T, N}
    units = free & axes or {n for n in free if any(is_size_of(axis, n, K) for axis in axes)}
    single = {s: 1 for s, v in spots.items() if v == N and N > 1 and v != T and v not in units}
    if watched.names:
        hidden = {s: UNITS for s, v in spots.items() if v in units}
        for texts, some in itertools.product(
            (single, {}) if single else ({},), parts_of(hidden, spots)
        ):
            yield {**texts, **some}, {}
        return
    for kind in (named, set(spots)):
        steps = {s: 0 for s, v in spots.items() if v == T and s in kind}
        beside = {s: d for d in (1, -1) for s, v in spots.items() if v == T + d and s not in steps}
        hidden = {s: UNITS for s, v in spots.items() if v in units and s in kind}
        if T in axes:
            # The size of the state is the same number as that of the window.
            for own in (*({s: 0} for s in steps if len(steps) > 1), beside):
                others = {s: UNITS for s in steps if s not in own}
                yield {**hidden, **others, **{s: STEPS + d for s, d in own.items()}}, own
        each = [{s: 0} for s in steps] if len(steps) > 1 else []
        both = {**steps, **beside}
        for step in (steps, *each, both) if kind is named else (both, steps):
            for texts, some in itertools.product(
                (single, {}) if single else ({},), parts_of(hidden, spots)
            ):
                if step:
                    yield {**texts, **some, **{s: STEPS + d for s, d in step.items()}}, step


def is_size_of(axis: int, units: int, K: int) -> bool:
    """Return True if an axis can have a length because of a number of units: with the input, a bias, or all gates."""
    rests = (axis, axis - 1, axis - K, axis - K - 1)
    return units in rests or axis in (2 * units, 3 * units, 4 * units)


def axes_of_weights(loop: TrainingLoop, seen: Iteration) -> set[int]:
    """Return the lengths of the axes of the matrices that an iteration of the loop changes."""
    shapes = [squeezed(seen.before[p].shape) for p in loop.changed if p in seen.before]
    return {n for shape in shapes if len(shape) > 1 for n in shape}


def parts_of(hidden: dict[Spot, int], spots: dict[Spot, int]) -> list[dict[Spot, int]]:
    """Return what may be changed of the sizes of states: all, those with the same number, or none."""
    numbers = sorted({spots[s] for s in hidden})
    found: list[dict[Spot, int]] = [hidden]
    found += [{s: u for s, u in hidden.items() if spots[s] == n} for n in numbers]
    found.append({})
    return [one for place, one in enumerate(found) if one not in found[:place]]


def in_one_layer(
    watched: WatchedProgram, window: Window, seen: Iteration
) -> tuple[Iteration, Window] | None:
    """Change a number of layers in the source to 1, and return what was seen then; None if there is none.

    A number of layers is a small number with a name, with which the program has fewer matrices if it is 1.
    """
    old, count = watched.changed, matrices_in(watched.loop, seen)
    numbers = watched.program.numbers
    spots = [s for s in sorted(watched.program.named) if numbers.get(s) in LAYERS and s not in old]
    for spot in spots[:MOST_LAYERS]:
        watched.changed = {**old, spot: 1}
        with contextlib.suppress(NotObserved):
            loop, small, windows = watched.look()
            same = [w for w in windows if w.length == window.length]
            if same and 2 < matrices_in(loop, small) < count:
                return small, same[0]
    watched.changed = old
    return None


def matrices_in(loop: TrainingLoop, seen: Iteration) -> int:
    """Return how many matrices an iteration of the loop changes."""
    return sum(len(squeezed(seen.before[p].shape)) > 1 for p in loop.changed if p in seen.before)


def sizes_differ(loop: TrainingLoop, seen: Iteration, windows: Sequence[Window]) -> bool:
    """Return True if the number of characters is another one than that of units."""
    texts = {window.texts for window in windows}
    return any(n % UNITS for n in axes_of_weights(loop, seen) - texts)
