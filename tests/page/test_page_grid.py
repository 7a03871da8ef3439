"""A user lets a model write a table of texts by temperature and top-p. Each test loads the page in a browser."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import charloom
from browser import NONE, chromium_path
from page.page_steps import eventually, violations, write

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

PHONE = {"width": 390, "height": 844}
LINK = "model=cats&grid-length=40&seed=3&prompt=the%20&temperatures=0.5,%202&top-ps=0.6,1"


def opened(page, live, link=LINK):
    """Open the playground, and wait until it has the list of models and the server's limits."""
    page.goto(f"{live.url}/#/playground?{link}")
    expect(page.locator("#play-grid-go")).to_be_enabled()
    expect(page.locator("#play-outputs .output")).to_have_count(1)


def write_table(page):
    """Press the button, and wait until each text of the table is complete."""
    page.click("#play-grid-go")
    for note in page.locator("#play-table td .aside").all():
        eventually(note, "characters in")


def test_a_table_has_the_texts_of_python_in_rows_and_columns(trained, page):
    opened(page, trained)
    write_table(page)
    table = page.get_by_role("table")
    assert table.get_by_role("columnheader").all_text_contents() == ["top-p 0.6", "top-p 1"]
    assert table.get_by_role("rowheader").all_text_contents() == [
        "temperature 0.5",
        "temperature 2",
    ]
    model = charloom.load(trained.app_state.folder / "cats")
    grid = model.sample_grid("the ", 40, [0.5, 2], [0.6, 1], seed=3)
    shown = table.locator(".letters").all_text_contents()
    assert shown == ["the " + text for row in grid.texts for text in row]
    page.click("#play-copy")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"== temperature 0.5, top-p 0.6\n\nthe {grid.texts[0][0]}\n\n== ")
    assert not page.locator("#play-outputs").is_visible()


def test_after_a_table_the_page_writes_single_texts_again(trained, page):
    opened(page, trained)
    write_table(page)
    write(page, 20)
    assert not page.locator("#play-table").is_visible()
    expect(page.locator("#play-outputs .output")).to_have_count(1)


def test_enter_in_the_lists_writes_the_table_and_a_link_keeps_them(trained, page):
    opened(page, trained)
    page.fill("#play-temperatures", "1")
    page.press("#play-temperatures", "Enter")
    expect(page.locator("#play-table td.output")).to_have_count(2)
    eventually(page.locator("#play-table td .aside").last, "characters in")
    page.click("#play-link")
    page.goto(page.evaluate("navigator.clipboard.readText()"))
    expect(page.locator("#play-temperatures")).to_have_value("1")
    expect(page.locator("#play-top-ps")).to_have_value("0.6,1")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("temperatures", "0.5, warm", "Temperatures: give 1 to 6 numbers, each 0 or more"),
        ("temperatures", "", "You gave: nothing"),
        ("top-ps", "0, 1", "Values of top-p: give 1 to 6 numbers, each above 0 and at most 1"),
        ("top-ps", "1 1 1 1 1 1 1", "give 1 to 6 numbers"),
    ],
)
def test_wrong_lists_are_explained(trained, page, field, value, sentence):
    opened(page, trained)
    page.fill(f"#play-{field}", value)
    page.click("#play-grid-go")
    eventually(page.locator("#play-problem"), re.escape(sentence))


def test_unknown_characters_can_be_skipped_in_a_table_too(trained, page):
    opened(page, trained)
    page.fill("#play-prompt", "€the ")
    page.click("#play-grid-go")
    page.click("#play-problem button")
    for note in page.locator("#play-table td .aside").all():
        eventually(note, "characters in")
    assert page.locator("#play-table .letters").first.text_content().startswith("the ")


def test_a_table_can_be_stopped(trained, page):
    opened(page, trained, LINK.replace("grid-length=40", "grid-length=100000"))
    page.click("#play-grid-go")
    expect(page.locator("#play-table .letters").first).not_to_be_empty()
    page.keyboard.press("Escape")
    eventually(page.locator("#play-table td .aside").first, "stopped after")
    expect(page.locator("#play-stop")).to_be_disabled()


def test_a_phone_shows_the_texts_below_one_another(trained, page):
    page.set_viewport_size(PHONE)
    opened(page, trained)
    write_table(page)
    boxes = [sheet.bounding_box() for sheet in page.locator("#play-table .sheet").all()]
    assert len({box["x"] for box in boxes}) == 1
    assert all(box["width"] > 250 for box in boxes)
    assert page.locator("#play-table h2").all_text_contents()[1] == "temperature 0.5, top-p 0.6"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.get_by_role("table").get_by_role("columnheader").count() == 2


def test_the_table_is_accessible(trained, page):
    opened(page, trained)
    write_table(page)
    assert violations(page) == []
