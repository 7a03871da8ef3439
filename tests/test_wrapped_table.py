"""A table of texts fits the width of the terminal, whatever characters its texts have."""

import pytest

from charloom.wrapped_table import LEAST_WIDTH, shown_width, table_of_texts, wrapped


def test_a_table_stands_side_by_side_and_each_row_begins_with_its_name():
    rows = [("cold", ["one two three", "x"]), ("hot", ["four", "y\nz"])]
    assert table_of_texts(["left", "right"], rows, 43) == [
        "left                 | right",
        "--- cold ----------------------------------",
        "one two three        | x",
        "--- hot -----------------------------------",
        "four                 | y",
        "                     | z",
    ]


@pytest.mark.parametrize(
    "text", ["word " * 40, "x" * 300, "東京" * 60, "e\u0301" * 100, "\t- a\tb\n\n\x1b[31m\x07 end"]
)
@pytest.mark.parametrize("width", [1, 20, 80, 200])
def test_no_line_is_wider_than_the_terminal(text, width):
    lines = table_of_texts(["a", "b", "c"], [("row", [text, "", text])], width)
    # A character that is two wide does not fit into one column, so it is shown all the same.
    assert max(map(shown_width, lines)) <= max(width, 2)
    assert "\x1b" not in "".join(lines)


def test_a_text_is_cut_at_spaces_and_loses_no_other_character():
    text = "  an indented line of words\nanother, withaverylongwordthatmustbecut"
    lines = wrapped(text, 12)
    assert lines[0] == "  an"
    assert max(map(len, lines)) <= 12
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")


def test_a_text_that_fits_keeps_its_spaces_and_line_breaks():
    assert wrapped("  a  b \n\nc", 20) == ["  a  b ", "", "c"]


def test_columns_that_would_be_too_narrow_go_to_several_tables():
    heads = [f"column {n}" for n in range(5)]
    lines = table_of_texts(heads, [("row", list("abcde"))], 3 * LEAST_WIDTH + 6)
    tables = "\n".join(lines).split("\n\n")
    assert ["column 3" in table for table in tables] == [False, True]
    assert [table.count("--- row") for table in tables] == [1, 1]


def test_an_accent_has_no_width_and_an_ideograph_is_two_wide():
    assert shown_width("e\u0301") == 1
    assert shown_width("東") == 2
