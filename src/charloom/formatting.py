"""Formats numbers, units, times and untrusted text for users.

Text that a network sampled, or that comes from an untrusted file, is shown without its control
characters. A terminal would execute them, and they could make a page unreadable.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final

SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

THIN: Final = "\u202f"  # a narrow space; a line cannot end at it

# The visible text that replaces each character that a terminal would execute, or that could make a
# page unreadable.
SIGNS: Final[dict[int, str]] = {
    **{point: chr(0x2400 + point) for point in range(0x20) if chr(point) not in "\n\t"},
    0x7F: "\u2421",
    **{
        point: f"[U+{point:04X}]"
        for point in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    },
    # The characters that begin and end a mark of charloom.messages. An untrusted text must not contain
    # marks, so these characters are replaced too.
    **{point: f"[U+{point:04X}]" for point in (0xFDD0, 0xFDD1)},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}

WORDS: Final = (
    "no", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


UNKNOWN: Final = "-"  # the entry of a table for a value that is not known


def bits_per_character(nats: float, seq_length: int = 1) -> float:
    """Return the bits per character of a loss of `nats` nats per `seq_length` characters."""
    return nats / seq_length / math.log(2)


def one_of(tokens: str) -> str:
    """Return the singular of `tokens`: character for characters, byte for bytes."""
    return tokens.removesuffix("s")


def count(value: int) -> str:
    """Return a whole number as text with commas between thousands, such as 443,010."""
    return f"{value:,}"


def number_of(value: int, thing: str, things: str = "") -> str:
    """Return a number with its noun, such as one sample or 13 samples.

    Numbers up to twelve are words. `things` is the plural of `thing`; "" adds an s to `thing`.
    """
    word = WORDS[value] if value < len(WORDS) else count(value)
    return f"{word} {thing if value == 1 else things or thing + 's'}"


def counted(value: int, thing: str, things: str = "") -> str:
    """Return a number in figures with its noun, such as 1 update or 2,000 updates.

    `things` is the plural of `thing`; "" adds an s to `thing`.
    """
    return f"{count(value)} {thing if value == 1 else things or thing + 's'}"


def decimals(value: float, places: int) -> str:
    """Return a number as text with `places` decimals; from 10⁶ on with three digits: 5.23e+29."""
    return f"{value:.{places}f}" if abs(value) < 1e6 else f"{value:.3g}"


def scientific(value: float) -> str:
    """Return a number with two digits as text, such as 2.3 × 10⁻¹³, 10⁻⁵ or 0.62.

    The spaces in the text are such that a line cannot end at them.
    """
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
    """Return the power of ten that is nearest to a positive number, as text such as 10⁻¹²."""
    return f"10{str(round(math.log10(value))).translate(SUPERSCRIPTS)}"


def duration(seconds: float) -> str:
    """Return a time in seconds as text, such as 2.5 s, 42 s, 2 min 05 s or 1 h 02 min."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def megabytes(size: int) -> str:
    """Return a size in bytes as text, such as 0.02 MB or 1,234.50 MB (1 MB is 1,000,000 bytes)."""
    return f"{size / 1e6:,.2f} MB"


def ago(seconds: float) -> str:
    """Return how long ago something was as text, such as now, 5 min ago, 3 h ago or 12 days ago."""
    minutes = seconds / 60
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{int(minutes)} min ago"
    if minutes < 48 * 60:
        return f"{int(minutes / 60)} h ago"
    return f"{count(int(minutes / 1440))} days ago"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table: first the line of `heads`, then a line for each row in `rows`.

    Each column is as wide as its widest entry. The first `left` columns are left-aligned, the others
    right-aligned.
    """
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(
            f"{entry:<{width}}" if column < left else f"{entry:>{width}}"
            for column, (entry, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def harmless(text: str) -> str:
    """Return the text with visible signs instead of control characters, except newlines and tabs.

    An ASCII control character becomes its sign (U+0000 becomes ␀). Any other control character, and
    a character that changes the direction of writing, becomes its code point in brackets, such as
    [U+0085]. A lone surrogate becomes the replacement character U+FFFD.
    """
    return text.translate(SIGNS)


def one_line(text: str) -> str:
    """Return a text on one line: ⏎ stands for a line feed, a space for a tab, and signs for other control characters."""
    return harmless(text).replace("\n", "⏎").replace("\t", " ")


def excerpt(text: str, width: int = 72) -> str:
    """Return the beginning of a text on one line, at most `width` characters."""
    line = " ".join(harmless(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def shortened(value: object, most: int = 120) -> str:
    """Return a user's value as text for a message, on one line of at most `most` characters.

    A path is written as it is, and any other value as its `repr`. The middle of a longer text is
    left out.
    """
    try:
        text = str(value) if isinstance(value, PurePath) else repr(value)
    # `repr` may raise any exception, for example for a user's class or an int with 5,000 digits.
    except Exception:
        return f"a value of the type {type(value).__name__} that cannot be shown"
    line = " ".join(harmless(text).split()) if len(text.splitlines()) > 1 else harmless(text)
    if len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def capitalized(sentence: str) -> str:
    """Return `sentence` with a capital letter at its start."""
    return sentence[:1].upper() + sentence[1:]


def listing(items: Sequence[str]) -> str:
    """Return the items as one text, such as a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def finite(value: Any) -> Any:
    """Return a value that JSON can express: tuples become lists; NaN and infinity become None."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def name_differences(wanted: Iterable[str], found: Iterable[str]) -> str:
    """Return which names are missing or unexpected in `found`: "missing a; unexpected 'b'"."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if extra:
        parts.append(f"unexpected {', '.join(map(repr, extra))}")
    return "; ".join(parts)
