"""A report shows generated text and names as text, never as markup."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from charloom.config import Config
from charloom.gradient_check import gradcheck
from charloom.report.html_page import environment, shown
from report_runs import make_run, report


def test_generated_text_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror='a()'>\"&amp;</pre>{{ 7*7 }}"
    run = make_run(
        tmp_path / "run",
        samples=[{"update": 0, "text": evil}, {"update": 1200, "text": evil}],
        passage=evil,
        text={"name": "<b>book</b>", "sources": ["/x/<i>.txt"]},
        engine="<u>fast</u>",
    )
    html, page = report(run)
    assert "<script" not in html
    assert "<img" not in html
    assert page.samples.count(evil) == 3
    assert not {"b", "i", "u", "script", "img"} & set(page.tags)


def test_names_in_a_gradient_check_are_text_too(tmp_path: Path) -> None:
    check = gradcheck(hidden_size=2, seq_length=2, vocabulary_size=3)
    evil = '"><script>alert(1)</script>$x_{1}$'
    named = dataclasses.replace(check, settings=dataclasses.replace(check.settings, engine=evil))
    html, _ = report(make_run(tmp_path / "run", checks=[named]))
    assert "<script" not in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\n\nfirst lines empty\n", "\n\nfirst lines empty\n"),
        ("  two  spaces\tand a tab", "  two  spaces\tand a tab"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("nul \0 escape \x1b[31m bell \a delete \x7f", "nul ␀ escape ␛[31m bell ␇ delete ␡"),
        ("next line \x85", "next line [U+0085]"),
        ("abc \u202e cba", "abc [U+202E] cba"),
        ("half \ud83d", "half \ufffd"),
        ("e\u0301 \U0001f600 שלום", "e\u0301 \U0001f600 שלום"),
    ],
)
def test_white_space_is_kept_and_what_would_disturb_is_shown(
    tmp_path: Path, text: str, shown: str
) -> None:
    run = make_run(tmp_path / "run", samples=[{"update": 0, "text": text}], passage=text)
    _, page = report(run)
    assert page.samples[:2] == [shown, shown]


@given(st.text())
def test_shown_text_has_no_control_characters_and_is_utf8(text: str) -> None:
    found = shown(text)
    found.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)


@pytest.mark.parametrize(
    ("template", "value"),
    [("{{ given.update }}", {"update": "7"}), ("{{ given['update'] }}", {"update": 7}),
     ("{{ given }}", "text".upper), ("{{ given }}", None), ("{{ given }}", ["text"]),
     ("{{ given.missing }}", Config())],
)  # fmt: skip
def test_a_template_that_writes_no_text_is_an_error(template: str, value: object) -> None:
    with pytest.raises((TypeError, UndefinedError)):
        environment().from_string(template).render(given=value)


def test_a_template_writes_attributes_of_typed_values() -> None:
    assert environment().from_string("{{ given.cell }}").render(given=Config()) == "rnn"
