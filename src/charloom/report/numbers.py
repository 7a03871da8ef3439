"""Numbers and units as people read them: the report's only way of writing a number."""

import math
from collections.abc import Sequence
from typing import Final

SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

THIN: Final = "\u202f"  # a narrow space at which no line breaks

WORDS: Final = (
    "no", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def bits_per_character(nats: float, seq_length: int) -> float:
    """Bits per character of a loss in nats per window of T steps."""
    return nats / seq_length / math.log(2)


def count(value: int) -> str:
    """A whole number with its thousands parted: 443,010."""
    return f"{value:,}"


def number_of(value: int, thing: str, things: str = "") -> str:
    """How many of something, small numbers as words: one sample, 13 samples."""
    word = WORDS[value] if value < len(WORDS) else count(value)
    return f"{word} {thing if value == 1 else things or thing + 's'}"


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
    """A time with two units at most: 2 min 5 s."""
    whole = round(seconds)
    if whole < 1:
        return "less than a second"
    if whole < 60:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {seconds_left} s" if seconds_left else f"{minutes} min"
    hours, minutes_left = divmod(minutes, 60)
    return f"{count(hours)} h {minutes_left} min" if minutes_left else f"{count(hours)} h"


def listing(items: Sequence[str]) -> str:
    """Things named one after another: a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
