"""The page shows models with n-grams. Each test loads the page in a browser."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from ngram_models import ngram_model
from page.page_steps import eventually, violations, without_charts, write
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

TEXT = small_runs.TEXT[:300]


@pytest.fixture(scope="module")
def model():
    """Return a GRU with n-grams, in float32."""
    return ngram_model(cell="gru", dtype="float32")


@pytest.fixture(scope="module")
def mixed(model, tmp_path_factory):
    """Return a server with a run that has n-grams, a model file, and a model file of the network alone."""
    folder = tmp_path_factory.mktemp("mixed")
    small_runs.train(folder / "counted", ngram_order=4, cell="gru")
    model.save(folder / "mixed.safetensors")
    model.network_alone().save(folder / "alone.safetensors")
    with LiveServer(folder) as live:
        yield live


def last_number(locator):
    """Return the last number in the text of an element."""
    return float(re.findall(r"\d\.\d\d", locator.text_content())[-1])


@pytest.mark.parametrize("width", [360, 1280])
def test_the_explorer_colours_a_text_by_the_weight_of_the_n_grams(mixed, model, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{mixed.url}/#/inside?model=mixed.safetensors")
    page.fill("#inside-text", TEXT)
    page.click("#inside-go")
    weights, readout = model.ngram_use(TEXT).weights, page.locator("#ngrams-readout")
    eventually(readout, r"The mean weight on this text is \d\.\d\d\.$")
    assert last_number(readout) == pytest.approx(weights[1:].mean(), abs=0.006)
    eventually(page.locator("#ngrams-coloured .letters"), "^" + re.escape(TEXT) + "$")
    assert page.locator("#ngrams-coloured").locator(".hot, .cold").count() > 3
    page.locator("#ngrams-coloured").focus()
    page.keyboard.press("Home")
    eventually(readout, "character 1: not predicted$")
    page.keyboard.press("ArrowRight")
    eventually(readout, "^h at character 2: weight of the n-grams ")
    assert last_number(readout) == pytest.approx(weights[1], abs=0.006)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        assert violations(page) == []


def test_the_n_grams_of_a_byte_model_are_of_bytes(page, tmp_path):
    for tokens in ("bytes", "characters"):
        settings = {"cell": "gru", "ngram_order": 4, "tokens": tokens}
        small_runs.train(tmp_path / tokens, **settings)
    with LiveServer(tmp_path) as live:
        for tokens in ("bytes", "characters"):
            page.goto(f"{live.url}/#/inside?model={tokens}&text=the+cat")
            one = tokens[:-1]
            wanted = f"how often each {one} follows the last 3 {tokens} or fewer in its training"
            eventually(page.locator("#ngrams-readout"), wanted)


def test_a_model_without_n_grams_has_no_weights_of_them(mixed, page):
    page.goto(f"{mixed.url}/#/inside?model=mixed.safetensors")
    page.fill("#inside-text", TEXT)
    page.click("#inside-go")
    expect(page.locator("#ngrams")).to_be_visible()
    page.select_option("#inside-model", "alone.safetensors")
    expect(page.locator("#ngrams")).to_be_hidden()
    eventually(page.locator("#map-size"), "6 units × 300 characters")


def test_the_playground_and_the_views_of_a_run_show_n_grams(mixed, model, page):
    without_charts(page)
    page.goto(f"{mixed.url}/#/playground?model=mixed.safetensors")
    page.fill("#play-seed", "5")
    assert write(page, 80) == "the " + model.sample("the ", 80, 0.8, seed=5)
    page.goto(f"{mixed.url}/#/runs")
    eventually(page.locator(".run", has_text="counted"), "GRU 1.×.8 with 4-grams")
    page.goto(f"{mixed.url}/#/learning?run=counted")
    eventually(page.locator("#learning-done"), "GRU 1.×.8 with 4-grams")


def test_the_form_offers_the_length_of_n_grams(mixed, page):
    page.goto(f"{mixed.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.locator("#start summary").click()
    field = page.locator("[data-setting=ngram_order]")
    expect(field).to_have_attribute("max", "16")
    expect(page.locator("label", has=field)).to_have_text("N-gram order")
