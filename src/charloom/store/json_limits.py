"""Limits on the memory that untrusted JSON can use before its contents are checked."""

from typing import Final

from charloom.errors import DamagedError
from charloom.text.vocabulary import CODE_POINTS

# Largest size of a model's metadata in bytes. A vocabulary with all code points needs 7.7 MB.
MOST_METADATA: Final = 8 << 20
# Parsing JSON takes memory for each object, list, field and value, so the number of braces, brackets, colons
# and commas is limited. A safetensors header with 16,000 tensors is allowed: a tensor is one object with two
# lists and four fields.
MOST_BRACES: Final = 1 << 14
# Largest number of commas in JSON: enough for the largest vocabulary and the largest header.
MOST_COMMAS: Final = CODE_POINTS + MOST_BRACES * 8
# Largest size in bytes of state.json, status.json and control.json.
MOST_STATE: Final = 1 << 16


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
