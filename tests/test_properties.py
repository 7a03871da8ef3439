"""Tests of the text properties: each returns the numbers that docs/spec/mathematics.md defines."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import ConfigError
from charloom.hidden_units.text_properties import PROPERTIES, marked, named, pattern

# A property, a text and its numbers, counted by hand: one digit per character.
BY_HAND = [
    ("in-quotes", 'a "bc" d', "00111000"),
    ("in-quotes", "“a’b” “c", "11110011"),
    ("in-quotes", "„a“ «b» »c« d", "1100110011000"),
    ("in-quotes", "‘don’t’ x’", "1111110000"),
    ("in-quotes", '"a\nb\n\nc"d', "111110011"),  # the paragraph's end closes; the next one opens
    ("in-quotes", '"a\nb\n \t\nc', "111111100"),
    ("in-brackets", "a(b[c]d)e", "011111100"),
    ("bracket-depth", "a(b[c]d)e", "011221100"),
    ("bracket-depth", ")a{(b}c", "0012200"),  # what closes an outer one closes what is within
    ("bracket-depth", "{(a\n\nb}c", "12221100"),  # a blank line closes all but braces
    ("bracket-depth", "([a]]b)c", "12211100"),
    ("line-position", "ab\ncd\n", "120120"),
    ("after-newline", "ab\n\nc", "00110"),
    ("newline-next", "ab\n\nc", "01100"),
    ("indentation", "  a b\n\tc\n d", "12222011011"),
    ("paragraph-position", "ab\nc\n\nde", "12345012"),
    ("paragraph-position", "\nab\n \t\nc", "01234501"),
    ("sentence-position", "ab. c?!d\n\ne", "12012001201"),
    ("in-word", "a_1 b-ß", "1110101"),
    ("word-position", "abc de", "123012"),
    ("word-end", "abc de", "001000"),
    ("word-end", "ab, c d", "0100100"),
    ("capital", "aBÄ c", "01100"),
    ("capital-next", "aBÄ c", "11000"),
    ("capitals", "ROMEO: I Am NOw", "01111000000" + "0010"),
    ("digit", "a12 ³", "01100"),
    ("space", "a \tb\n", "01100"),
    ("punctuation", "a, b_(\n", "0100010"),
    ("vowel", "Abcde y", "1000100"),
]


def digits(values):
    """Return small numbers as one digit each."""
    return "".join(f"{value:g}" for value in values.tolist())


@pytest.mark.parametrize(("name", "text", "wanted"), BY_HAND)
def test_a_property_has_the_numbers_that_were_counted_by_hand(name, text, wanted):
    (found,) = named([name])
    assert digits(found.measure(text)) == wanted


def test_every_property_has_an_example_counted_by_hand():
    assert {name for name, _, _ in BY_HAND} == {found.name for found in PROPERTIES}


def test_a_planted_error_in_a_property_is_caught():
    """The error counts the character after a quotation as inside, so one digit differs."""
    (found,) = named(["in-quotes"])
    text = 'a "bc" d'
    late = np.roll(found.measure(text), 1)
    assert digits(late) != digits(found.measure(text))


@given(st.text(alphabet='ab \n\t\r"“”‘’„«»()[]{}.!A1_é\ud800\U0001f600', max_size=60))
def test_every_property_gives_one_small_number_for_each_character(text):
    for found in PROPERTIES:
        values = found.measure(text)
        assert values.dtype == np.float32
        assert values.shape == (len(text),)
        assert ((values >= 0) & (values <= len(text))).all()


@given(st.text(alphabet='ab \n"A.(', max_size=40), st.integers(0, 40))
def test_later_text_changes_a_property_only_at_the_character_before_it(text, cut):
    """A property depends on the text so far and at most on the next character, except after a ’."""
    for found in PROPERTIES:
        whole, part = found.measure(text), found.measure(text[:cut])
        assert (whole[: max(0, len(part) - 1)] == part[:-1]).all(), found.name


def test_unknown_names_are_refused_and_repeated_names_count_once():
    assert len({found.name for found in PROPERTIES}) == len(PROPERTIES)
    assert [found.name for found in named(["digit", "capital", "digit"])] == ["digit", "capital"]
    with pytest.raises(ConfigError, match="'quotes'; it must be one of in-quotes, in-brackets"):
        named(["in-quotes", "quotes"])


def test_a_pattern_is_1_inside_its_matches():
    assert digits(pattern("b+").measure("abbcb")) == "01101"
    assert digits(pattern("^a.*$").measure("ab\ncab\nac")) == "110" + "0000" + "11"
    assert digits(pattern("x*").measure("abc")) == "000"  # an empty match marks nothing


def test_a_wrong_regular_expression_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for wrong in ("(", "[z-a]", "*", "(?P<1>x)", "(" * 10_000):
            with pytest.raises(ConfigError, match="is not a regular expression"):
                pattern(wrong)


def test_marked_spans_are_1_between_start_and_end():
    assert digits(marked([(1, 3), (2, 4)]).measure("abcde")) == "01110"
    for wrong in ([(3, 3)], [(-1, 2)], [(0.0, 2)], [(1,)], ["ab"], [5], [(True, 2)]):
        with pytest.raises(ConfigError, match=re.escape("must be (start, end)")):
            marked(wrong)
    with pytest.raises(ConfigError, match="ends after the 5 characters"):
        marked([(1, 6)]).measure("abcde")
