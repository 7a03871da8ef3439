"""Opens the storage in which Optuna keeps the trials of a search, and waits if it does not answer for a while."""

import atexit
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import optuna
import sqlalchemy.exc
from optuna.storages.journal import JournalFileBackend

from charloom.errors import ConfigError, MissingPartError, StudyError
from charloom.formatting import duration, shortened
from charloom.messages import pip_command
from charloom.studies.trial_lock import TrialLock

JOURNAL: Final = "trials.log"  # Optuna's journal file, in the study's directory
LOCKS: Final = "locks"  # a folder in the study's directory
WAIT_SECONDS: Final = 600.0  # how long a storage may not answer
PAUSE_SECONDS: Final = 1.0  # time between two attempts
# The errors of a database that restarts, or of a network that is interrupted.
PASSING: Final = (
    optuna.exceptions.StorageInternalError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    # Two machines that create the tables at the same moment disturb each other.
    sqlalchemy.exc.IntegrityError,
    sqlalchemy.exc.ProgrammingError,
)
ANSWERS_AGAIN: Final = "the storage of the search answers again."
POSTGRESQL: Final = ("postgresql://", "postgres://")

Found = TypeVar("Found")


class SearchInterrupted(BaseException):
    """The search was interrupted while its storage did not answer. It is not an error of the run that was trained."""


class Patience:
    """Repeats an operation until the storage answers.

    Args:
        say: called with a message when the storage does not answer, and when it answers again.
        halt: returns a reason to give up, or None.
        limit: how many seconds the storage may not answer.
        pause: seconds between two attempts.
    """

    def __init__(
        self,
        say: Callable[[str], object] = lambda _: None,
        halt: Callable[[], str | None] = lambda: None,
        limit: float = WAIT_SECONDS,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._say, self._halt, self._limit, self._pause = say, halt, limit, pause

    def __call__(self, operation: Callable[[], Found]) -> Found:
        """Return the result of `operation`, which must be safe to repeat.

        Raises:
            StudyError: the storage has not answered for too long.
            SearchInterrupted: `halt` gave a reason.
        """
        began = None
        while True:
            try:
                found = operation()
            except PASSING as error:
                if began is None:
                    began = time.monotonic()
                    self._say(
                        f"the storage of the search does not answer ({first_line(error)}); trying again for up to "
                        f"{duration(self._limit)}."
                    )
                self._wait(began, error)
                continue
            if began is not None:
                self._say(ANSWERS_AGAIN)
            return found

    def _wait(self, began: float, error: Exception) -> None:
        """Wait until the next attempt; raise an error if there is none."""
        if self._halt() is not None:
            raise SearchInterrupted
        if time.monotonic() - began > self._limit:
            raise StudyError(
                f"the storage of the search has not answered for {duration(self._limit)}: {first_line(error)}. When it "
                f"answers again, the same command continues."
            ) from None
        time.sleep(self._pause)


def first_line(error: BaseException) -> str:
    """Return the first line of the message of a database's error."""
    cause = error.__cause__ or error
    lines = [
        line for line in str(getattr(cause, "orig", None) or cause).splitlines() if line.strip()
    ]
    return shortened(lines[0].strip(), 160).strip("'\"") if lines else type(cause).__name__


def open_storage(url: str | None, folder: Path) -> Any:
    """Return Optuna's storage: a database, or without a URL a journal file in `folder`.

    Raises:
        ConfigError: the URL is not valid.
        MissingPartError: the package for this database is not installed.
        StudyError: another version of Optuna made the tables of the database.
    """
    if url is None:
        lock = TrialLock(folder / LOCKS)
        atexit.register(lock.close)
        return optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL), lock))
    try:
        return optuna.storages.RDBStorage(
            driver_url(url), engine_kwargs={"pool_pre_ping": True, "pool_size": 2}
        )
    except (ValueError, sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise ConfigError(
            f"search.storage is {shortened(url)}, which is not the URL of a database: {first_line(error)}."
        ) from None
    except ImportError:
        raise MissingPartError(
            f"search.storage is {shortened(url)}, but Python's package for such a database is missing. For PostgreSQL, "
            f"{pip_command('search')}."
        ) from None
    except RuntimeError as error:
        raise StudyError(f"the storage of the search cannot be used: {first_line(error)}") from None


def driver_url(url: str) -> str:
    """Return a URL with the driver that charloom installs, if it is one of PostgreSQL without a driver."""
    for beginning in POSTGRESQL:
        if url.startswith(beginning):
            return "postgresql+psycopg://" + url[len(beginning) :]
    return url
