"""A user starts, follows and steers training runs in a browser.

Each test also fails if the page's code raises an error or violates the content policy. Each takes a second or
more, because a browser loads the page. A few start training runs, each in its own process.
"""

import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from charloom.store import load_model
from page.page_servers import TEXT
from page.page_steps import DROP, eventually, without_charts
from page.page_window import PATIENCE
from waiting import until
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def test_a_run_on_a_dropped_file_is_started_and_its_curve_grows(training, page):
    training.stop()  # the run of an earlier test
    page.goto(f"{training.live.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    # All that the view ever says of a run, and whether it could be steered then.
    page.evaluate(
        """() => {
          window.said = [];
          const reason = document.getElementById("learning-reason");
          new MutationObserver(() => said.push(reason.textContent)).observe(reason, { childList: true });
        }"""
    )
    page.click(".views >> text=Runs")
    page.evaluate(DROP, {"name": "my cats.txt", "text": TEXT})
    eventually(page.locator("#start-text option:checked"), "my-cats")
    page.check("input[name=recipe][value=classic]")
    page.select_option("#start-settings select", "lstm")
    page.fill("[data-setting=hidden_size]", "100")
    page.fill("[data-setting=epochs]", "10000")
    page.click("#start-go")
    training.key = "my-cats-1"
    eventually(page.locator("#learning-state"), "training")
    assert [text for text in page.evaluate("said") if text] == []
    expect(page.locator("#learning-run")).to_have_value("my-cats-1")
    curve = page.locator("#learning-chart .scatterlayer .js-line").first
    expect(curve).to_have_count(1, timeout=PATIENCE)
    before = curve.get_attribute("d")
    until(lambda: curve.get_attribute("d") != before, 30)
    crosses = page.locator("#learning-chart .point")
    until(lambda: crosses.count() > 0, 30)
    eventually(page.locator("#learning-figures dd").first, r"\d\.\d{3}")
    page.check("#learning-log-y")
    with page.expect_download() as picture:
        page.click("#learning-png")
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_missing_run_has_no_buttons_until_it_exists(training, page):
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run=cats")
    expect(page.locator("#learning-buttons >> text=Train further")).to_be_visible()
    page.evaluate("location.hash = '#/learning?run=late'")
    reason = page.locator("#learning-reason")
    eventually(reason, "^There is no run late here; choose another one above.$")
    for part in ("#learning-buttons", "#learning-state", "#learning-body"):
        expect(page.locator(part)).to_be_hidden()
    small_runs.train(training.folder / "late")
    eventually(page.locator("#learning-state"), "^finished$")
    expect(reason).to_be_empty()
    expect(page.locator("#learning-buttons >> text=Train further")).to_be_visible()


def test_a_finished_run_trains_further(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "cats")
    before = load_model(tmp_path / "cats").update
    requests = []

    def shorter(route):
        """Train for a tenth of the minutes that the page requests."""
        requests.append(route.request.post_data_json)
        route.continue_(post_data={"minutes": requests[0]["minutes"] / 10})

    with LiveServer(tmp_path) as live:
        page.route("**/resume", shorter)
        page.goto(f"{live.url}/#/learning?run=cats")
        page.get_by_label("More minutes").fill("0.1")
        page.click("#learning-buttons >> text=Train further")
        until(lambda: load_model(tmp_path / "cats").update > before, 90)
        assert requests == [{"minutes": 0.1}]
        expect(page.locator("#learning-state")).to_have_text("finished", timeout=4 * PATIENCE)


def test_a_run_that_another_process_trains_appears_automatically(tmp_path, page):
    text = tmp_path / "cat.txt"
    text.write_text(TEXT)
    folder = tmp_path / "runs"
    with LiveServer(folder) as live:
        page.goto(live.url)
        eventually(page.locator("#runs-empty"), "No run has been trained")
        command = [
            sys.executable,
            "-m",
            "charloom",
            "train",
            str(text),
            "--run",
            str(folder / "own"),
        ]
        subprocess.run(
            [*command, "--recipe", "classic", "--updates", "50"], check=True, capture_output=True
        )
        eventually(page.locator(".run .name"), "^own$")
        eventually(page.locator(".run .state"), "^finished$")
        expect(page.locator("#runs-empty")).to_be_hidden()


def test_a_run_is_paused_resumed_and_given_another_learning_rate(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    state = page.locator("#learning-state")
    eventually(state, "training")
    page.click("#learning-buttons >> text=Pause")
    eventually(state, "paused")
    page.click("#learning-buttons >> text=Resume")
    eventually(state, "training")
    page.fill("#learning-buttons .rate", "0.5")
    page.click("#learning-buttons >> text=Set")
    rate = page.locator("#learning-figures div", has_text="Learning rate").locator("dd")
    eventually(rate, r"^0\.05$")

    # What went wrong is forgotten once the run is in another state, whoever brought it there.
    refused = {"error": {"message": "not now"}}
    page.route("**/control", lambda route: route.fulfill(status=409, json=refused))
    page.click("#learning-buttons >> text=Pause")
    reason = page.locator("#learning-reason")
    eventually(reason, "not now")
    training.send("pause")
    eventually(state, "paused")
    expect(reason).to_be_empty()
    page.unroute("**/control")
    page.click("#learning-buttons >> text=Stop")
    eventually(state, "stopped")
    training.key = None


def test_a_run_is_shown_as_pausing_from_the_command_to_its_effect(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    state = page.locator("#learning-state")
    eventually(state, "training")
    sent = []

    def swallow(route):
        """Answer as the server does, but do not send the command to the run."""
        sent.append(route.request.post_data_json)
        route.fulfill(json={"sequence": 1, "learning_rate_factor": None, **sent[-1]})

    page.route("**/control", swallow)
    page.click("#learning-buttons >> text=Pause")
    eventually(state, "^pausing$")
    # A new learning rate must not cancel the pause.
    page.fill("#learning-buttons .rate", "0.5")
    page.click("#learning-buttons >> text=Set")
    page.wait_for_function(
        "() => document.querySelector('#learning-state').textContent === 'pausing'"
    )
    until(lambda: len(sent) == 2, PATIENCE / 1000)
    assert [command["command"] for command in sent] == ["pause", "pause"]
    page.click("a[href='#/runs']")
    eventually(
        page.locator(".run", has=page.locator(f"a[href$='={key}']")).locator(".state"), "^pausing$"
    )
    page.go_back()
    page.unroute("**/control")
    training.send("pause")
    eventually(state, "^paused$")
    page.click("#learning-buttons >> text=Resume")
    eventually(state, "^training$")


def test_a_restarted_server_finds_the_training_run(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    eventually(page.locator("#learning-state"), "training")
    port = training.live.port
    training.live.__exit__()
    expect(page.locator("#gone")).to_be_visible(timeout=PATIENCE)
    training.live = LiveServer(training.folder, port).__enter__()
    expect(page.locator("#gone")).to_be_hidden(timeout=PATIENCE)
    eventually(page.locator("#learning-state"), "training")
    done = page.locator("#learning-done")
    before = done.text_content()
    until(lambda: done.text_content() != before, 30)
