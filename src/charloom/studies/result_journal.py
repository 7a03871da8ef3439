"""Writes the results of a worker process into its journal, several at once if the runs are short."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from charloom.store.journal import Journal
from charloom.studies.results import RunResult

# Results wait at most about this long, so a kill loses no others. A run can take 2 ms, and writing each
# result by itself would take several percent of that.
WAITING_SECONDS: Final = 0.25


class ResultJournal:
    """Writes results into the journal at `path`.

    Leaving the context writes and syncs all of them, and removes a journal that has none.

    Raises:
        WriteError: the disk failed.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._waiting: list[RunResult] = []
        self._written = time.monotonic()

    def add(self, result: RunResult) -> None:
        """Write a result, now or with later ones."""
        self._waiting.append(result)
        if self.is_due:
            self.write()

    @property
    def is_due(self) -> bool:
        """Whether results wait and the last writing is long ago. Ask this now and then within a long run."""
        return bool(self._waiting) and time.monotonic() - self._written >= WAITING_SECONDS

    def write(self) -> None:
        """Write all results that wait."""
        for result in self._waiting:
            self._journal.append(result.to_dict())
        self._waiting.clear()
        self._journal.flush()
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._journal:
            self.write()
            self._journal.sync()
        remove_if_empty(self._journal.path)


def remove_if_empty(path: Path) -> None:
    """Remove the journal of a process that has ended without a result."""
    with suppress(OSError):
        if not path.stat().st_size:
            path.unlink()
