"""Says how many files the process may open, how many connections that allows, and when there are
none left. It knows no connection and no route.
"""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

MOST_CONNECTIONS: Final = 960
MOST_WATCHERS: Final = 100
RESERVED: Final = 128  # for files that threads read, and for trainings that are started
WANTED: Final = MOST_CONNECTIONS + RESERVED
AGAIN_SECONDS: Final = 60.0  # after which a shortage that lasts is told again
QUIET_SECONDS: Final = 5.0  # without a failure, after which a shortage is over
# What the system says when it has no descriptor, or no memory for one.
CODES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Room:
    """How many connections the server holds.

    Attributes:
        most: beyond so many, a new one is closed unheard.
        answered: where there are more, whoever asks is told to come again.
        watchers: how many of them may be event streams of runs.
    """

    most: int
    answered: int
    watchers: int

    @classmethod
    def within(cls, files: int | None) -> "Room":
        """The room that so many open files allow; None stands for no limit."""
        most = MOST_CONNECTIONS
        if files is not None:
            most = max(1, min(most, max(files - RESERVED, files // 2)))
        return cls(most, max(1, most * 15 // 16), max(1, min(MOST_WATCHERS, most // 4)))


def raise_limit() -> int | None:
    """Raise the limit of open files to what the server needs, as far as the system lets it.

    Returns:
        How many files may be open now; None where there is no limit.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def is_shortage(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that no file can be opened any more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in CODES:
            return True
        error = error.__cause__
    return False


class Shortage:
    """Says once that no file can be opened any more, again each minute while that lasts, and once
    that it is over.

    Args:
        say: what tells the user.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._clock = clock
        self._told: float | None = None  # when it was told last
        self._met: float | None = None  # when it was met last; None where it is over

    def met(self) -> None:
        """No file could be opened just now; any thread may call this."""
        self._met = now = self._clock()
        if self._told is None or now - self._told >= AGAIN_SECONDS:
            self._told = now
            self._say(
                "too many files are open: new connections wait, and open connections still work. Close "
                "some pages or programs, or raise the limit (ulimit -n) and start the server again."
            )

    def check(self) -> None:
        """Say that the shortage is over, if it is."""
        if self._met is None or self._clock() - self._met < QUIET_SECONDS:
            return
        self._met = None
        self._say("files can be opened again.")
