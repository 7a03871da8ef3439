"""How numbers, units, times and untrusted text are written, wherever they are shown.

Text that a network wrote, or that a stranger's file holds, is shown without its control characters:
a terminal would obey them, a page be disturbed.
"""

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Final

SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

THIN: Final = "\u202f"  # a narrow space at which no line breaks

# What would be obeyed, and the sign that stands for it.
SIGNS: Final[dict[int, str]] = {
    **{point: chr(0x2400 + point) for point in range(0x20) if chr(point) not in "\n\t"},
    0x7F: "\u2421",
    **{
        point: f"[U+{point:04X}]"
        for point in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    },
    # Our own marks (charloom.messages), which a stranger's text may hold.
    **{point: f"[U+{point:04X}]" for point in (0xFDD0, 0xFDD1)},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}

WORDS: Final = (
    "no", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def bits_per_character(nats: float, seq_length: int = 1) -> float:
    """Bits per character of a loss in nats per window of T steps, or per character."""
    return nats / seq_length / math.log(2)


def one_of(tokens: str) -> str:
    """What one symbol of a text is called: character, or byte."""
    return tokens.removesuffix("s")


def count(value: int) -> str:
    """A whole number with its thousands parted: 443,010."""
    return f"{value:,}"


def number_of(value: int, thing: str, things: str = "") -> str:
    """How many of something, small numbers as words: one sample, 13 samples."""
    word = WORDS[value] if value < len(WORDS) else count(value)
    return f"{word} {thing if value == 1 else things or thing + 's'}"


def counted(value: int, thing: str, things: str = "") -> str:
    """How many of something, always in figures: 1 update, 2,000 updates."""
    return f"{count(value)} {thing if value == 1 else things or thing + 's'}"


def decimals(value: float, places: int) -> str:
    """A number with so many decimals; one that has run away in few digits: 5.23e+29."""
    return f"{value:.{places}f}" if abs(value) < 1e6 else f"{value:.3g}"


def scientific(value: float) -> str:
    """An error with two digits: 2.3 × 10⁻¹³, 10⁻⁵, 0.62. It does not break over a line's end."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 10:
        return f"{value:#.2g}"
    digits, exponent = f"{value:.1e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if value == float(f"1e{exponent}") else f"{digits}{THIN}×{THIN}{power}"


def power_of_ten(value: float) -> str:
    """The power of ten that is nearest to a positive number: 10⁻¹²."""
    return f"10{str(round(math.log10(value))).translate(SUPERSCRIPTS)}"


def duration(seconds: float) -> str:
    """A time as people say it: 2.5 s, 42 s, 2 min 05 s, 1 h 02 min."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def harmless(text: str) -> str:
    """A text in which nothing is obeyed but newlines and tabs.

    Control characters become their pictures (U+0000 becomes ␀) or, like those that turn the
    direction of writing, their code points; halves of surrogate pairs the replacement character.
    """
    return text.translate(SIGNS)


def excerpt(text: str, width: int = 72) -> str:
    """The beginning of a text on one line, for people."""
    line = " ".join(harmless(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def shortened(value: object, most: int = 120) -> str:
    """A value that somebody gave, for a message: on one line, its middle left out where it is long.

    A path is written as it is, anything else as Python writes it.
    """
    try:
        text = str(value) if isinstance(value, PurePath) else repr(value)
    except Exception:  # a whole number of thousands of digits, or an object of the user's own
        return f"a value of the type {type(value).__name__} that cannot be shown"
    line = " ".join(harmless(text).split()) if len(text.splitlines()) > 1 else harmless(text)
    if len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def listing(items: Sequence[str]) -> str:
    """Things named one after another: a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def finite(value: Any) -> Any:
    """A value as JSON has it: lists for tuples, None for a number that is not finite."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
