"""Writes results to stdout and messages to stderr; escapes control characters in both.

A message may have placeholders for arguments and commands (`charloom.messages`). They are replaced by
the names that the command line uses, such as --option.
"""

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
LINE_SECONDS: Final = 5.0  # time between two lines about the progress of a long task
CLEAR_LINE: Final = "\r\x1b[2K"


def clear_line() -> None:
    """Clear the current line of the terminal, such as a progress line or ^C.

    The next message then starts at the beginning of the line. Do nothing if there is no terminal, or if
    the terminal does not know the control codes.
    """
    with suppress(OSError):
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            sys.stderr.write(CLEAR_LINE)


def explain_terminal_input(sources: Iterable[str]) -> None:
    """Print how to type a text, if one of `sources` is "-" and standard input is a terminal."""
    if STDIN in sources and sys.stdin is not None and sys.stdin.isatty():
        key = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        say(
            f"reading the text from the terminal: type it, and end it with {key} on a line of its own."
        )


def say(sentence: str) -> None:
    """Print a message to stderr. Ignore errors: a run must not stop when its terminal is closed.

    Placeholders in `sentence` are replaced by the names that the command line uses. But if charloom's web
    server started this process, its page shows the message, so they are replaced by the names on the page.
    """
    spell = for_page if os.environ.get(FACE) == PAGE else for_command_line
    with suppress(OSError):
        print(f"charloom: {harmless(spell(sentence))}", file=sys.stderr, flush=True)


def say_sentence(sentence: str) -> None:
    """Add a full stop to `sentence` and print it as a message, as `say` does."""
    say(f"{sentence}.")


def say_sentences(sentences: Iterable[str]) -> None:
    """Add a full stop to each sentence, and print each as a message on its own line, as `say` does."""
    for sentence in sentences:
        say_sentence(sentence)


def show(text: str = "") -> None:
    """Print a line of results to stdout. Placeholders become the names that the command line uses."""
    print(harmless(for_command_line(text)))


def show_json(value: Any) -> None:
    """Print a result as JSON to stdout.

    Messages in the result may have placeholders for arguments and commands. They become the names that the
    command line uses. A number that is not finite becomes
    null. If the result has a control character, or a character that the encoding of stdout lacks, all
    characters outside ASCII become JSON escapes.
    """
    value = spelled_for(finite(value), for_command_line)
    text, encoding = json.dumps(value, ensure_ascii=False, indent=2), sys.stdout.encoding or "utf-8"
    plain = text == harmless(text) == text.encode(encoding, "replace").decode(encoding)
    print(text if plain else json.dumps(value, indent=2))
