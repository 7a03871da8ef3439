"""Time functions in turn (A B C, A B C, …), so that a slower phase of the machine affects all of them.

The functions to time are called contestants. This module does not know what they compute.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Final

from charloom.engines import native_problem

# A function of n that does n units of work. A unit is, for example, an update.
Work = Callable[[int], None]

SECONDS_A_TURN: Final = 0.25
# Floating-point operations in one unit of work of each function that `peaks` returns.
PEAK_OPERATIONS: Final = 1e9


@dataclass(frozen=True)
class Contestant:
    """A library or an engine with a number of threads, and a function of n that does n units of work."""

    name: str
    threads: int
    work: Work

    @property
    def label(self) -> str:
        """Return the contestant's name and number of threads, such as "native 2"."""
        return f"{self.name} {self.threads}"


def limited_works(contestants: Iterable[Contestant]) -> dict[str, Work]:
    """Return each contestant's function by the contestant's label.

    Each function runs on as many processors as the contestant has threads.
    """
    return {c.label: on_processors(c.threads)(c.work) for c in contestants}


def spread(seconds: Sequence[float]) -> float:
    """Return (slowest - fastest) / median of the times `seconds`."""
    return (max(seconds) - min(seconds)) / median(seconds)


@contextmanager
def on_processors(count: int) -> Iterator[None]:
    """Limit this thread, and the threads that it starts, to `count` processors.

    This is the context of a `with` statement, or the decorator of a function. It does nothing if the
    operating system cannot limit processors.
    """
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


def interleave(
    contestants: dict[str, Work], rounds: int, turn: float = SECONDS_A_TURN
) -> dict[str, list[float]]:
    """Run the contestants in turn, and return their times.

    The result is a dict that maps the name of each contestant to its seconds per unit of work in
    each round.

    Args:
        contestants: a dict that maps the name of each contestant to the function to time.
        rounds: how many times each contestant is timed.
        turn: approximate seconds of one measurement.
    """
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
    """Return how many seconds `work` takes for `count` units of work."""
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


def peaks(*dtypes: str) -> dict[str, Work]:
    """Return functions that do fused multiply-adds as fast as one core can, in a dict.

    There is a function for each dtype; the keys are "peak float32" and so on. A unit of work is 10⁹
    floating-point operations. The dict is empty if the native engine cannot run.
    """
    if native_problem() is not None:
        return {}
    from charloom.engines.native import Kernels, choose_instruction_set, open_kernels

    def work(kernels: Kernels) -> Work:
        return lambda count: kernels.multiply_adds(count * PEAK_OPERATIONS)

    isa = choose_instruction_set()
    return {f"peak {dtype}": work(open_kernels(dtype, isa)) for dtype in dtypes}
