"""A phone shows the text that a model writes, and no hints for a keyboard. Each test loads the page in a browser."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from browser import NONE, chromium_path
from page.page_steps import SCROLL_OF_WRITE
from page.page_window import PATIENCE

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize("link", ["model=cats", "model=cats&other=gates"])
def test_after_write_the_text_is_in_view_on_a_phone(trained, page, link):
    page.set_viewport_size(PHONE)
    page.goto(f"{trained.url}/#/playground?{link}&length=20")
    sheet = page.locator(".output .sheet").first
    expect(sheet).not_to_be_in_viewport()
    page.click("#play-go")
    expect(sheet).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_users_who_prefer_less_motion_see_the_text_without_scrolling(trained, page, motion):
    page.set_viewport_size(PHONE)
    page.emulate_media(reduced_motion=motion)
    page.goto(f"{trained.url}/#/playground?model=cats&length=20")
    expect(page.locator(".output .sheet")).not_to_be_in_viewport()
    assert (page.evaluate(SCROLL_OF_WRITE) > 0) == (motion == "reduce")


def test_a_wide_window_does_not_scroll_to_a_text_that_is_in_view(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats&length=20")
    expect(page.locator(".output .sheet")).to_be_in_viewport(ratio=1)
    assert page.evaluate(SCROLL_OF_WRITE) == 0


@pytest.mark.parametrize("touch", [True, False])
def test_only_devices_with_a_keyboard_or_a_mouse_show_the_keys(trained, browser, touch):
    with browser.new_context(viewport=PHONE, has_touch=touch, is_mobile=touch) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{trained.url}/#/playground?model=cats")
        expect(page.locator("#play-go")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#play .keys")).to_be_visible(visible=not touch)
