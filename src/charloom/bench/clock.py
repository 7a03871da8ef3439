"""Times contestants in turn, A B C, A B C, …, so that a machine that slows down slows all of them.

It does not know what they do.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from charloom.engines import native_problem

Work = Callable[[int], None]  # does that many updates, or draws that many characters

SECONDS_A_TURN: Final = 0.25
PEAK_OPERATIONS: Final = 1e9  # one unit of "work" of a peak contestant


@contextmanager
def on_processors(count: int) -> Iterator[None]:
    """Hold this thread, and those that it starts, to so many processors, where the system can."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if before:
        with suppress(OSError):
            os.sched_setaffinity(0, set(sorted(before)[-count:]))
    try:
        yield
    finally:
        if before:
            with suppress(OSError):
                os.sched_setaffinity(0, before)


def held_to(work: Work, count: int) -> Work:
    """The same work, on so many processors."""

    def held(units: int) -> None:
        with on_processors(count):
            work(units)

    return held


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interleave(
    contestants: dict[str, Work], rounds: int, turn: float = SECONDS_A_TURN
) -> dict[str, list[float]]:
    """Seconds per unit of work of each contestant in each round, in turn."""
    counts = {}
    for name, work in contestants.items():
        work(1)
        count, seconds = 1, 0.0
        while seconds < turn / 4:
            count *= 2
            seconds = seconds_of(work, count)
        counts[name] = max(1, round(count * turn / seconds))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(seconds_of(work, counts[name]) / counts[name])
    return times


def seconds_of(work: Work, count: int) -> float:
    """How long so many units take."""
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


def peaks(*dtypes: str) -> dict[str, Work]:
    """The FMA peak of one core in each type as a contestant: a unit of work is 10⁹ operations."""
    if native_problem() is not None:
        return {}
    from charloom import _native
    from charloom.engines.native import choose_instruction_set

    isa = choose_instruction_set()
    return {
        f"peak {dtype}": lambda count, dtype=dtype: _native.multiply_adds(  # type: ignore[misc]
            isa, dtype, count * PEAK_OPERATIONS
        )
        for dtype in dtypes
    }
