"""A user removes and renames runs on the page, after a question. Each test loads the page in a browser."""

import re
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from page.page_steps import eventually, violations, without_charts
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


@pytest.fixture
def missing(page):
    """Return the list of the addresses whose responses to the page had the status 404 so far."""
    addresses = []

    def note(response):
        if response.status == 404:
            addresses.append(response.url)

    page.on("response", note)
    yield addresses
    page.remove_listener("response", note)


@pytest.fixture
def failed(tmp_path, page):
    """Return a server with a finished run, and with a start named tiny that failed."""
    without_charts(page)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        small_runs.train(tmp_path / "cats", epochs=1)
        text = client.post("/api/texts", json={"name": "short", "text": "abcabc" * 9}).json()["key"]
        body = {"text": text, "recipe": "classic", "name": "tiny", "settings": {"seq_length": 60}}
        assert client.post("/api/runs", json=body).status_code == 202
        yield live


@pytest.fixture
def two(tmp_path, trained, page):
    """Return a server with two copies of a finished run."""
    without_charts(page)
    for name in ("first", "second"):
        shutil.copytree(trained.app_state.folder / "cats", tmp_path / name)
    with LiveServer(tmp_path) as live:
        yield live


def finish_requests(page):
    """Send one more request and wait for its response, so that the page has the responses to earlier ones."""
    page.evaluate("fetch('/api/runs').then((response) => response.text())")


def shown_names(page):
    """Return the names of the runs in the list."""
    return sorted(page.locator(".run .name").all_text_contents())


def test_a_run_is_removed_only_after_the_question(two, page, tmp_path):
    page.goto(two.url)
    row = page.locator(".run", has=page.get_by_role("link", name="second", exact=True))
    eventually(row, r"RNN 1.×.8 · \d+ KB")
    page.goto(f"{two.url}/#/learning?run=second")
    page.click("#learning-buttons >> text=Remove")
    dialog = page.locator("#remove-dialog")
    eventually(dialog, "^\\s*Remove the run second with its samples and all its models")
    eventually(page.locator("#remove-contents"), r"^\d+ files, \d+ KB\.$")
    page.click("#remove-close")
    expect(dialog).to_be_hidden()
    assert (tmp_path / "second").is_dir()
    page.click("#learning-buttons >> text=Remove")
    page.click("#remove-go")
    expect(dialog).to_be_hidden()
    expect(page.locator("#view-runs")).to_be_visible()
    expect(page.locator(".run")).to_have_count(1)
    assert shown_names(page) == ["first"]
    assert not (tmp_path / "second").exists()


def test_a_file_that_comes_into_a_run_after_the_question_is_kept(two, page, tmp_path):
    page.goto(f"{two.url}/#/learning?run=second")
    page.click("#learning-buttons >> text=Remove")
    eventually(page.locator("#remove-contents"), r"^\d+ files, \d+ KB\.$")
    notes = tmp_path / "second" / "notes.txt"
    notes.write_text("mine")
    page.click("#remove-go")
    eventually(page.locator("#remove-problem"), "its files changed after they were shown")
    assert notes.read_text() == "mine"
    page.click("#remove-close")
    page.click("#learning-buttons >> text=Remove")
    eventually(page.locator("#remove-contents"), "Also what charloom did not write: notes.txt")
    page.click("#remove-go")
    expect(page.locator("#remove-dialog")).to_be_hidden()
    assert not notes.exists()


def test_a_run_is_renamed_and_stays_shown(two, page, tmp_path):
    page.goto(f"{two.url}/#/learning?run=second")
    page.click("#learning-buttons >> text=Rename")
    expect(page.locator("#rename-name")).to_have_value("second")
    page.fill("#rename-name", "first")
    page.keyboard.press("Enter")
    eventually(page.locator("#rename-problem"), "exists already; give another name")
    page.fill("#rename-name", "novel")
    page.keyboard.press("Enter")
    expect(page.locator("#rename-dialog")).to_be_hidden()
    expect(page.locator("#learning-run")).to_have_value("novel")
    eventually(page.locator("#learning-state"), "finished")
    assert (tmp_path / "novel" / "config.json").exists()
    page.goto(f"{two.url}/#/runs")
    expect(page.locator(".run")).to_have_count(2)
    assert shown_names(page) == ["first", "novel"]


