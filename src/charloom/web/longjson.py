"""Reads a JSON object with long strings in pieces, between which other threads can run.

json.loads keeps Python's lock until it is done: a second for a large text, in which the server would
answer nobody. It knows nothing of what the object is.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

PIECE: Final = 256 * 1024  # bytes
MOST_FRAME: Final = 64 * 1024  # characters of all that stands outside of strings
ESCAPE: Final = 6  # characters of the longest
# As much of a string as is whole: characters and escapes, up to its end.
WHOLE: Final = re.compile(r'(?:[^"\\]+|\\u[0-9a-fA-F]{4}|\\[^u])*')


@dataclass
class Long:
    """A string in pieces."""

    pieces: list[str] = field(default_factory=list)

    def head(self, most: int) -> str:
        """The first characters of it."""
        found = ""
        for piece in self.pieces:
            found += piece[: most - len(found)]
            if len(found) == most:
                break
        return found

    def utf8(self) -> bytes:
        """All of it.

        Raises:
            UnicodeEncodeError: it has halves of surrogate pairs.
        """
        return b"".join(piece.encode("utf-8") for piece in self.pieces)


def read_object(body: bytes) -> dict[str, Any]:
    """The object of some JSON in UTF-8; a value that is a string is Long.

    Raises:
        ValueError: it is no JSON object, or holds very much beside strings.
    """
    strings: list[Long] = []
    frame, outside = "", True
    buffer = ""
    for fresh in characters(body):
        buffer += fresh
        while buffer:
            if outside:
                before, quote, buffer = buffer.partition('"')
                frame += before
                if len(frame) > MOST_FRAME:
                    raise ValueError("very much beside strings")
                if quote:
                    frame += f'"{len(strings)}"'  # a string's number stands for it
                    strings.append(Long())
                    outside = False
                continue
            found = WHOLE.match(buffer)
            end = found.end() if found else 0
            outside = buffer[end : end + 1] == '"'
            piece = json.loads(f'"{buffer[:end]}"')
            if not outside and "\ud800" <= piece[-1:] <= "\udbff":
                piece, end = piece[:-1], end - ESCAPE  # the other half of it is still to come
            strings[-1].pieces.append(piece)
            buffer = buffer[end + outside :]
            if not outside:
                if len(buffer) > 2 * ESCAPE:
                    raise ValueError("no escape")
                break
    if not outside:
        raise ValueError("a string without an end")
    try:
        told = json.loads(frame)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(told, dict):
        raise ValueError("no object")
    return {
        "".join(strings[int(name)].pieces): strings[int(value)] if isinstance(value, str) else value
        for name, value in told.items()
    }


def characters(body: bytes) -> Iterator[str]:
    """The characters of UTF-8, some at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), PIECE):
        yield decoder.decode(body[start : start + PIECE], final=start + PIECE >= len(body))
