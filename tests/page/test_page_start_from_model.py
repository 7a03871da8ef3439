"""The form for a new training run can start from a model. Each test loads a page."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from charloom.text import Corpus
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


def held_request_for_cats(live, page):
    """Select the model cats in the form, and return the page's request for it, which has no response yet."""
    held = []
    page.route("**/api/models/cats", lambda route: held.append(route))
    page.goto(f"{live.url}/#/runs?new")
    page.wait_for_selector("#start-model option[value=cats]", state="attached")
    page.locator("#start-model").select_option("cats")
    until(lambda: page.evaluate("1") and held)
    return held[0]


def test_the_form_of_a_run_from_a_model_has_the_settings_of_the_model(trained, page):
    settings = opened_from(page, trained, "gates")
    eventually(page.locator("#start-model-about"), "LSTM 1 × 12. The new run has this network")
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
    held = held_request_for_cats(trained, page)
    page.locator("#start-model").select_option("gates")
    about = page.locator("#start-model-about")
    eventually(about, "LSTM 1 × 12")
    with page.expect_response("**/api/models/cats"):
        held.continue_()
    # The page has read the response before a response that it requests later.
    page.evaluate("fetch('/api/about').then((response) => response.json())")
    eventually(about, "LSTM 1 × 12")


def test_a_late_error_of_an_earlier_model_is_not_shown_for_a_later_one(trained, page):
    held = held_request_for_cats(trained, page)
    page.locator("#start-model").select_option("gates")
    eventually(page.locator("#start-model-about"), "LSTM 1 × 12")
    with page.expect_response("**/api/models/cats"):
        held.fulfill(status=422, json={"error": {"message": "damaged", "code": None}})
    page.evaluate("fetch('/api/about').then((response) => response.json())")
    expect(page.locator("#start-problem")).to_be_empty()


def test_a_model_that_cannot_be_read_is_explained_without_moving_the_focus(trained, page):
    held = held_request_for_cats(trained, page)
    page.locator("#start-name").focus()
    held.fulfill(status=422, json={"error": {"message": "damaged", "code": None}})
    problem, menu = page.locator("#start-problem"), page.locator("#start-model")
    expect(problem).to_have_text("damaged")
    expect(menu).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#start-name")).to_be_focused()
    # Another model removes the message, also if a link chooses it.
    page.goto(f"{trained.url}/#/runs?new=1&from=gates")
    eventually(page.locator("#start-model-about"), "LSTM 1 × 12")
    expect(problem).to_be_empty()


def test_a_model_that_was_removed_is_explained_next_to_the_menu(trained, page):
    page.goto(f"{trained.url}/#/runs?new=1&from=gone")
    page.wait_for_selector("#start-text option", state="attached")
    eventually(page.locator("#start-problem"), "there is no model 'gone'")
    page.click("#start-go")
    eventually(page.locator("#start-problem"), "choose another")
    expect(page.locator("#start-model")).to_have_attribute("aria-invalid", "true")


def test_looking_at_a_model_keeps_what_was_chosen_for_a_new_network(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.get_by_role("radio", name=re.compile("^large")).check()
    size = page.get_by_label("Hidden size", exact=True)
    size.fill("64")
    menu = page.locator("#start-model")
    menu.select_option("cats")
    expect(size).to_have_value("")
    expect(size).to_have_attribute("placeholder", "8")
    menu.select_option("")
    expect(size).to_have_value("64")
    expect(page.get_by_role("radio", name=re.compile("^large"))).to_be_checked()


def test_a_cancelled_form_forgets_its_model(trained, page):
    opened_from(page, trained, "gates")
    page.click("#start-close")
    page.click("#start-open")
    expect(page.locator("#start-model")).to_have_value("")
    expect(page.get_by_label("Hidden size", exact=True)).to_be_enabled()


def test_a_run_without_a_model_has_no_button_for_another_text(trained, tmp_path, page):
    without_charts(page)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        text = client.post("/api/texts", json={"name": "short", "text": "abcabc"}).json()["key"]
        client.post("/api/runs", json={"text": text, "recipe": "classic", "name": "tiny"})
        page.goto(f"{live.url}/#/learning?run=tiny")
        eventually(page.locator("#learning-state"), "^failed$")
        expect(page.locator("#learning-buttons >> text=Back to the form")).to_be_visible()
        expect(page.locator("#learning-buttons >> text=Train on another text")).to_be_hidden()


def test_the_minutes_of_a_model_and_its_bytes_are_shown(trained, tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "minute", recipe="quick", updates=5)
    text = Corpus.from_text(small_runs.TEXT, "cat", tokens="bytes")
    small_runs.train(tmp_path / "bytes", text, tokens="bytes")
    with LiveServer(tmp_path) as live:
        opened_from(page, live, "minute")
        minutes = page.get_by_label("Minutes", exact=True)
        expect(minutes).to_have_attribute("placeholder", "1")
        page.locator("#start-model").select_option("bytes")
        known = len(set(small_runs.TEXT.encode()))
        eventually(
            page.locator("#start-model-about"), f"only the {known} bytes that the model knows"
        )
        expect(minutes).to_have_attribute("placeholder", "–")


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


def test_a_form_for_a_model_does_not_keep_a_failed_start(trained, tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "cats", validation=0.2)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        strange = {"name": "strange", "text": 30 * "a cat sat Ω on a mat; "}
        text = client.post("/api/texts", json=strange).json()["key"]
        settings = {"updates": 20, "validation": 0.1}
        body = {
            "text": text,
            "from_model": "cats",
            "recipe": "classic",
            "name": "more",
            "settings": settings,
        }
        assert client.post("/api/runs", json=body).status_code == 202
        page.goto(f"{live.url}/#/learning?run=more")
        eventually(page.locator("#learning-state"), "^failed$")
        page.click("#learning-buttons >> text=Back to the form")
        updates = page.locator("[data-setting=updates]")
        expect(updates).to_have_value("20")
        expect(page.get_by_role("radio", name=re.compile("^classic"))).to_be_checked()
        opened_from(page, live, "cats")
        expect(updates).to_have_value("")
        expect(page.locator("#start-name")).to_have_value("")
        expect(page.locator("#start-problem")).to_be_empty()
        expect(page.get_by_role("radio", name=re.compile("^as the model"))).to_be_checked()
        page.locator("[data-setting=unknown]").select_option("skip")
        page.locator("#start summary").click()
        updates.fill("5")
        page.click("#start-go")
        expect(page).to_have_url(re.compile("run=(?!cats)"))
        eventually(page.locator("#learning-state"), "^finished$")
        # The failed start is not replaced.
        keys = {run["key"] for run in client.get("/api/runs").json()["runs"]}
        assert {"cats", "more"} < keys
