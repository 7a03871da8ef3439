"""Limits on the memory that untrusted JSON can use before its contents are checked."""

from typing import Final

from charloom.errors import DamagedError
from charloom.text.vocabulary import CODE_POINTS

# The metadata of a model with all code points in its vocabulary has 7.7 MB.
MOST_METADATA: Final = 8 << 20  # bytes
# Each object, list, field and value takes memory when JSON is parsed, so their numbers are limited.
# A tensor in the header of a safetensors file has one opening brace, two opening brackets and four colons.
MOST_BRACES: Final = 1 << 14
MOST_COMMAS: Final = (
    CODE_POINTS + MOST_BRACES * 8
)  # commas of the largest vocabulary and of all tensors
MOST_STATE: Final = 1 << 16  # bytes


def require_modest(text: bytes, label: str) -> None:
    """Raise DamagedError if JSON would need too much memory when it is parsed.

    `label` is the name of the JSON in messages.
    """
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
