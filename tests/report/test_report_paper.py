"""A report in a browser: on paper it has a few pages, and on a phone a table shows that it continues."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import NONE, chromium, chromium_path
from charloom.gradient_check import GradientCheck
from report_runs import make_run, records, report

pytest.importorskip("playwright", reason="playwright is not installed")
if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

LINE = "And he said unto them, Whence is the light of the world?\n"
ROWS = """() => [...document.querySelectorAll(".errors tbody th[scope=row]")].filter(e => e.checkVisibility()).length"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_page()


@pytest.fixture
def whole(tmp_path: Path, checks: list[GradientCheck]) -> str:
    """Return the address of the report of a run with as many samples as the classic experiment has."""
    samples = [{"update": u, "text": (4 * LINE)[:200]} for u in range(0, 1_300, 100)]
    passage = (40 * LINE)[:2_000]
    run = make_run(tmp_path / "run", checks=checks, samples=samples, passage=passage, metrics=records(1_200))  # fmt: skip
    report(run)
    return (run / "report.html").as_uri()


def pages_of(pdf: bytes) -> int:
    """Return the number of pages of a PDF file."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_a_printed_report_has_a_few_pages_with_five_rows_and_a_line_about_the_others(
    page: Any, whole: str
) -> None:
    page.goto(whole)
    page.emulate_media(media="print")
    assert page.evaluate(ROWS) == 5
    assert page.get_by_text("15 more rows of the checks can be unfolded").is_visible()
    assert page.get_by_text("recipe classic · cell rnn · hidden_size 10").is_visible()
    assert not page.get_by_text("The errors of all 20 rows of 4 checks").is_visible()
    for size in ("A4", "Letter"):
        assert 3 <= pages_of(page.pdf(format=size)) <= 5
    # With everything unfolded it is longer: the pages are really counted.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert pages_of(page.pdf(format="A4")) > 5


def test_short_lines_of_a_play_are_printed_in_two_columns_which_saves_pages(
    page: Any, tmp_path: Path, checks: list[GradientCheck]
) -> None:
    verse = "KING:\nAnd so, my lord.\n\nQUEEN:\nMy lord, I have it not, nor will.\n\n"
    samples = [{"update": u, "text": (4 * verse)[:200]} for u in range(0, 1_300, 100)]
    passage = (40 * verse)[:2_000]
    run = make_run(tmp_path / "run", checks=checks, samples=samples, passage=passage, metrics=records(1_200))  # fmt: skip
    report(run)
    page.emulate_media(media="print")
    page.goto((run / "report.html").as_uri())
    assert page.locator(".passage").evaluate("e => getComputedStyle(e).columnCount") == "2"
    columns = pages_of(page.pdf(format="A4"))
    page.add_style_tag(content="@media print { .passage, .samples { columns: auto } }")
    assert pages_of(page.pdf(format="A4")) >= columns + 2


def test_on_a_phone_only_the_table_moves_sideways_and_a_shadow_shows_that_it_continues(
    page: Any, whole: str
) -> None:
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(whole)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    box = page.locator(".scroll").first
    assert box.evaluate("e => e.scrollWidth - e.clientWidth") > 100
    edge = """e => getComputedStyle(e).backgroundAttachment"""
    assert box.evaluate(edge) == "local, local, scroll, scroll"
    before = box.screenshot()
    box.evaluate("e => { e.style.background = 'none' }")
    assert box.screenshot() != before
    assert page.evaluate(ROWS) == 5


def test_a_screen_shows_the_rows_when_they_are_unfolded(page: Any, whole: str) -> None:
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(whole)
    assert not page.get_by_text("15 more rows of the checks").is_visible()
    page.get_by_text("The errors of all 20 rows of 4 checks").click()
    assert page.evaluate(ROWS) == 5 + 20
