"""Writes data to stdout, everything else to stderr, and control characters to neither."""

import json
import sys
from contextlib import suppress
from typing import Any

from charloom.messages import for_command_line, spelled_for
from charloom.spelling import finite, harmless


def say(sentence: str) -> None:
    """A marked message for people, to stderr; one that nobody can read ends no training."""
    with suppress(OSError):
        print(f"charloom: {harmless(for_command_line(sentence))}", file=sys.stderr, flush=True)


def show(text: str = "") -> None:
    """A line of results for people, to stdout; a marked message is spelled."""
    print(harmless(for_command_line(text)))


def show_json(value: Any) -> None:
    """A result as JSON, to stdout: a number that is not finite becomes null, a marked message is
    spelled.

    What stdout cannot hold, or a terminal would obey, is written by its number as JSON has it.
    """
    value = spelled_for(finite(value), for_command_line)
    told = json.dumps(value, ensure_ascii=False, indent=2)
    plain = harmless(told) == told and holds(sys.stdout.encoding, told)
    print(told if plain else json.dumps(value, indent=2))


def holds(encoding: str | None, text: str) -> bool:
    """Whether a text can be written in an encoding."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
