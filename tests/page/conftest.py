"""A browser, its page, and two servers for the tests of the page.

What needs playwright or the extra web is imported by the fixtures, so that the tests can be collected
and skipped where it is not installed.
"""

from contextlib import contextmanager

import pytest

from browser import chromium
from page.page_window import PATIENCE, SIZE

# Before anything of the page runs: what breaks the content policy, and how far things jump.
WATCH = """
window.broken = [];
window.jumps = [];
addEventListener("securitypolicyviolation", (event) => {
  // plotly.js brings a style of its maps, which are not used; it is refused, as it should be.
  if (!event.sourceFile.endsWith("plotly.min.js")) broken.push(`${event.violatedDirective} ${event.sourceFile}`);
});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) jumps.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def context(browser):
    with browser.new_context(
        viewport=SIZE, permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        yield context


@pytest.fixture(scope="package")
def window(context):
    """A page that all tests use, one after another: a new one costs a process."""
    page = context.new_page()
    page.thrown = []
    page.on("pageerror", lambda error: page.thrown.append(str(error)))
    return page


@contextmanager
def watched(page):
    """The page, empty at first, which must neither throw nor break the content policy."""
    page.goto("about:blank")
    page.thrown.clear()
    yield page
    broken = page.evaluate("window.broken ?? []")
    page.unroute_all()
    page.set_viewport_size(SIZE)
    page.emulate_media(color_scheme="light")
    page.goto("about:blank")
    assert page.thrown == []
    assert broken == []


@pytest.fixture
def page(window):
    with watched(window) as page:
        yield page


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A server of a folder with two finished runs; tests only read it."""
    from page.page_servers import serving_two_runs

    with serving_two_runs(tmp_path_factory.mktemp("trained")) as live:
        yield live


@pytest.fixture(scope="package")
def training(tmp_path_factory):
    """A server of a folder with a finished run, and a training run that several tests steer."""
    from page.page_servers import serving_a_training

    with serving_a_training(tmp_path_factory.mktemp("training")) as training:
        yield training
