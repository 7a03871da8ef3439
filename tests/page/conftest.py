"""Fixtures for the tests of the page: a browser, a window and two servers.

The fixtures import modules that need playwright or the extra `web`. Without these the tests can still be
collected, and are skipped.
"""

from contextlib import contextmanager

import pytest

from browser import chromium
from page.page_window import PATIENCE, SIZE

# Runs before the page's scripts. Records violations of the content policy, and the sizes of layout shifts.
WATCH = """
window.broken = [];
window.jumps = [];
addEventListener("securitypolicyviolation", (event) => {
  // plotly.js adds a style for maps, which the page does not use; the policy refuses it, as it should.
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
    """Return one page for all tests, because each new page needs a process."""
    page = context.new_page()
    page.thrown = []
    page.on("pageerror", lambda error: page.thrown.append(str(error)))
    return page


@contextmanager
def watched(page, between):
    """Yield the page, which shows the address `between` before and after the test.

    The page must raise no error and must not violate the content policy.
    """
    page.goto(between)
    page.thrown.clear()
    yield page
    broken = page.evaluate("window.broken ?? []")
    page.unroute_all()
    page.set_viewport_size(SIZE)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    page.goto(between)
    assert page.thrown == []
    assert broken == []


@pytest.fixture
def page(window, trained):
    """Return the page, which shows only an icon between the tests.

    The icon is on the site of the tests, so the browser keeps its process and the compiled plotly.js. For about:blank it
    would start another process, which makes a test with a chart take 0.9 s more.
    """
    with watched(window, f"{trained.url}/favicon.ico") as page:
        yield page


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """Return a server with two finished runs, which tests only read."""
    from page.page_servers import serving_two_runs

    with serving_two_runs(tmp_path_factory.mktemp("trained")) as live:
        yield live


@pytest.fixture(scope="package")
def steered(tmp_path_factory):
    """Return a server with a finished run, and a training run that several tests steer."""
    from page.page_servers import serving_a_training

    with serving_a_training(tmp_path_factory.mktemp("training")) as training:
        yield training


@pytest.fixture
def training(steered):
    """Return the server with the training run. It is paused after the test, as it would use a whole core."""
    yield steered
    steered.pause()
