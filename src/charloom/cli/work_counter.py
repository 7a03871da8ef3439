"""Shows how many of a number of equal pieces of work are done, and how long the others may take."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charloom.cli.terminal import LINE_SECONDS, say
from charloom.formatting import count


@contextmanager
def counting_line(things: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many things are done: a bar in a terminal, else a line now and then.

    Yields the function to call with the number that is done and of all. `things` names them, such as "units".
    """
    from charloom.cli.progress import DRAW_SECONDS, make_bar

    bar = make_bar() if sys.stderr.isatty() else None
    started = last = time.monotonic()
    if bar is not None:
        bar.start()
        task = bar.add_task("", total=1, completed=0, figures="")

    def report(done: int, all_things: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (LINE_SECONDS if bar is None else DRAW_SECONDS):
            return
        last = now
        left = (now - started) / done * (all_things - done)
        figures = f"{count(done)} of {count(all_things)} {things}  {left:.0f} s left"
        if bar is None:
            say(figures)
        else:
            bar.update(task, total=all_things, completed=done, figures=figures, refresh=True)

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()
