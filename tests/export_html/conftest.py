"""Fixtures for the tests of exported HTML files: a browser and a window."""

import pytest

from browser import chromium

# Records what the content security policy of a page refuses.
WATCH = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
PATIENCE = 30_000  # milliseconds; machines may be busy
LOCAL = ("file:", "data:", "about:", "blob:")


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def window(browser):
    """Return one page for all tests, because each new page needs a process."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.problems = []
        page.requests = []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        yield page


@pytest.fixture
def page(window):
    """Return the page. At the end it must have no errors, and must not have used the network."""
    window.set_viewport_size({"width": 1280, "height": 900})
    window.goto("about:blank")
    window.problems.clear()
    window.requests.clear()
    yield window
    refused = window.evaluate("window.refused")
    window.emulate_media(color_scheme="light", reduced_motion="no-preference")
    assert (window.problems, refused) == ([], [])
    assert [url for url in window.requests if not url.startswith(LOCAL)] == []
