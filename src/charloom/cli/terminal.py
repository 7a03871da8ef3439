"""What is said and where: data to stdout, everything else to stderr.

Text that a network wrote, or that a stranger's file holds, is shown without its control
characters: a terminal would obey them.
"""

import json
import math
import sys
from contextlib import suppress
from typing import Any, Final

VISIBLE: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(128, 160), 65533),
    # Marks that turn the direction of writing could make a line read as another one.
    **dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), 65533),
}


def say(sentence: str) -> None:
    """A line for people, to stderr; one that nobody can read ends no training."""
    with suppress(OSError):
        print(f"charloom: {harmless(sentence)}", file=sys.stderr, flush=True)


def show(text: str = "") -> None:
    """A line of results, to stdout."""
    print(text)


def show_json(value: Any) -> None:
    """A result as JSON, to stdout; a number that is not finite becomes null."""
    print(json.dumps(finite(value), ensure_ascii=False, indent=2))


def finite(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def harmless(text: str) -> str:
    """A text of which a terminal obeys nothing but newlines and tabs."""
    return text.translate(VISIBLE)


def excerpt(text: str, width: int = 72) -> str:
    """The beginning of a text on one line, for people."""
    line = " ".join(harmless(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def bits(nats_per_window: float, seq_length: int) -> float:
    """Bits per character of a window's loss in nats."""
    return nats_per_window / seq_length / math.log(2)
