"""A user compares runs on the page: below the chart, a table shows what differs. Each test loads the page in a browser."""

import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import charloom
from browser import NONE, chromium_path
from page.page_steps import eventually, violations, without_charts
from page.page_window import PATIENCE
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

PHONE = {"width": 390, "height": 844}


def choose(page, *names):
    """Tick the runs with these names."""
    for name in names:
        page.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()


def cells(page):
    """Return the rows of the table, each as a list of its entries."""
    rows = page.locator("#compared-table tr").all()
    return [row.locator("th, td").all_text_contents() for row in rows]


def test_the_table_below_the_chart_is_that_of_python(trained, page):
    without_charts(page)
    page.goto(trained.url)
    choose(page, "cats", "gates")
    expect(page.locator("#compared-table tbody tr").first).to_be_visible(timeout=PATIENCE)
    folder = trained.app_state.folder
    found = charloom.compare(folder / "cats", folder / "gates", intervals=False)
    heading, *rows = cells(page)
    assert heading == ["", "cats", "gates"]
    shown = {name: values for name, *values in rows}
    assert set(shown) == set(found.heads[1:])
    for n, head in enumerate(found.heads[1:], start=1):
        assert shown[head] == [row[n] for row in found.rows]
    # The figures come before the settings.
    names = [name for name, *_ in rows]
    assert names[-len(found.settings) :] == found.settings
    eventually(page.locator("#compared-notes"), "gates has no validation part")


def test_one_run_has_no_table_and_a_removed_run_leaves_it(tmp_path, trained, page):
    without_charts(page)
    for name in ("cats", "gates"):
        shutil.copytree(trained.app_state.folder / name, tmp_path / name)
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        choose(page, "cats")
        expect(page.locator("#compared")).to_be_hidden()
        choose(page, "gates")
        expect(page.locator("#compared")).to_be_visible()
        shutil.rmtree(tmp_path / "gates")
        expect(page.locator("#compared")).to_be_hidden(timeout=PATIENCE)


def test_a_phone_scrolls_the_table_and_not_the_page(trained, page):
    without_charts(page)
    page.set_viewport_size(PHONE)
    page.goto(trained.url)
    choose(page, "cats", "gates")
    expect(page.locator("#compared-table tbody tr").first).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_table_is_accessible(trained, page):
    without_charts(page)
    page.goto(trained.url)
    choose(page, "cats", "gates")
    expect(page.locator("#compared-table tbody tr").first).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
