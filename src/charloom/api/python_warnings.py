"""Warns users of Python with messages that have marks (see `charloom.messages`)."""

import warnings

from charloom.formatting import capitalized
from charloom.messages import for_python


def warn_user(message: str | None, stacklevel: int = 2) -> None:
    """Emit `message` as a UserWarning in Python's spelling; do nothing if it is None.

    `stacklevel` counts from the caller, as in `warnings.warn`: 2 names the line that called the caller.
    """
    if message is not None:
        warnings.warn(capitalized(for_python(message)), stacklevel=stacklevel + 1)
