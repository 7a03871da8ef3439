"""The page fits a phone, keyboards and screen readers, and keeps its content policy. Each test loads a page."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from page.page_steps import PLACE, violations, write
from page.page_window import SIZE
from waiting import until

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


VIEWS = (
    "runs?new",
    "learning?run=cats",
    "playground?model=cats",
    "inside?model=cats",
)
# What is there once a view shows all it has.
WHOLE = {
    "runs": "#start-text option",
    "learning": "#learning-chart .main-svg",
    "playground": "#play-prediction li",
    "inside": "#map-cursor",
}


# Fills a coloured text with a letter in each colour that it can have.
ALL_COLOURS = """(letters) => {
  const spans = ["hot", "cold"].flatMap((kind) => [1, 2, 3, 4, 5, 6, 7, 8].map((step) => {
    const span = document.createElement("span");
    span.className = kind;
    span.style.setProperty("--step", step / 8);
    span.textContent = "word ";
    return span;
  }));
  letters.replaceChildren(...spans);
}"""


@pytest.mark.parametrize("kind", ["of-value", "of-surprise"])
def test_letters_can_be_read_on_every_colour(trained, page, kind):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.fill("#inside-text", small_runs.TEXT[:200])
    page.click("#inside-go")
    page.wait_for_selector("#inside-coloured .hot")
    page.evaluate(
        "(kind) => document.getElementById('inside-coloured').classList.replace('of-value', kind)",
        kind,
    )
    page.locator("#inside-coloured .letters").evaluate(ALL_COLOURS)
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        assert violations(page, ["color-contrast"]) == []


def show_all(page, view):
    """Open a view with everything that it can show: the form, a selected character, the results."""
    name = view.split("?")[0]
    if name == "runs":
        page.click("#start summary")
    if name == "playground":
        write(page)
        page.check("#play-colour")
        page.mouse.move(*page.locator(".output .sheet").evaluate(PLACE, 9))
    if name == "inside":
        page.fill("#inside-text", small_runs.TEXT[:200])
        page.click("#find-go")
        page.wait_for_selector(".property")
    page.wait_for_selector(WHOLE[name], state="attached")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_a_phone_and_has_no_serious_axe_violations(trained, page, view):
    page.goto(f"{trained.url}/#/{view}")
    show_all(page, view)
    page.set_viewport_size({"width": 360, "height": 740})
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(beyond) <= 0
    wide = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((e) => e.getClientRects().length
        && !e.closest(".map-box, .chart, .hidden-input") && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    page.set_viewport_size(SIZE)
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []


def test_the_skip_link_skips_within_the_view(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats")
    page.wait_for_selector(".output")
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.evaluate("location.hash") == "#/playground?model=cats"
    expect(page.locator("#view-playground")).to_be_visible()
    page.evaluate("location.hash = '#/constructor'")  # of every object, and no view
    expect(page.locator("#view-runs")).to_be_visible()


def test_axe_finds_a_missing_label_and_a_pale_text(trained, page):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.wait_for_selector("#inside-what option", state="attached")
    page.evaluate(
        """() => {
          const select = document.getElementById("inside-model");
          select.closest("label").replaceWith(select);
          document.getElementById("title-inside").style.color = "#eee";
        }"""
    )
    found = {one.split(":")[0] for one in violations(page)}
    assert found == {"select-name", "color-contrast"}


def test_violations_of_the_content_policy_are_detected(trained, page):
    page.goto(trained.url)
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    until(lambda: page.evaluate("broken.length") == 1)
    page.evaluate("broken.length = 0")


def test_few_files_are_fetched_before_the_page_is_drawn(trained, page):
    page.goto(trained.url)
    page.wait_for_selector(".run")
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').map((entry) => [entry.name, entry.decodedBodySize])"
    )
    names = [name.rsplit("/", 1)[-1] for name, _ in fetched]
    assert "app.js" in names
    assert "plotly.min.js" not in names
    assert sum(size for _, size in fetched) < 200_000
    assert all(name.startswith(trained.url) for name, _ in fetched)
