"""Writes the summary of a run as a row of a table, for the command line and for notebooks."""

from typing import Final

from charloom.formatting import UNKNOWN, ago, count, decimals, megabytes
from charloom.store import RunSummary

HEADS: Final = ("run", "state", "recipe", "network", "updates", "nats", "bits", "on", "size", "changed")  # fmt: skip
LEFT: Final = 4  # how many columns are left-aligned in a table of text


def row_of(run: RunSummary, name: str, now: float) -> list[str]:
    """Return the entries of the row for a run.

    Args:
        run: the summary.
        name: the run directory, as it is shown.
        now: the present time in Unix time.
    """
    state = run.state
    if run.problems and run.config is not None:
        state += ", damaged"
    entries = [
        name,
        state,
        run.config and run.config.recipe,
        run.network,
        progress(run.update, run.updates),
        None if run.best_nats is None else decimals(run.best_nats, 3),
        None if run.best_bits is None else decimals(run.best_bits, 3),
        run.best_on,
        None if run.bytes is None else megabytes(run.bytes),
        None if run.changed is None else ago(now - run.changed),
    ]
    return [UNKNOWN if entry is None else str(entry) for entry in entries]


def progress(update: int | None, updates: int | None) -> str | None:
    """Return how far a run is, such as 2,000 of 3,000; only 3,000 if it has done all its updates."""
    if update is None or update == updates:
        return None if update is None else count(update)
    return count(update) if updates is None else f"{count(update)} of {count(updates)}"
