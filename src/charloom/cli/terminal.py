"""Writes results to stdout and messages to stderr; escapes control characters in both."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from charloom.config import STDIN
from charloom.formatting import finite, harmless
from charloom.messages import FACE, PAGE, for_command_line, for_page, spelled_for

WIDTH: Final = 100  # columns at which results are wrapped
LINE_SECONDS: Final = 5.0  # between two lines about the progress of a long task
CLEAR_LINE: Final = "\r\x1b[2K"


def clear_line() -> None:
    """Clear the line of a terminal in which the cursor is, such as a progress line or ^C.

    A message that is printed next then starts at the beginning of the line. Does nothing without a
    terminal, or if the terminal does not know the control codes.
    """
    with suppress(OSError):
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            sys.stderr.write(CLEAR_LINE)


def explain_terminal_input(sources: Iterable[str]) -> None:
    """Say how to type a text, if one of the sources is standard input and this is a terminal."""
    if STDIN in sources and sys.stdin is not None and sys.stdin.isatty():
        key = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        say(
            f"reading the text from the terminal: type it, and end it with {key} on a line of its own."
        )


def say(sentence: str) -> None:
    """Print a marked message to stderr; ignore errors, so that a lost terminal stops no training.

    It is spelled for the command line, or for the page if the server started this process.
    """
    spell = for_page if os.environ.get(FACE) == PAGE else for_command_line
    with suppress(OSError):
        print(f"charloom: {harmless(spell(sentence))}", file=sys.stderr, flush=True)


def say_sentence(sentence: str) -> None:
    """Add a full stop to a marked message and print it."""
    say(f"{sentence}.")


def say_sentences(sentences: Iterable[str]) -> None:
    """Add a full stop to each of the marked messages, and print each on a line."""
    for sentence in sentences:
        say_sentence(sentence)


def show(text: str = "") -> None:
    """Print a line of results to stdout; a marked message is spelled for the command line."""
    print(harmless(for_command_line(text)))


def show_json(value: Any) -> None:
    """Print a result as JSON to stdout.

    A number that is not finite becomes null, and a marked message is spelled for the command line.
    Characters that the encoding of stdout lacks, and control characters, become JSON escapes.
    """
    value = spelled_for(finite(value), for_command_line)
    text = json.dumps(value, ensure_ascii=False, indent=2)
    plain = harmless(text) == text and holds(sys.stdout.encoding, text)
    print(text if plain else json.dumps(value, indent=2))


def holds(encoding: str | None, text: str) -> bool:
    """Return True if `text` can be written in `encoding`; None means UTF-8."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
