"""Shows the summaries of runs as lines of a table, or as data for JSON."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from charloom.formatting import ago, count, decimals, megabytes, table
from charloom.messages import quoted

if TYPE_CHECKING:
    from charloom.store import RunSummary

HEADS: Final = ("run", "state", "recipe", "network", "updates", "nats", "bits", "on", "size", "changed")  # fmt: skip
LEFT: Final = 4  # how many columns are left-aligned
UNKNOWN: Final = "-"


def run_lines(runs: Sequence["RunSummary"]) -> list[str]:
    """Return the lines of a table with a row for each run. Paths are quoted as a shell needs it."""
    now = time.time()
    return table(HEADS, [row_of(run, now) for run in runs], LEFT)


def row_of(run: "RunSummary", now: float) -> list[str]:
    """Return the entries of the row for a run. `now` is the present time in Unix time."""
    network = run.network
    state = run.state
    if run.problems and run.config is not None:
        state += ", damaged"
    entries = [
        quoted(run.path),
        state,
        run.config and run.config.recipe,
        network,
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


def run_fields(run: "RunSummary") -> dict[str, Any]:
    """Return the fields of a run that `runs --json` prints. A value that is not known is None."""
    config = run.config
    return {
        "run": str(run.path),
        "state": run.state,
        "reason": run.reason,
        "problems": list(run.problems),
        "recipe": config and config.recipe,
        "cell": config and config.cell,
        "layers": config and config.layers,
        "hidden_size": config and config.hidden_size,
        "update": run.update,
        "updates": run.updates,
        "best_nats": run.best_nats,
        "best_bits": run.best_bits,
        "best_on": run.best_on,
        "bytes": run.bytes,
        "changed": run.changed,
    }