def test_a_refused_name_keeps_the_focus_in_its_field(two, page, tmp_path):
    page.goto(f"{two.url}/#/learning?run=second")
    page.click("#learning-buttons >> text=Rename")
    name, problem = page.locator("#rename-name"), page.locator("#rename-problem")
    for refused, message in (
        ("", "^the new name is empty; give the name of a directory"),
        ("first", "exists already; give another name"),
        ("a/b", "it must be the name of a directory without / and"),
    ):
        name.fill(refused)
        expect(problem).to_be_empty()
        page.click("#rename-go")
        eventually(problem, message)
        expect(name).to_be_focused()
        expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("a b:ü")
    page.click("#rename-go")
    expect(page.locator("#rename-dialog")).to_be_hidden()
    eventually(page.locator("#learning-run option:checked"), "^a b:ü$")
    assert (tmp_path / "a b:ü" / "config.json").exists()


def test_a_renamed_run_is_not_requested_by_its_old_key(two, page, missing):
    page.goto(f"{two.url}/#/learning?run=second")
    eventually(page.locator("#learning-state"), "finished")
    page.click("#learning-buttons >> text=Rename")
    page.fill("#rename-name", "novel")
    page.click("#rename-go")
    eventually(page.locator("#learning-run option:checked"), "^novel$")
    expect(page.locator("#spoken")).to_have_text("second is renamed to novel")
    expect(page.locator("#learning-run option[value=second]")).to_have_count(0)
    finish_requests(page)
    assert missing == []


def test_a_dismissed_start_leads_to_the_list_of_runs(failed, page, missing):
    page.goto(f"{failed.url}/#/learning?run=tiny")
    eventually(page.locator("#learning-state"), "^failed$")
    page.click("#learning-buttons >> text=Dismiss")
    expect(page.locator("#view-runs")).to_be_visible()
    expect(page.locator("#spoken")).to_have_text("tiny: dismissed")
    expect(page.locator(".run")).to_have_count(1)
    assert shown_names(page) == ["cats"]
    finish_requests(page)
    assert missing == []


def test_a_run_that_disappears_is_reported_without_a_request_for_it(two, page, missing, tmp_path):
    page.goto(f"{two.url}/#/learning?run=second")
    eventually(page.locator("#learning-state"), "finished")
    # Samples come from the stream, so the page has opened it and does not open it again after the removal.
    eventually(page.locator("#sample-update"), r"update")
    finish_requests(page)
    shutil.rmtree(tmp_path / "second")
    eventually(page.locator("#learning-reason"), "^There is no run second here; choose another")
    finish_requests(page)
    assert missing == []


def test_a_run_that_trains_has_no_button_and_the_server_refuses_it(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    eventually(page.locator("#learning-state"), "training")
    expect(page.locator("#learning-buttons >> text=Stop")).to_be_visible()
    for button in ("Remove", "Rename"):
        expect(page.locator(f"#learning-buttons >> text={button}")).to_be_hidden()
    page.evaluate(
        """async (run) => {
          const { askToRemove } = await import("/static/run_changes.js");
          askToRemove(run);
        }""",
        {"key": key, "name": key},
    )
    eventually(page.locator("#remove-problem"), "is in use: process")
    expect(page.locator("#remove-go")).to_be_disabled()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_questions_fit_the_window_and_are_accessible(two, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{two.url}/#/learning?run=second")
    for button in ("Remove", "Rename"):
        page.click(f"#learning-buttons >> text={button}")
        dialog = page.get_by_role("dialog")
        eventually(dialog, re.escape("second"))
        box = dialog.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width > 360:
            pytest.importorskip("axe_playwright_python", reason="axe is not installed")
            for colours in ("dark", "light"):
                page.emulate_media(color_scheme=colours)
                assert violations(page) == []
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    remove, rename = (
        page.locator(f"#{name}-go").evaluate("(button) => getComputedStyle(button).backgroundColor")
        for name in ("remove", "rename")
    )
    assert remove != rename  # a removal cannot be undone
