"""Shows on a terminal what a command waits for, and for how many seconds it has waited."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from charloom.formatting import harmless

REFRESHES: Final = 4  # how often the line is drawn per second


@contextmanager
def waiting_line(sentence: str) -> Iterator[None]:
    """Show a line with `sentence` and the elapsed time while the `with` block runs.

    The line is removed at the end of the block. Without a terminal, nothing is shown.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("charloom: {task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, refresh_per_second=REFRESHES) as lines:
        lines.add_task(harmless(sentence), total=None)
        yield
