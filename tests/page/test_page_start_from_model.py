"""The form for a new training run can start from a model. Each test loads a page."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from page.page_steps import eventually, without_charts
from waiting import until
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def opened_from(page, live, run):
    """Open the view of a run, press its button Train on another text, and return the settings of its model."""
    without_charts(page)
    page.goto(f"{live.url}/#/learning?run={run}")
    page.click("#learning-buttons >> text=Train on another text")
    expect(page.locator("#start-model")).to_have_value(run)
    return httpx.get(f"{live.url}/api/models/{run}").json()["settings"]


def test_the_form_of_a_run_from_a_model_has_the_settings_of_the_model(trained, page):
    settings = opened_from(page, trained, "gates")
    eventually(page.locator("#start-model-about"), "LSTM 1 × 12. The run keeps this network")
    own = page.get_by_role("radio", name=re.compile("^as the model"))
    expect(own).to_be_checked()
    size = page.get_by_label("Hidden size", exact=True)
    expect(size).to_be_disabled()
    expect(size).to_have_attribute("placeholder", "12")
    expect(page.locator("[data-setting=cell] option:checked")).to_have_text("lstm (model)")
    rate, length = (
        page.get_by_label("Learning rate", exact=True),
        page.locator("[data-setting=seq_length]"),
    )
    expect(rate).to_have_attribute("placeholder", f"{settings['learning_rate']:g}")
    expect(length).to_have_attribute("placeholder", f"{settings['seq_length']}")
    # A recipe replaces the settings, but not the network.
    page.get_by_role("radio", name=re.compile("^quick")).check()
    expect(rate).to_have_attribute("placeholder", "0.005")
    expect(size).to_have_attribute("placeholder", "12")
    expect(size).to_be_disabled()


def test_without_a_model_the_form_is_that_of_a_new_network(trained, page):
    opened_from(page, trained, "gates")
    unknown = page.locator("[data-setting=unknown]")
    expect(unknown).to_be_visible()
    page.locator("#start-model").select_option("")
    expect(page.locator("#start-model-about")).to_be_empty()
    expect(unknown).to_be_hidden()
    expect(page.get_by_role("radio", name=re.compile("^as the model"))).to_have_count(0)
    expect(page.get_by_role("radio", name=re.compile("^quick"))).to_be_checked()
    size = page.get_by_label("Hidden size", exact=True)
    expect(size).to_be_enabled()
    expect(size).to_have_attribute("placeholder", "256")


def test_a_number_that_does_not_fit_the_model_is_not_left_in_the_form(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    size = page.get_by_label("Hidden size", exact=True)
    size.fill("64")
    page.locator("#start-model").select_option("cats")
    expect(size).to_have_value("")
    expect(size).to_have_attribute("placeholder", "8")


def test_the_form_sends_the_model_and_what_to_do_with_unknown_characters(trained, page):
    sent = []

    def start(route):
        """Answer as if the run had been started."""
        sent.append(route.request.post_data_json)
        route.fulfill(status=202, json={"run": "cats"})

    opened_from(page, trained, "gates")
    page.route("**/api/runs", start)
    page.wait_for_selector("#start-text option", state="attached")
    page.locator("[data-setting=unknown]").select_option("replace")
    page.get_by_label("Replacement", exact=True).fill("a")
    page.click("#start-go")
    until(lambda: page.evaluate("1") and sent)
    text = sent[0].pop("text")
    assert text
    assert sent[0] == {
        "from_model": "gates",
        "settings": {"unknown": "replace", "replacement": "a"},
    }
    # The next run begins with random weights again.
    eventually(page.locator("#learning-state"), "finished")
    page.goto(f"{trained.url}/#/runs?new=1")
    page.click("#start-go")
    until(lambda: page.evaluate("1") and len(sent) == 2)
    assert sent[1] == {"text": text, "recipe": "quick", "settings": {}}


def test_the_response_for_an_earlier_model_does_not_replace_that_for_a_later_one(trained, page):
    held = []
    page.route("**/api/models/cats", lambda route: held.append(route))
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-model option[value=cats]", state="attached")
    page.locator("#start-model").select_option("cats")
    until(lambda: page.evaluate("1") and held)
    page.locator("#start-model").select_option("gates")
    about = page.locator("#start-model-about")
    eventually(about, "LSTM 1 × 12")
    with page.expect_response("**/api/models/cats"):
        held[0].continue_()
    # The page has read the response before a response that it requests later.
    page.evaluate("fetch('/api/about').then((response) => response.json())")
    eventually(about, "LSTM 1 × 12")


def test_a_model_that_cannot_be_read_is_explained_next_to_its_field(trained, page):
    page.goto(f"{trained.url}/#/runs?new=1&from=gone")
    problem = page.locator("#start-problem")
    eventually(problem, "there is no model 'gone'")
    expect(page.locator("#start-model")).to_have_attribute("aria-invalid", "true")


def test_a_failed_start_from_a_model_can_be_corrected(trained, tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "cats", validation=0.2)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        strange = {"name": "strange", "text": 30 * "a cat sat Ω on a mat; "}
        text = client.post("/api/texts", json=strange).json()["key"]
        body = {"text": text, "from_model": "cats", "name": "more", "settings": {"updates": 20}}
        assert client.post("/api/runs", json=body).status_code == 202
        page.goto(f"{live.url}/#/learning?run=more")
        eventually(page.locator("#learning-state"), "^failed$")
        page.click("#learning-buttons >> text=Back to the form")
        unknown = page.locator("[data-setting=unknown]")
        expect(unknown).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#start-model")).to_have_value("cats")
        expect(page.get_by_role("radio", name=re.compile("^as the model"))).to_be_checked()
        unknown.select_option("skip")
        page.click("#start-go")
        eventually(page.locator("#learning-state"), "^finished$")
        assert client.get("/api/runs/more").json()["run"]["update"] == 20
