"""The page of a trace shows every value with its equation, and the verdicts on a student's numbers."""

from pathlib import Path

import pytest

import charloom
from charloom.errors import ConfigError
from charloom.network_trace.trace_text import texts_of
from charloom.report import write_trace
from charloom.report.trace_page import render_trace
from pages import Page


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_page_has_every_value_in_order_with_its_numbers(cell: str) -> None:
    trace = charloom.trace(cell=cell, seed=1)
    page = Page(render_trace(trace))
    assert len(page.tables) == len(trace.values)
    place = 0
    for value, table in zip(trace.values, page.tables, strict=True):
        numbers = [text.strip() for text in texts_of(value.numbers.ravel(), value.numbers)]
        assert [cell for row in table for cell in row] == numbers
        place = page.words.index(
            f"{value.name} = {value.equation}" if value.equation else value.name, place
        )
    assert len(page.titles) == 3 + 3 + 3 + 1
    assert "✓" not in page.words


def test_the_page_runs_and_loads_nothing_and_its_links_lead_somewhere() -> None:
    html = render_trace(charloom.trace())
    page = Page(html)
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value.removeprefix("#") for _, name, value in page.attributes if name == "href"]
    assert links == ids


def test_wrong_numbers_are_marked_and_shown_beside_the_right_ones() -> None:
    trace = charloom.trace(seed=1)
    check = trace.check({"h_1": trace["h_1"], "da_2": [0.125, 0.25], "dV": [[1.0]], "zz": 1})
    html = render_trace(trace, check)
    page = Page(html)
    assert html.count('class="value right"') == 1
    assert html.count('class="value wrong"') == 2
    assert ["0.125000", "0.250000"] in [row for table in page.tables for row in table]
    assert "1 of 4 values right; unknown names: zz." in page.words
    assert "it must have 3 × 2 numbers, but you gave one number" in page.words
    assert "order of the computation is da_2 (backward, step 2)" in page.words
    right = render_trace(trace, trace.check({"h_1": trace["h_1"]}))
    assert "1 of 1 value right" in right
    assert 'class="verdict passed"' in right


def test_a_character_of_the_text_and_a_name_cannot_break_the_page() -> None:
    trace = charloom.trace(string="<b>&<")
    html = render_trace(trace, trace.check({"<i>x</i>": 1.0}))
    assert "<i>" not in html
    assert "reads '<' (id" in Page(html).words


def test_a_page_needs_a_file_name_in_an_existing_directory(tmp_path: Path) -> None:
    trace = charloom.trace()
    assert write_trace(trace, tmp_path / "trace.html").is_file()
    with pytest.raises(ConfigError, match="is a directory; give the path of a file"):
        write_trace(trace, tmp_path)
    with pytest.raises(ConfigError, match="does not exist; create it"):
        write_trace(trace, tmp_path / "missing" / "trace.html")
