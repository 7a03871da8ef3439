"""The page uses few connections and keeps its lists up to date. Each test loads the page in a browser."""

import contextlib
import shutil
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import charloom
import small_runs
from browser import NONE, chromium_path
from charloom.web import training_jobs
from charloom.web.run_routes import MOST_FOLLOWED
from page.page_steps import eventually, without_charts
from page.page_window import PATIENCE
from small_runs import linked
from waiting import until
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


# Says to the page that it is seen, or not.
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@contextlib.contextmanager
def another_window(context, page):
    """Open another window as a link of the page does: it shares the page's process, so it opens fast."""
    with context.expect_page() as opened:
        page.evaluate("void open()")
    with contextlib.closing(opened.value) as window:
        yield window


def test_a_hidden_page_closes_its_connection(trained, page):
    page.goto(trained.url)
    page.wait_for_selector(".run")
    stream_limit = trained.app_state.stream_limit
    until(lambda: stream_limit.count == 1)
    page.evaluate(SEEN, False)
    until(lambda: stream_limit.count == 0)
    page.evaluate("location.hash = '#/learning?run=cats'")
    without_charts(page)
    page.evaluate(SEEN, True)
    until(lambda: stream_limit.count == 1)
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#gone")).to_be_hidden()


def test_eight_windows_of_one_browser_are_live_and_can_send_requests(training, context, page):
    key = training.going()
    training.pause()  # while the windows open, it would take a core from them
    with contextlib.ExitStack() as opened:
        windows = [page, *(opened.enter_context(another_window(context, page)) for _ in range(7))]
        for window in windows:
            without_charts(window)
            window.goto(f"{training.live.url}/#/learning?run={key}")
        progress = [window.locator("#learning-done") for window in windows]
        for done in progress:
            expect(done).to_contain_text("update", timeout=PATIENCE)
        before = [done.text_content() for done in progress]
        training.going()
        for done, text in zip(progress, before, strict=True):
            expect(done).not_to_have_text(text, timeout=PATIENCE)
        # One stream for all of them, and so the others can ask. A busy server needs a moment to notice that the streams
        # before the last one were closed.
        until(lambda: training.live.app_state.stream_limit.count == 1)
        windows[-1].get_by_role("button", name="Pause").first.click()
        for window in windows:
            expect(window.locator("#learning-state")).to_have_text("paused", timeout=PATIENCE)


def test_windows_that_follow_more_runs_than_one_stream_allows_use_several(
    tmp_path, trained, context, page
):
    for n in range(MOST_FOLLOWED + 1):
        shutil.copytree(trained.app_state.folder / "cats", tmp_path / f"run-{n}")
    with LiveServer(tmp_path) as live, contextlib.ExitStack() as opened:
        windows = [
            page,
            *(opened.enter_context(another_window(context, page)) for _ in range(MOST_FOLLOWED)),
        ]
        for n, window in enumerate(windows):
            without_charts(window)
            window.goto(f"{live.url}/#/learning?run=run-{n}")
        for window in windows:
            expect(window.locator("#sample-hint")).to_contain_text("samples", timeout=PATIENCE)
        # A busy server needs a moment to notice that earlier streams were closed.
        until(lambda: live.app_state.stream_limit.count == 2)


def test_a_browser_without_shared_workers_has_a_stream_for_each_window(trained, page):
    without_charts(page)
    page.add_init_script("delete globalThis.SharedWorker")
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#sample-hint")).to_contain_text("samples")


def test_a_list_of_more_runs_than_one_page_is_shown_as_it_is_scrolled(tmp_path, page):
    small_runs.train(tmp_path / "one", epochs=1)
    linked(tmp_path / "one", tmp_path, 449)
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        rows, count = page.locator(".run"), page.locator("#runs-count")
        expect(count).to_contain_text("of 450 runs", timeout=PATIENCE)

        def scrolled():
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            return rows.count() == 450

        until(scrolled, 60)
        expect(page.locator("#runs-rest")).to_be_hidden()
        names = page.evaluate(
            "[...document.querySelectorAll('.run .name')].map((a) => a.textContent)"
        )
        assert len(set(names)) == 450
        # What comes and goes is told as before.
        small_runs.train(tmp_path / "latest", epochs=1)
        expect(rows.first).to_contain_text("latest", timeout=PATIENCE)
        expect(rows).to_have_count(451)
        shutil.rmtree(tmp_path / "latest")
        expect(rows).to_have_count(450, timeout=PATIENCE)


def test_a_server_that_refuses_the_stream_still_answers(tmp_path, page):
    small_runs.train(tmp_path / "cats")
    with LiveServer(tmp_path) as live:
        most, live.app_state.stream_limit.most = live.app_state.stream_limit.most, 0
        page.goto(live.url)
        eventually(page.locator(".run .state"), "finished")
        expect(page.locator("#crowded")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#gone")).to_be_hidden()
        live.app_state.stream_limit.most = most
        expect(page.locator("#crowded")).to_be_hidden(timeout=PATIENCE)


def test_a_failed_start_is_removed_from_the_list(tmp_path, page, monkeypatch):
    failing, spawn = (
        [sys.executable, "-c", "raise SystemExit('the disk is full')"],
        training_jobs.spawn,
    )
    monkeypatch.setattr(training_jobs, "spawn", lambda command, said: spawn(failing, said))
    with LiveServer(tmp_path) as live:
        started = httpx.post(f"{live.url}/api/runs", json={"text": "builtin.python-docs"})
        assert started.status_code == 202
        page.goto(f"{live.url}/#/runs")
        eventually(page.locator(".run .problem"), r"^the disk is full\.$")
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#runs-empty")).to_be_visible()
        assert httpx.get(f"{live.url}/api/runs").json()["runs"] == []


def test_a_new_model_file_is_listed_when_the_user_returns(tmp_path, page):
    small_runs.train(tmp_path / "cats")
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/playground")
        models = page.locator("#play-model option")
        expect(models).not_to_have_count(0)
        charloom.load(tmp_path / "cats").save(tmp_path / "own.safetensors")
        page.evaluate("dispatchEvent(new Event('focus'))")
        until(lambda: any("own" in name for name in models.all_text_contents()))


def test_the_options_of_an_open_select_stay_until_it_loses_focus(trained, page):
    page.goto(trained.url)
    page.evaluate(
        """async () => {
          const { Choices } = await import("/static/choices.js");
          const select = document.createElement("select");
          select.id = "open";
          select.setAttribute("aria-label", "open");
          document.getElementById("main").prepend(select);
          window.offer = (names, chosen) => choices.show(names.map((name) => new Option(name, name)), chosen);
          const choices = new Choices(select);
          offer(["a", "b"], "b");
        }"""
    )
    select, options = page.locator("#open"), page.locator("#open option")
    select.dispatch_event("pointerdown")
    page.evaluate("offer(['a', 'b', 'c'])")
    expect(options).to_have_count(2)
    select.dispatch_event("blur")
    expect(options).to_have_count(3)
    expect(select).to_have_value("b")
    page.evaluate("offer(['x', 'y'])")
    expect(select).to_have_value("x")
