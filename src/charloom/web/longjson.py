"""Reads a JSON object with long strings in pieces, so that other threads can run between the pieces.

json.loads holds Python's lock until it is done. For a large text that takes a second, in which the server could not
answer any request. The fields of the object can be anything.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

PIECE: Final = 256 * 1024  # bytes
MOST_FRAME: Final = 64 * 1024  # characters outside of strings
ESCAPE: Final = 6  # characters of the longest escape
# The complete characters and escapes at the beginning of a piece of a string.
WHOLE: Final = re.compile(r'(?:[^"\\]+|\\u[0-9a-fA-F]{4}|\\[^u])*')


@dataclass
class Long:
    """A long string, stored in pieces."""

    pieces: list[str] = field(default_factory=list)

    def head(self, most: int) -> str:
        """Return the first `most` characters."""
        found = ""
        for piece in self.pieces:
            found += piece[: most - len(found)]
            if len(found) == most:
                break
        return found

    def utf8(self) -> bytes:
        """Return the whole string in UTF-8.

        Raises:
            UnicodeEncodeError: it contains unpaired surrogates.
        """
        return b"".join(piece.encode("utf-8") for piece in self.pieces)


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body` (UTF-8), with each string value as a `Long`.

    Raises:
        ValueError: it is not a JSON object, or has more than 64 KiB outside of strings.
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
                    raise ValueError("too much outside of strings")
                if quote:
                    frame += f'"{len(strings)}"'  # the index of a string stands for the string
                    strings.append(Long())
                    outside = False
                continue
            found = WHOLE.match(buffer)
            end = found.end() if found else 0
            outside = buffer[end : end + 1] == '"'
            piece = json.loads(f'"{buffer[:end]}"')
            if not outside and "\ud800" <= piece[-1:] <= "\udbff":
                piece, end = piece[:-1], end - ESCAPE  # the other half is in the next piece
            strings[-1].pieces.append(piece)
            buffer = buffer[end + outside :]
            if not outside:
                if len(buffer) > 2 * ESCAPE:
                    raise ValueError("not a valid escape")
                break
    if not outside:
        raise ValueError("a string is not closed")
    try:
        told = json.loads(frame)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(told, dict):
        raise ValueError("not an object")
    return {
        "".join(strings[int(name)].pieces): strings[int(value)] if isinstance(value, str) else value
        for name, value in told.items()
    }


def characters(body: bytes) -> Iterator[str]:
    """Yield the characters of `body` (UTF-8), one piece after another."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), PIECE):
        yield decoder.decode(body[start : start + PIECE], final=start + PIECE >= len(body))
