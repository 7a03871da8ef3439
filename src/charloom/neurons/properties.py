"""Properties of a text: what can be said of each of its characters, as numbers.

A property is a function from a text to one number per character, a yes or no as 1 or 0. Most tell of
the text up to and with the character, capital-next, newline-next and word-end also of the character
after it (spec/mathematics.md: Properties of a text). Properties know nothing of networks.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import as_whole, require_one_of
from charloom.errors import ConfigError
from charloom.spelling import excerpt, shortened

Numbers = NDArray[np.float32]
Places = NDArray[Any]

# What opens a quotation, and what then closes it.
QUOTES: Final = {
    '"': '"', "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019",
    "\u00ab": "\u00bb", "\u00bb": "\u00ab",
}  # fmt: skip
BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}
VOWELS: Final = "aeiouAEIOU"


@dataclass(frozen=True)
class Property:
    """Something to be said of each character of a text.

    Attributes:
        name: by which it is asked for.
        description: in words.
        measure: a text to its numbers, float32, shape (characters,).
    """

    name: str
    description: str
    measure: Callable[[str], Numbers]


def in_quotes(text: str) -> Numbers:
    """1 from an opening quotation mark to before the one that closes it, or the paragraph's end."""
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
    """Whether a ’ stands before a letter, as in don’t: that closes nothing."""
    return text[place] == "\u2019" and text[place + 1 : place + 2].isalpha()


def bracket_depth(text: str) -> Numbers:
    """Brackets ( [ { that are open; one that closes nothing counts for nothing, one that closes an
    outer bracket closes what is within too, and a blank line closes all but braces."""
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
    """1 where a bracket is open."""
    return _numbers(bracket_depth(text) > 0)


def line_position(text: str) -> Numbers:
    """Characters of the line so far; 0 at the line feed that begins it."""
    return _since(where(text, "\n".__eq__))


def after_newline(text: str) -> Numbers:
    """1 at a line feed."""
    return _numbers(where(text, "\n".__eq__))


def newline_next(text: str) -> Numbers:
    """1 where the next character is a line feed."""
    return _before(where(text, "\n".__eq__))


def indentation(text: str) -> Numbers:
    """Spaces and tabs that the line began with, as many as were read."""
    breaks, blank = where(text, "\n".__eq__), where(text, " \t".__contains__)
    leading = blank & (_last(~blank & ~breaks) <= _last(breaks))
    sums = np.concatenate([[0], np.cumsum(leading)])
    return _numbers(sums[1:] - sums[_last(breaks) + 1])


def paragraph_position(text: str) -> Numbers:
    """Characters since the last blank line."""
    return _since(blank_lines(text))


def sentence_position(text: str) -> Numbers:
    """Characters since the last . ! ? or blank line."""
    return _since(where(text, ".!?".__contains__) | blank_lines(text))


def in_word(text: str) -> Numbers:
    """1 at a letter, a digit or _."""
    return _numbers(_of_words(text))


def word_position(text: str) -> Numbers:
    """Characters of the word so far; 0 between words."""
    return _since(~_of_words(text))


def word_end(text: str) -> Numbers:
    """1 at a word's last character."""
    inside = _of_words(text)
    return _numbers(inside & (_before(~inside) > 0))


def capital(text: str) -> Numbers:
    """1 at a capital."""
    return _numbers(where(text, str.isupper))


def capital_next(text: str) -> Numbers:
    """1 where the next character is a capital."""
    return _before(where(text, str.isupper))


def capitals(text: str) -> Numbers:
    """1 from the second capital of a word that began with two, as long as capitals follow."""
    inside, upper = _of_words(text), where(text, str.isupper)
    position = _since(~inside)
    return _numbers(upper & (_since(~upper) == position) & (position > 1))


def digit(text: str) -> Numbers:
    """1 at a digit."""
    return _numbers(where(text, str.isdecimal))


def space(text: str) -> Numbers:
    """1 at a space or a tab."""
    return _numbers(where(text, " \t".__contains__))


def punctuation(text: str) -> Numbers:
    """1 at what is neither letter, digit, _ nor white space."""
    return _numbers(~_of_words(text) & ~where(text, str.isspace))


def vowel(text: str) -> Numbers:
    """1 at a e i o u, small or capital."""
    return _numbers(where(text, VOWELS.__contains__))


