"""Passes the progress of reading a long text from the reader to a display, which may be absent.

A face names its display once, for all texts that it opens. This module knows neither texts nor
terminals.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

# A function that is called with a number of bytes that were just read.
BytesListener = Callable[[int], object]
# Begins a display. It is called with the number of bytes that will be read; the listener that the context
# manager gives is called with the size of each block.
Display = Callable[[int], AbstractContextManager[BytesListener]]

_display: ContextVar[Display | None] = ContextVar("display of reading", default=None)


def ignore_bytes(size: int) -> None:
    """Do nothing: the listener where nobody wants to see the progress."""


@contextmanager
def reading_shown_by(display: Display | None) -> Iterator[None]:
    """Show the progress of all texts that are read in the `with` block by `display`; None shows nothing."""
    before = _display.set(display)
    try:
        yield
    finally:
        _display.reset(before)


def reading_of(size: int) -> AbstractContextManager[BytesListener]:
    """Begin to read `size` bytes, for a `with` statement. Bytes that are read twice count twice.

    The statement gives a function to call with the size of each block.
    """
    display = _display.get()
    return nullcontext(ignore_bytes) if display is None else display(size)
