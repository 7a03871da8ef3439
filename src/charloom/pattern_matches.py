"""Finds the matches of a regular expression in a text, here or in a separate process that is ended after a time.

Some regular expressions need years for a short text. A thread cannot interrupt that; but a process can be killed.
"""

import json
import re
import subprocess
import sys
import time
import warnings
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
        with warnings.catch_warnings():
            # Python warns of patterns such as [[a] whose meaning may change in a later version.
            warnings.simplefilter("ignore", FutureWarning)
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
        ConfigError: `regex` is not a regular expression, or the process failed.
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
            return spans_of(process.returncode, answer)
    return None


def spans_of(code: int, output: bytes) -> Spans:
    """Return the spans in the output of the process, which ended with the exit code `code`.

    Raises:
        ConfigError: the process failed, or its answer has an error.
    """
    if code != 0:
        raise ConfigError(
            f"the search for the pattern failed: its process ended with the exit code {code}, perhaps because it had "
            f"too little memory; give a simpler pattern or a shorter text."
        )
    answer: dict[str, Any] = json.loads(output)
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
