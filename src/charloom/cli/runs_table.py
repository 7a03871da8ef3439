"""Shows the summaries of runs as lines of a table, or as data for JSON."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charloom.formatting import table
from charloom.messages import quoted

if TYPE_CHECKING:
    from charloom.store import RunSummary


def run_lines(runs: Sequence["RunSummary"]) -> list[str]:
    """Return the lines of a table with a row for each run. Paths are quoted as a shell needs it."""
    from charloom.api.run_rows import HEADS, LEFT, row_of

    now = time.time()
    return table(HEADS, [row_of(run, quoted(run.path), now) for run in runs], LEFT)


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
