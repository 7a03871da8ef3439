"""The page shows the search for the learning rate of a run, while it runs and afterwards. Each test loads the page."""

import os
import time

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import small_runs
from browser import NONE, chromium_path
from charloom.canonical_form import canonical_json
from charloom.live_processes import process_start_time
from charloom.messages import SEARCHING
from charloom.run_file_names import LEARNING_RATES
from charloom.store.format_versions import LEARNING_RATES_FORMAT
from page.page_steps import eventually, without_charts
from page.page_window import PATIENCE, SIZE
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

SEARCH = {
    "format": LEARNING_RATES_FORMAT,
    "learning_rate": 0.0056,
    "rounds": [
        {"updates": 6, "learning_rates": [1e-5, 0.001, 0.01, 0.1, 1.0], "losses": [4.0, 3.5, 3.2, 90.0, None]},
        {"updates": 12, "learning_rates": [0.001, 0.01], "losses": [3.1, 2.9]},
        {"updates": 24, "learning_rates": [0.0056, 0.01, 0.018], "losses": [2.5, 2.6, 2.8]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a server with a run whose learning rate was searched, and a run without a search."""
    folder = tmp_path_factory.mktemp("searched")
    small_runs.train(folder / "given")
    small_runs.train(folder / "found", tokens="bytes")
    (folder / "found" / LEARNING_RATES).write_bytes(canonical_json(SEARCH))
    with LiveServer(folder) as live:
        yield live


@pytest.mark.parametrize("width", [360, SIZE["width"]])
def test_a_run_shows_the_losses_of_its_search(searched, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{searched.url}/#/learning?run=found")
    eventually(
        page.locator("#search-result"),
        "^The learning rate 0.0056 was chosen by short trials before training. After 24 updates, its training loss "
        "was the lowest: 2.500 nats per byte.$",
    )
    left_out = (
        "The rates 0.1 to 1 are not shown: their losses are too large, or the trials diverged."
    )
    expect(page.locator("#search-left-out")).to_have_text(left_out)
    names = page.locator("#search-chart .legendtext")
    expected = ["after 6 updates", "after 12 updates", "after 24 updates", "chosen: 0.0056"]
    expect(names).to_have_text(expected, timeout=PATIENCE)
    expect(page.locator("#search-chart .scatterlayer .trace")).to_have_count(4)
    inside = page.locator("#search-chart .xtick").evaluate_all(
        "(ticks) => ticks.every((tick) => tick.getBoundingClientRect().right <= innerWidth)"
    )
    assert inside
    page.evaluate("location.hash = '#/learning?run=given'")
    eventually(page.locator("#learning-done"), "RNN")
    expect(page.locator("#search")).to_be_hidden()


def test_a_search_can_be_stopped_and_its_settings_are_shown_again(tmp_path, page):
    without_charts(page)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        text = {"name": "cat", "text": 30 * small_runs.TEXT}
        key = client.post("/api/texts", json=text).json()["key"]
        # The search takes much longer than the test.
        settings = {"find_learning_rate": True, "hidden_size": 1024, "layers": 4, "minutes": 600}
        body = {"text": key, "recipe": "network", "settings": settings}
        assert client.post("/api/runs", json=body).json() == {"run": "cat-1"}
        page.goto(f"{live.url}/#/learning?run=cat-1")
        eventually(page.locator("#learning-reason"), "^Searching for the learning rate")
        page.click("#learning-buttons >> text=Stop")
        eventually(page.locator("#learning-state"), "^stopped$")
        eventually(page.locator("#learning-reason"), "^Stopped before training began.$")
        expect(page.locator("#learning-body")).to_be_hidden()
        (job,) = live.app_state.jobs.all().values()
        assert not job.alive
        page.goto(f"{live.url}/#/runs")
        page.click(".run >> text=Back to the form")
        expect(page.get_by_label("Find learning rate")).to_be_checked()
        expect(page.get_by_label("Minutes", exact=True)).to_have_value("600")
        page.click("#start-close")
        page.click(".run >> text=Dismiss")
        expect(page.locator(".run")).to_have_count(0)


def test_a_run_that_starts_says_that_it_searches(tmp_path, page):
    without_charts(page)
    jobs = tmp_path / ".jobs"
    jobs.mkdir()
    job = {
        "run": "slow", "pid": os.getpid(), "time": time.time(), "text": "cat", "recipe": "quick", "log": "slow.log",
        "birth": process_start_time(os.getpid()), "seen": False, "code": None,
    }  # fmt: skip
    (jobs / "slow.json").write_bytes(canonical_json(job))
    (jobs / "slow.log").write_text(f"charloom: {SEARCHING}: 105 of at most 400 updates\n")
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        eventually(page.locator(".run .state"), "^starting$")
        progress = "^Searching for the learning rate: 105 of at most 400 updates.$"
        eventually(page.locator(".run .reason"), progress)
        page.goto(f"{live.url}/#/learning?run=slow")
        eventually(page.locator("#learning-reason"), progress)
        (jobs / "slow.log").write_text("charloom: the learning rate is 0.0056\n")
        expect(page.locator("#learning-reason")).to_be_empty(timeout=PATIENCE)
        eventually(page.locator("#learning-state"), "^starting$")
