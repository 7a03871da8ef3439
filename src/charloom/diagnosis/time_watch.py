"""Measures the time that a submission uses, so that its limit does not depend on what else the computer does.

The limit is one of processor time. A submission that only waits uses none, so it also has a limit of the time
in which it does nothing. Linux only; it knows no other limits.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

LONGEST_LOOK: Final = (
    1.0  # seconds without a look that count as idle, because this process may be late too
)
WAITS: Final = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)
ACTIVE: Final = "RD"  # states of a process that runs, waits for a processor or for a disk


class Use(NamedTuple):
    """What processes do.

    Attributes:
        seconds: the processor time that they used so far.
        active: whether one of them runs, or waits only for a processor or a disk.
        waits: how often they have waited so far; it grows with each sleep that ends.
    """

    seconds: float
    active: bool
    waits: int = 0


class TimeWatch:
    """Compares the time of a submission with its limit.

    Args:
        seconds: the limit of the processor time, and of the time without any activity.
        clock: function that returns the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = seconds, clock
        self._used, self._waits, self._idle, self._looked = 0.0, 0, 0.0, clock()

    def excess(self, use: Use) -> str:
        """Return what the submission did for too long, or ""; `use` is what its processes do now."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, LONGEST_LOOK), now
        moved = use.active or use.seconds > self._used or use.waits != self._waits
        self._idle = 0.0 if moved else self._idle + passed
        self._used, self._waits = max(use.seconds, self._used), use.waits
        if self._used > self._limit:
            return f"did not end within {self._limit:g} s of processor time"
        if self._idle > self._limit:
            return f"did not end; it only waited for {self._limit:g} s, for example in time.sleep"
        return ""


def use_of(processes: Sequence[int]) -> Use:
    """Return what the processes, and the children of this process that have ended, do and did."""
    ended = os.times()
    found = list(filter(None, map(status_of, processes)))
    seconds = ended.children_user + ended.children_system + sum(one.seconds for one in found)
    active, waits = any(one.active for one in found), sum(one.waits for one in found)
    return Use(seconds, active, waits)


def status_of(process: int) -> Use | None:
    """Return what a process does, and the time that it and its ended children used; None if it is unknown."""
    with suppress(OSError, ValueError, IndexError):
        folder = Path(f"/proc/{process}")
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        # The name of the program stands in brackets, and may itself contain any character.
        fields = text[text.rindex(")") + 1 :].split()
        seconds = ticks(fields[11:15]) / os.sysconf("SC_CLK_TCK")
        found = WAITS.search((folder / "status").read_text(encoding="utf-8", errors="replace"))
        return Use(seconds, fields[0] in ACTIVE, int(found[1]) if found else 0)
    return None


def ticks(fields: Iterable[str]) -> int:
    """Return the sum of whole numbers that are given as text."""
    return sum(map(int, fields))
