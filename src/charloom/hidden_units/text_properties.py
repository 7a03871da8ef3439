"""Properties of a text: functions that return one number for each character.

A property that is true or false gives 1 or 0. Most properties depend on the text up to and
including the character. The properties capital-next, newline-next and word-end also depend on the
next character (spec/mathematics.md: Properties of a text). This module does not depend on networks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import as_whole, require_one_of
from charloom.errors import ConfigError
from charloom.formatting import excerpt, shortened
from charloom.pattern_matches import match_spans, require_regex

Numbers = NDArray[np.float32]
Places = NDArray[Any]

# Each opening quotation mark, with the quotation marks that can close it.
QUOTES: Final = {
    '"': '"', "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019",
    "\u00ab": "\u00bb", "\u00bb": "\u00ab",
}  # fmt: skip
BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Property:
    """A property of the characters of a text.

    Attributes:
        name: name by which users select the property.
        description: the property in words.
        measure: function that takes a text and returns one number for each character, float32,
            shape (characters,).
        why_absent: the reason to give if the property is 0 for every character; "" gives a general one.
    """

    name: str
    description: str
    measure: Callable[[str], Numbers]
    why_absent: str = ""


def in_quotes(text: str) -> Numbers:
    """Return 1 for each character of a quotation, else 0.

    A quotation starts with its opening mark and ends before its closing mark. A blank line also
    ends a quotation. A quotation without a closing mark lasts until the end of the text.
    """
    inside = np.zeros(len(text), dtype=np.float32)
    opened, closers = -1, ""
    marks = where(text, set("".join(f"{o}{c}" for o, c in QUOTES.items())).__contains__)
    for place in np.flatnonzero(marks | blank_lines(text)).tolist():
        character = text[place]
        if opened < 0:
            if character in QUOTES:
                opened, closers = place, QUOTES[character]
        elif character == "\n" or (character in closers and not _is_apostrophe(text, place)):
            inside[opened:place] = 1
            opened = -1
    if opened >= 0:
        inside[opened:] = 1
    return inside


def _is_apostrophe(text: str, place: int) -> bool:
    """Return True if `place` is the index of a ’ before a letter, as in don’t.

    Such an apostrophe does not close a quotation.
    """
    return text[place] == "\u2019" and text[place + 1 : place + 2].isalpha()


def bracket_depth(text: str) -> Numbers:
    """Return, for each character, how many brackets ( [ { are open after this character.

    A closing bracket without an opening bracket is ignored. A closing bracket that closes an outer
    bracket also closes the brackets inside. A blank line closes all brackets except braces.
    """
    depth = np.zeros(len(text), dtype=np.float32)
    opened: list[str] = []
    since = 0
    marks = where(text, set("()[]{}").__contains__) | blank_lines(text)
    for place in np.flatnonzero(marks).tolist():
        depth[since:place] = len(opened)
        character, since = text[place], place
        if character == "\n":
            opened = [bracket for bracket in opened if bracket == "{"]
        elif character in BRACKETS:
            opened.append(character)
        else:
            partners = [n for n, bracket in enumerate(opened) if BRACKETS[bracket] == character]
            opened = opened[: partners[-1]] if partners else opened
    depth[since:] = len(opened)
    return depth


def in_brackets(text: str) -> Numbers:
    """Return 1 for each character after which a bracket is open, else 0."""
    return _numbers(bracket_depth(text) > 0)


def line_position(text: str) -> Numbers:
    """Return the position of each character in its line: 1 for the first character, then 2, 3, ….

    A line feed gets 0.
    """
    return _since(where(text, "\n".__eq__))


def indentation(text: str) -> Numbers:
    """Return, for each character, how many spaces and tabs at the start of its line were read so far.

    The character itself counts too. A line feed gets 0.
    """
    breaks, blank = where(text, "\n".__eq__), where(text, " \t".__contains__)
    leading = blank & (_last(~blank & ~breaks) <= _last(breaks))
    sums = np.concatenate([[0], np.cumsum(leading)])
    return _numbers(sums[1:] - sums[_last(breaks) + 1])


def paragraph_position(text: str) -> Numbers:
    """Return the position of each character in its paragraph: 1 for the first character.

    A paragraph begins after a blank line. The line feed of the blank line gets 0.
    """
    return _since(blank_lines(text))


def sentence_position(text: str) -> Numbers:
    """Return the position of each character in its sentence: 1 for the first character.

    A sentence begins after . ! ? or a blank line. The mark, or the line feed of the blank line,
    gets 0.
    """
    return _since(where(text, ".!?".__contains__) | blank_lines(text))


def is_word_character(character: str) -> bool:
    """Return True for a letter, digit or underscore."""
    return character.isalnum() or character == "_"


def word_position(text: str) -> Numbers:
    """Return the position of each character in its word: 1 for the first character, then 2, 3, ….

    A character between words gets 0.
    """
    return _since(~where(text, is_word_character))


def word_end(text: str) -> Numbers:
    """Return 1 for the last character of each word, else 0."""
    inside = where(text, is_word_character)
    return _numbers(inside & (_before(~inside) > 0))


def capitals(text: str) -> Numbers:
    """Return 1 for each character that continues a word of capital letters, else 0.

    The character must be a capital letter, and so must all characters before it in its word. The
    first character of a word gets 0.
    """
    inside, upper = where(text, is_word_character), where(text, str.isupper)
    position = _since(~inside)
    return _numbers(upper & (_since(~upper) == position) & (position > 1))


def punctuation(text: str) -> Numbers:
    """Return 1 for each character that is not a letter, digit, underscore or white space, else 0."""
    return _numbers(~where(text, is_word_character) & ~where(text, str.isspace))


def was_read(holds: Callable[[str], bool]) -> Callable[[str], Numbers]:
    """Return a function of a text that gives 1 to each character for which `holds` is True, else 0."""
    return lambda text: _numbers(where(text, holds))


def comes_next(holds: Callable[[str], bool]) -> Callable[[str], Numbers]:
    """Return a function of a text that returns a number, 1 or 0, for each character.

    The number is 1 if `holds` is True for the next character of the text, else 0.
    """
    return lambda text: _before(where(text, holds))


PROPERTIES: Final = tuple(
    Property(name, description, measure)
    for name, description, measure in (
        ("in-quotes", "inside a quotation", in_quotes),
        ("in-brackets", "inside ( [ {", in_brackets),
        ("bracket-depth", "number of open brackets", bracket_depth),
        ("line-position", "characters of the line so far", line_position),
        ("after-newline", "a line feed was read", was_read("\n".__eq__)),
        ("newline-next", "a line feed comes next", comes_next("\n".__eq__)),
        ("indentation", "spaces and tabs before the line's text", indentation),
        ("paragraph-position", "characters since a blank line", paragraph_position),
        ("sentence-position", "characters since . ! ? or a blank line", sentence_position),
        ("in-word", "a letter, a digit or _ was read", was_read(is_word_character)),
        ("word-position", "characters of the word so far", word_position),
        ("word-end", "a word's last character was read", word_end),
        ("capital", "a capital letter was read", was_read(str.isupper)),
        ("capital-next", "a capital letter comes next", comes_next(str.isupper)),
        ("capitals", "in a word of capital letters", capitals),
        ("digit", "a digit was read", was_read(str.isdecimal)),
        ("space", "a space or a tab was read", was_read(" \t".__contains__)),
        ("punctuation", "punctuation or a symbol was read", punctuation),
        ("vowel", "a vowel (a e i o u) was read", was_read("aeiouAEIOU".__contains__)),
    )
)


def named(names: Sequence[str], option: str = "property") -> tuple[Property, ...]:
    """Return the built-in properties with these names, in the order of `names`, without repeats.

    Args:
        names: the names.
        option: the argument or option that gave them, for the message.

    Raises:
        ConfigError: a name is not the name of a built-in property.
    """
    known = {found.name: found for found in PROPERTIES}
    for name in names:
        require_one_of(option, name, tuple(known))
    return tuple(known[name] for name in dict.fromkeys(names))


def pattern(regex: str) -> Property:
    """Return a property that is 1 inside the matches of a regular expression, else 0.

    `regex` has the syntax of Python's re. ^ and $ match at the start and the end of each line.

    Raises:
        ConfigError: `regex` is not a regular expression.
    """
    found = require_regex(regex)
    return matched(regex, lambda text: match_spans(found, text))


def matched(regex: str, find: Callable[[str], Sequence[tuple[int, int]]]) -> Property:
    """Return the property of `pattern`; `find` returns the spans of the matches in a text."""

    def measure(text: str) -> Numbers:
        return _marked(len(text), find(text))

    return Property(
        "pattern",
        f"inside a match of {excerpt(regex, 40)}",
        measure,
        why_absent="the pattern matches nothing in the text",
    )


def marked(spans: Sequence[tuple[int, int]]) -> Property:
    """Return a property that is 1 inside the spans that the user marked in the text, else 0.

    Args:
        spans: pairs (start, end) in characters from 0; `end` is not part of the span.

    Raises:
        ConfigError: a span is not two whole numbers with start below end. The property's `measure`
            raises ConfigError if a span ends after the end of the text.
    """
    kept = []
    for span in spans:
        pair = tuple(span) if isinstance(span, Iterable) and not isinstance(span, str) else ()
        start, end = map(as_whole, pair) if len(pair) == 2 else (None, None)
        if start is None or end is None or not 0 <= start < end:
            raise ConfigError(
                f"a span is {shortened(span)}; it must be (start, end), counted in characters "
                f"from 0, with start below end."
            )
        kept.append((start, end))

    def measure(text: str) -> Numbers:
        for start, end in kept:
            if end > len(text):
                raise ConfigError(
                    f"the span ({start}, {end}) ends after the {len(text):,} characters that "
                    f"were read; give a smaller end."
                )
        return _marked(len(text), kept)

    return Property("marked", "inside a marked span", measure)


def where(text: str, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Return the result of `holds` for each character of a text, shape (characters,).

    `holds` is called once per distinct character, which is fast for long texts.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds, places = np.unique(codes, return_inverse=True)
    return np.array([holds(chr(kind)) for kind in kinds], dtype=bool)[places]


def blank_lines(text: str) -> NDArray[np.bool_]:
    """Return True for each line feed that ends an empty line or a line of white space, else False."""
    breaks = where(text, "\n".__eq__)
    anything = _last(~where(text, str.isspace))
    begun = np.concatenate([[-1], _last(breaks)[:-1]]) if len(text) else anything
    return breaks & (anything <= begun)


def _last(holds: NDArray[np.bool_]) -> Places:
    """Return, for each index i, the largest index up to i at which `holds` is True, or -1."""
    return np.maximum.accumulate(np.where(holds, np.arange(len(holds)), -1))


def _since(holds: NDArray[np.bool_]) -> Numbers:
    """Return, for each index, the number of steps since `holds` was True: 0 where it is True.

    If `holds` was never True up to an index, the first index of the text gets 1, the second gets 2,
    and so on.
    """
    return _numbers(np.arange(len(holds)) - _last(holds))


def _before(holds: NDArray[np.bool_]) -> Numbers:
    """Return 1 for each character if `holds` is True for the next character, else 0.

    The last character gets 0.
    """
    return _numbers(np.concatenate([holds[1:], [False]])[: len(holds)])


def _marked(length: int, spans: Sequence[tuple[int, int]]) -> Numbers:
    """Return 1 for each index inside one of the spans, which are pairs (start, end), else 0.

    The result has shape (length,).
    """
    inside = np.zeros(length, dtype=np.float32)
    for start, end in spans:
        inside[start:end] = 1
    return inside


def _numbers(values: Places) -> Numbers:
    """Return the values as float32, which is exact for whole numbers up to 16,777,216."""
    return values.astype(np.float32)
