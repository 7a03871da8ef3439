"""Finds the matches of a regular expression in a text, here or in a separate process that is ended after a time.

Some regular expressions need years for a short text. A thread cannot interrupt that; but a process can be killed.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any, Final

from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.parent_process import end_with_parent

SLICE_SECONDS: Final = 0.03  # how long the generator waits for the process before it yields
# Python's option -P: the process imports no modules from the current directory.
COMMAND: Final = (sys.executable, "-P", "-m", "charloom.pattern_matches")

Spans = list[tuple[int, int]]


def require_regex(regex: str) -> re.Pattern[str]:
    """Return the compiled pattern. Its ^ and $ match at the start and the end of each line.

    Raises:
        ConfigError: `regex` is not a regular expression.
    """
    try:
        return re.compile(regex, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"the pattern {shortened(regex)} is not a regular expression: {error}."
        ) from None


def match_spans(pattern: re.Pattern[str], text: str) -> Spans:
    """Return the start and the end of each match in characters from 0; the end is not part of the match."""
    return [match.span() for match in pattern.finditer(text)]


def match_spans_in_slices(
    regex: str, text: str, seconds: float
) -> Generator[None, None, Spans | None]:
    """Return a generator that finds the matches in a separate process, and yields while it waits.

    The generator returns the result of `match_spans`, or None if the process did not end within `seconds`. If the
    generator is closed, the process is killed.

    Raises:
        ConfigError: `regex` is not a regular expression.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        try:
            return (yield from answer_in_slices(process, json.dumps([regex, text]), seconds))
        finally:
            process.kill()


def answer_in_slices(
    process: "subprocess.Popen[bytes]", request: str, seconds: float
) -> Generator[None, None, Spans | None]:
    """Send a request to the process, and return its answer; None if it has none within `seconds`."""
    ends = time.monotonic() + seconds
    sent: bytes | None = request.encode("ascii")
    while time.monotonic() < ends:
        try:
            answer, _ = process.communicate(sent, timeout=SLICE_SECONDS)
        except subprocess.TimeoutExpired:
            sent = None  # `communicate` continues to send what it was given first
            yield
        else:
            return spans_of(json.loads(answer)) if process.returncode == 0 else None
    return None


def spans_of(answer: dict[str, Any]) -> Spans:
    """Return the spans in an answer of the process; raise ConfigError if the answer has an error."""
    if "error" in answer:
        raise ConfigError(answer["error"])
    return [(start, end) for start, end in answer["spans"]]


def main() -> None:
    """Read a regular expression and a text as JSON from standard input, and write the spans of the matches."""
    end_with_parent()
    regex, text = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"spans": match_spans(require_regex(regex), text)}
    except ConfigError as error:
        answer = {"error": error.message}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
