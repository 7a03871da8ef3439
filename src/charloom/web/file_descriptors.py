"""Computes how many connections the server may accept, from the number of files that the process may open.

The module also reports when no file descriptor is free. It knows nothing about the connections themselves or about
routes.
"""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

MOST_CONNECTIONS: Final = 960
MOST_STREAMS: Final = 100
RESERVED: Final = (
    128  # file descriptors kept free for files that threads read and for training processes
)
WANTED: Final = MOST_CONNECTIONS + RESERVED
AGAIN_SECONDS: Final = 60.0  # shortest time between two reports that files cannot be opened
QUIET_SECONDS: Final = 5.0  # a shortage ends when no file has failed to open for this time
# The error numbers with which the system says that it has no free file descriptor or no memory for it.
CODES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits on the connections of the server.

    Attributes:
        most: the largest number of connections. Further connections are closed immediately.
        answered: the number of connections above which the server refuses every request with the status 503.
        stream_limit: the largest number of event streams of runs.
    """

    most: int
    answered: int
    stream_limit: int

    @classmethod
    def within(cls, files: int | None) -> "ConnectionLimits":
        """Return the limits for a process that may have at most `files` open files.

        `files` is None if the process may have any number of open files.
        """
        most = MOST_CONNECTIONS
        if files is not None:
            most = max(1, min(most, max(files - RESERVED, files // 2)))
        return cls(most, max(1, most * 15 // 16), max(1, min(MOST_STREAMS, most // 4)))


def raise_limit() -> int | None:
    """Raise the limit of open files to what the server needs, as far as the system allows.

    Returns:
        The number of files that the process may have open now; None if the number is not limited.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no module `resource` and no such limit
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
    """Return True if `error`, or an error that caused it, says that no file descriptor is free."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in CODES:
            return True
        error = error.__cause__
    return False


class Shortage:
    """Reports at most once a minute that no file descriptor is free, and reports when this shortage ends.

    Args:
        say: prints a message for the user.
        clock: returns the time in seconds, by a clock that is never set back.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._clock = clock
        self._told: float | None = None  # when it was last reported that files cannot be opened
        # when a file last failed to open for lack of a descriptor; None when this shortage is over
        self._met: float | None = None

    def met(self) -> None:
        """Record that a file could not be opened because no descriptor was free.

        Report the shortage, unless this was done less than a minute ago. Any thread may call this method.
        """
        self._met = now = self._clock()
        if self._told is None or now - self._told >= AGAIN_SECONDS:
            self._told = now
            self._say(
                "too many files are open: new connections wait, and open connections still work. Close "
                "some pages or programs, or raise the limit (ulimit -n) and start the server again."
            )

    def check(self) -> None:
        """If a shortage was recorded and no file has failed to open for five seconds, report that it has ended."""
        if self._met is None or self._clock() - self._met < QUIET_SECONDS:
            return
        self._met = None
        self._say("files can be opened again.")
