"""Tells how many worker processes train the runs of a study, from the names of its journals.

The name of a journal has the name of the machine, and the id of the process that started the worker.
"""

import os
import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from charloom.live_processes import is_alive, process_start_time
from charloom.studies.study_files import machine_name
from charloom.web.watched_study import WatchedJournal

# A journal of another machine counts while it grows: if it has grown within this time, in seconds.
ELSEWHERE_SECONDS: Final = 120.0
CLOCK_SLACK: Final = 2.0  # seconds by which the clocks of processes and of files can differ


def living_workers(journals: Iterable[WatchedJournal], now: float) -> int:
    """Return the number of journals to which a process may append.

    Args:
        journals: the journals of a study.
        now: the time, in Unix time.
    """
    here = machine_name(platform.node())
    return sum(is_written(journal, here, now) for journal in journals)


def is_written(journal: WatchedJournal, here: str, now: float) -> bool:
    """Return True if the process of a journal is alive; for one of another machine, if it has grown lately.

    Args:
        journal: the journal.
        here: the name of this machine, as in the names of journals.
        now: the time, in Unix time.
    """
    host, *numbers = journal.path.stem.rsplit("-", 3)
    if len(numbers) != 3 or not numbers[0].isdecimal():
        return False
    if host != here:
        return now - journal.changed < ELSEWHERE_SECONDS
    pid = int(numbers[0][:10])
    return is_alive(pid) and not began_after(pid, journal.changed, now)


def began_after(pid: int, moment: float, now: float) -> bool:
    """Return True if the process `pid` started after a moment in Unix time, so that it is not the one of a file."""
    ticks = process_start_time(pid)
    with suppress(AttributeError, OSError, ValueError):
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - (ticks or 0) / os.sysconf("SC_CLK_TCK")
        return ticks is not None and now - running > moment + CLOCK_SLACK
    return False