PROPERTIES: Final = tuple(
    Property(name, description, measure)
    for name, description, measure in (
        ("in-quotes", "inside a quotation", in_quotes),
        ("in-brackets", "inside ( [ {", in_brackets),
        ("bracket-depth", "brackets that are open", bracket_depth),
        ("line-position", "characters of the line so far", line_position),
        ("after-newline", "a line feed was read", after_newline),
        ("newline-next", "a line feed comes next", newline_next),
        ("indentation", "spaces and tabs before the line's text", indentation),
        ("paragraph-position", "characters since a blank line", paragraph_position),
        ("sentence-position", "characters since . ! ? or a blank line", sentence_position),
        ("in-word", "a letter, a digit or _ was read", in_word),
        ("word-position", "characters of the word so far", word_position),
        ("word-end", "a word's last character was read", word_end),
        ("capital", "a capital was read", capital),
        ("capital-next", "a capital comes next", capital_next),
        ("capitals", "in a word of capitals", capitals),
        ("digit", "a digit was read", digit),
        ("space", "a space or a tab was read", space),
        ("punctuation", "a sign was read", punctuation),
        ("vowel", "a e i o u was read", vowel),
    )
)


def named(names: Sequence[str]) -> tuple[Property, ...]:
    """The built-in properties of these names, in the order given.

    Raises:
        ConfigError: there is none of a name.
    """
    known = {found.name: found for found in PROPERTIES}
    for name in names:
        require_one_of("property", name, tuple(known))
    return tuple(known[name] for name in dict.fromkeys(names))


def pattern(regex: str) -> Property:
    """Where a regular expression matches, as Python's re has it; ^ and $ are those of lines.

    Raises:
        ConfigError: it is no regular expression.
    """
    try:
        compiled = re.compile(regex, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"the pattern {shortened(regex)} is no regular expression: {error}."
        ) from None

    def measure(text: str) -> Numbers:
        spans = [match.span() for match in compiled.finditer(text)]
        return _marked(len(text), spans)

    return Property("pattern", f"in a match of {excerpt(regex, 40)}", measure)


def marked(spans: Sequence[tuple[int, int]]) -> Property:
    """Where someone marked a text: 1 from each start to before its end, in characters from 0.

    Raises:
        ConfigError: a span is not two whole numbers, the first below the second; or, when a text is
            measured, it reaches beyond that.
    """
    kept = []
    for span in spans:
        pair = tuple(span) if isinstance(span, Iterable) and not isinstance(span, str) else ()
        start, end = map(as_whole, pair) if len(pair) == 2 else (None, None)
        if start is None or end is None or not 0 <= start < end:
            raise ConfigError(
                f"a span is {shortened(span)}; it must be (start, end), characters from 0, "
                f"start below end."
            )
        kept.append((start, end))

    def measure(text: str) -> Numbers:
        for start, end in kept:
            if end > len(text):
                raise ConfigError(
                    f"the span ({start}, {end}) reaches beyond the {len(text):,} characters that "
                    f"were read."
                )
        return _marked(len(text), kept)

    return Property("marked", "what was marked", measure)


def where(text: str, holds: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Whether something holds of each character, shape (characters,); asked once of each kind."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds, places = np.unique(codes, return_inverse=True)
    return np.array([holds(chr(kind)) for kind in kinds], dtype=bool)[places]


def blank_lines(text: str) -> NDArray[np.bool_]:
    """The line feeds that end a line of nothing but white space."""
    breaks = where(text, "\n".__eq__)
    anything = _last(~where(text, str.isspace))
    begun = np.concatenate([[-1], _last(breaks)[:-1]]) if len(text) else anything
    return breaks & (anything <= begun)


def _of_words(text: str) -> NDArray[np.bool_]:
    """Letters, digits and _."""
    return where(text, lambda character: character.isalnum() or character == "_")


def _last(holds: NDArray[np.bool_]) -> Places:
    """The last place up to each at which it holds; -1 where there is none yet."""
    return np.maximum.accumulate(np.where(holds, np.arange(len(holds)), -1))


def _since(holds: NDArray[np.bool_]) -> Numbers:
    """Steps since it last held; where it has not yet, since before the text."""
    return _numbers(np.arange(len(holds)) - _last(holds))


def _before(holds: NDArray[np.bool_]) -> Numbers:
    """1 where it holds of the next character; the last has none."""
    return _numbers(np.concatenate([holds[1:], [False]])[: len(holds)])


def _marked(length: int, spans: Sequence[tuple[int, int]]) -> Numbers:
    """1 within the spans."""
    inside = np.zeros(length, dtype=np.float32)
    for start, end in spans:
        inside[start:end] = 1
    return inside


def _numbers(values: Places) -> Numbers:
    """As float32, in which whole numbers up to 16,777,216 are exact."""
    return values.astype(np.float32)
