"""The page takes its limits from the server. Each test loads the page in a browser."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from page.page_steps import eventually, without_charts

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

LIMITS = {"prompt": 51, "read": 52, "length": 53, "samples": 3, "map": 20, "followed": 2}


@pytest.fixture
def limited(trained, page):
    """Return the page, with other limits than the server's."""
    about = httpx.get(f"{trained.url}/api/about", timeout=20).json()
    about["limits"] |= LIMITS
    minutes = next(setting for setting in about["settings"] if setting["name"] == "minutes")
    minutes["most"] = 7
    page.route("**/api/about", lambda route: route.fulfill(json=about))
    without_charts(page)
    return page


def test_fields_have_the_limits_of_the_server(trained, limited):
    limited.goto(f"{trained.url}/#/learning?run=cats")
    eventually(limited.locator("#learning-state"), "finished")
    expect(limited.locator("#play-prompt")).to_have_attribute("maxlength", "51")
    expect(limited.locator("#inside-text")).to_have_attribute("maxlength", "52")
    expect(limited.locator("#play-length")).to_have_attribute("max", "53")
    expect(limited.locator("#play-samples")).to_have_attribute("max", "3")
    expect(limited.locator("#learning-buttons form:last-child input")).to_have_attribute("max", "7")


def test_the_map_shows_as_much_of_a_text_as_the_server_allows(trained, limited):
    limited.goto(f"{trained.url}/#/inside?model=cats")
    limited.fill("#inside-text", small_runs.TEXT[:50])
    limited.click("#inside-go")
    eventually(limited.locator("#map-size"), "× 20 characters, only the beginning of the text$")


def test_the_number_of_compared_runs_is_limited_by_the_stream(trained, limited):
    limited.goto(trained.url)
    boxes = limited.locator(".run input[type=checkbox]")
    expect(boxes).to_have_count(2)
    boxes.nth(0).check()
    boxes.nth(1).click()
    eventually(limited.locator("#toast"), "At most 1 run can be compared")
    expect(boxes.nth(1)).not_to_be_checked()
