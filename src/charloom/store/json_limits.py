"""Limits on the memory that untrusted JSON can use before its contents are checked."""

from typing import Final

from charloom.errors import DamagedError
from charloom.text.vocabulary import CODE_POINTS

# The longest possible metadata, with a vocabulary of all code points, have 7.7 MB. When JSON is parsed, each
# bracket costs many bytes.
MOST_METADATA: Final = 8 << 20  # bytes
MOST_BRACES: Final = 1 << 14  # a tensor has one opening brace, two brackets and four colons
MOST_COMMAS: Final = CODE_POINTS + MOST_BRACES * 8  # the commas of a vocabulary and of the tensors
MOST_STATE: Final = 1 << 16  # bytes


def require_modest(text: bytes, label: str) -> None:
    """Raise DamagedError for JSON that would need too much memory when it is parsed."""
    for mark, things, most in (
        (b"{", "objects", MOST_BRACES),
        (b"[", "lists", 2 * MOST_BRACES),
        (b":", "fields", 8 * MOST_BRACES),
        (b",", "values", MOST_COMMAS),
    ):
        found = text.count(mark)
        if found > most:
            raise DamagedError(
                f"{label} is damaged: it has {found} {things}; at most {most} are allowed."
            )
