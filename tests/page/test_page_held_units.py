"""A user holds a hidden unit while a model writes, and releases it. Each test loads the page in a browser."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import charloom
from browser import NONE, chromium_path
from page.page_steps import eventually, violations, write

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

LINK = "model=cats&length=60&seed=1&prompt=the%20&temperature=0.8"


def opened(page, live, more=""):
    page.goto(f"{live.url}/#/playground?{LINK}{more}")
    expect(page.locator("#play-outputs .output")).to_have_count(1)


def sample(live, *held):
    """Return the text of the link with the prompt, by a model in which the unit `held` is held, if any."""
    model = charloom.load(live.app_state.folder / "cats")
    model = model.clamp(*held) if held else model
    return "the " + model.sample("the ", 60, temperature=0.8, seed=1)


def test_a_unit_is_held_by_keyboard_and_released(trained, page):
    opened(page, trained)
    page.locator("#play-hold summary").focus()
    page.keyboard.press("Enter")
    page.locator("#play-hold").get_by_label("Unit", exact=True).fill("3")
    page.locator("#play-hold").get_by_label("Value", exact=True).fill("1")
    page.keyboard.press("Enter")
    expect(page.locator("#play-held")).to_be_visible()
    eventually(page.locator("#spoken"), "Unit 3 of layer 0 is held at 1.")
    assert write(page) == sample(trained, 0, 3, 1)
    eventually(page.locator(".output .notice"), "^Unit 3 of layer 0 is held at 1.$")

    release = page.get_by_role("button", name="Release the unit")
    release.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#play-held")).to_be_hidden()
    expect(page.locator("#play-hold-go")).to_be_focused()
    assert write(page) == sample(trained) != sample(trained, 0, 3, 1)
    expect(page.locator(".output .notice")).to_be_empty()


def test_a_link_holds_the_unit_again(trained, page):
    opened(page, trained, "&hold=0,3,1")
    expect(page.locator("#play-held")).to_be_visible()
    assert write(page) == sample(trained, 0, 3, 1)
    page.click("#play-link")
    assert "hold=0%2C3%2C1" in page.evaluate("navigator.clipboard.readText()")


def test_a_unit_that_the_model_does_not_have_is_a_message(trained, page):
    opened(page, trained, "&hold=0,999,1")
    page.click("#play-go")
    eventually(page.locator("#play-problem"), "999")


@pytest.mark.parametrize(
    ("field", "wrong", "words"),
    [("Unit", "999", "The model has units 0 to "), ("Layer", "7", "The model has layers 0 to 0.")],
)
def test_a_unit_that_the_model_does_not_have_is_not_held(trained, page, field, wrong, words):
    opened(page, trained)
    page.click("#play-hold summary")
    asked = page.locator("#play-hold").get_by_label(field, exact=True)
    asked.fill(wrong)
    page.click("#play-hold-go")
    expect(page.locator("#play-hold-problem")).to_contain_text(words)
    expect(asked).to_be_focused()
    expect(page.locator("#play-held")).to_be_hidden()
    asked.fill("0")
    expect(page.locator("#play-hold-problem")).to_be_empty()
    page.click("#play-hold-go")
    expect(page.locator("#play-held")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_control_is_accessible_and_fits(trained, page, width):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, trained, "&hold=0,3,-0.9")
    write(page)
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
