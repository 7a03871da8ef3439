"""A user examines the hidden units of a model on the page. Each test loads the page in a browser."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from page.page_steps import eventually
from waiting import until

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


# Selects characters of the coloured text, from one to before another.
SELECT = """(letters, [start, end]) => {
  const at = (n) => {
    for (const { firstChild: node } of letters.children) {
      if (n <= node.length) return [node, n];
      n -= node.length;
    }
  };
  getSelection().setBaseAndExtent(...at(start), ...at(end));
}"""


def test_a_text_is_coloured_by_a_found_unit(trained, page, context):
    page.goto(f"{trained.url}/#/inside?model=gates")
    page.fill("#inside-text", small_runs.TEXT[:400])
    page.click("#inside-go")
    box = page.locator("#inside-coloured")
    eventually(box.locator(".letters"), "^" + re.escape(small_runs.TEXT[:400]) + "$")
    assert box.locator(".hot, .cold").count() > 3
    eventually(page.locator("#map-size"), "12 units × 400 characters")
    page.fill("#find-pattern", "cat")
    page.click("#find-go")
    found = page.locator(".property", has_text="pattern").locator("button").first
    _, unit, what = found.get_attribute("data-unit").split()
    found.click()
    expect(page.locator("#inside-unit")).to_have_value(unit)
    expect(page.locator("#inside-what")).to_have_value(what)
    eventually(page.locator("#inside-readout"), f"unit {unit}, {what}, after update .*: from")
    body = {"model": "gates", "text": small_runs.TEXT[:400], "unit": int(unit), "what": what}
    result = httpx.post(f"{trained.url}/api/inside/unit", json=body).json()
    box.focus()
    page.keyboard.press("Home")
    eventually(page.locator("#inside-readout"), f"{result['values'][0]:.3f}$".replace("-", "−"))

    row = page.locator("#map").bounding_box()["height"] / 12
    page.click("#map", position={"x": 20, "y": 7.5 * row})
    expect(page.locator("#inside-unit")).to_have_value("7")
    page.click("#inside-link")
    other = context.new_page()
    other.goto(page.evaluate("navigator.clipboard.readText()"))
    eventually(other.locator("#inside-readout"), "unit 7")
    other.close()


def test_a_pattern_is_a_regular_expression_as_in_the_terminal(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.fill("#inside-text", small_runs.TEXT[:300])
    page.fill("#find-pattern", r"\b[bc]at\b")
    page.click("#find-go")
    found = page.locator(".property", has_text="inside a match of")
    eventually(found.locator(".aside"), re.escape(r"\b[bc]at\b"))
    expect(found.locator("button")).not_to_have_count(0)
    page.fill("#find-pattern", "(cat")
    page.press("#find-pattern", "Enter")
    eventually(page.locator("#find-problem"), "the pattern '\\(cat' is not a regular expression")
    # The results of the pattern before it are gone, and the hint is shown again.
    expect(found).to_have_count(0)
    eventually(page.locator("#find-list"), "^The button Find ranks the units")
    page.fill("#find-pattern", "zebra")
    page.click("#find-go")
    eventually(found, "the pattern matches nothing in the text")
    expect(page.locator("#find-problem")).to_be_empty()
    expect(page.locator("#find-go")).to_be_focused()


def test_a_long_text_is_left_out_of_the_link(trained, page):
    page.goto(f"{trained.url}/#/inside?model=gates")
    page.fill("#inside-text", small_runs.TEXT[:400])
    page.click("#inside-link")
    eventually(page.locator("#toast"), "^Link copied$")
    assert "&text=the+red" in page.evaluate("navigator.clipboard.readText()")
    page.fill("#inside-text", 10 * small_runs.TEXT[:400])
    page.click("#inside-link")
    eventually(page.locator("#toast"), "It does not contain the text, which is too long for a link")
    assert "text=" not in page.evaluate("navigator.clipboard.readText()")


def test_marked_parts_are_shown_and_units_that_follow_them_are_found(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.fill("#inside-text", small_runs.TEXT[:200])
    page.click("#inside-go")
    letters = page.locator("#inside-coloured .letters")
    eventually(letters, "^the ")
    letters.evaluate(SELECT, [10, 18])
    page.click("#find-mark")
    page.focus("#inside-coloured")
    for key in ("Home", *60 * ["ArrowRight"], *7 * ["Shift+ArrowRight"]):
        page.keyboard.press(key)
    page.click("#find-mark")
    marked = "".join(letters.locator(".marked").all_text_contents())
    assert marked == small_runs.TEXT[10:18] + small_runs.TEXT[60:68]
    eventually(letters, f"^{re.escape(small_runs.TEXT[:200])}$")
    with page.expect_request("**/api/inside/ranking") as sent:
        page.click("#find-go")
    assert sent.value.post_data_json["marks"] == [[10, 18], [60, 68]]
    expect(page.locator(".property", has_text="marked").locator("button")).not_to_have_count(0)

    # Marks are of the text that is seen: another one is looked at first, and has none.
    page.fill("#inside-text", small_runs.TEXT[40:200])
    with page.expect_request("**/api/inside/ranking") as sent:
        page.click("#find-go")
    assert "marks" not in sent.value.post_data_json
    eventually(letters, f"^{re.escape(small_runs.TEXT[40:200])}$")
    expect(letters.locator(".marked")).to_have_count(0)
    expect(page.locator("#find-unmark")).to_be_disabled()


def test_a_text_that_is_coloured_again_keeps_its_selection(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats&text=the+cat+sat+on+the+mat")
    letters = page.locator("#inside-coloured .letters")
    eventually(letters, "^the cat sat on the mat$")
    page.focus("#inside-coloured")
    for key in ("Home", "ArrowRight", *3 * ["Shift+ArrowRight"]):
        page.keyboard.press(key)
    letters.evaluate("letters => { letters.firstElementChild.old = true; }")
    page.locator("#inside").evaluate("form => form.requestSubmit()")
    coloured_again = (
        "() => !document.querySelector('#inside-coloured .letters').firstElementChild.old"
    )
    page.wait_for_function(coloured_again)
    page.keyboard.press("Shift+ArrowRight")
    page.click("#find-mark")
    assert "".join(letters.locator(".marked").all_text_contents()) == "he ca"
    # A selection ends with its mark: the next mark needs a selection of its own.
    page.click("#find-mark")
    eventually(page.locator("#find-problem"), "^Select a part of the coloured text first")


def test_the_map_and_the_unit_are_of_the_same_update(trained, page):
    update = 100
    maps = []

    def answer(route):
        data = route.fetch().json()
        if route.request.url.endswith("map"):
            maps.append(update)
        route.fulfill(json={**data, "update": update})

    page.route(re.compile("/api/inside/(unit|map)"), answer)
    page.goto(f"{trained.url}/#/inside?model=cats&text=the+cat+sat+on")
    readout = page.locator("#inside-readout")
    eventually(readout, "after update 100: from")
    eventually(page.locator("#map-size"), "14 characters")
    page.fill("#inside-unit", "3")
    page.click("#inside-go")
    eventually(readout, "unit 3")
    assert maps == [100]
    update = 200
    page.click("#inside-go")
    eventually(readout, "after update 200")
    until(lambda: page.evaluate("1") and maps == [100, 200])
