"""The page shows the best loss, overfitting, divergence and damage of a finished run. Each test loads a page."""

import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import overfitting_runs
import small_runs
from browser import NONE, chromium_path
from charloom.store.control_files import write_status
from charloom.training import EndChanged
from charloom.training.in_run_directory import STOP_REASON
from page.page_steps import eventually, without_charts
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def shown_in_list(page, key):
    """Return the bits per character of a run in the list, and their label."""
    row = page.locator(".run", has=page.get_by_role("link", name=key, exact=True))
    return row.locator(".bits")


def test_a_run_is_listed_with_the_bits_of_its_best_model(tmp_path, page):
    without_charts(page)
    overfitting_runs.train(tmp_path / "over")
    small_runs.train(tmp_path / "judged", validation=0.2)
    small_runs.train(tmp_path / "plain")
    with LiveServer(tmp_path) as live:
        runs = {r["key"]: r for r in httpx.get(f"{live.url}/api/runs", timeout=20).json()["runs"]}
        best = runs["judged"]["best_bits"]
        assert best is not None
        assert runs["over"]["best_bits"] != runs["over"]["validation_bits"]
        wanted = {
            "judged": (best, "bits, best validation"),
            "over": (runs["over"]["best_bits"], "bits, best validation"),
            "plain": (
                runs["plain"]["train_bits"],
                f"bits, training, {runs['plain']['train_bits_of']}",
            ),
        }
        page.goto(live.url)
        for key, (bits, kind) in wanted.items():
            eventually(shown_in_list(page, key), f"^{bits:.3f}{kind}$")
        for key, (bits, kind) in wanted.items():
            page.goto(f"{live.url}/#/learning?run={key}")
            first = page.locator("#learning-figures > div").first
            eventually(first, f"^{kind.capitalize()}{bits:.3f}$")


def test_the_page_says_that_a_run_overfits_and_what_to_try(tmp_path, page):
    without_charts(page)
    overfitting_runs.train(tmp_path / "over")
    small_runs.train(tmp_path / "plain")
    with LiveServer(tmp_path) as live:
        run = httpx.get(f"{live.url}/api/runs/over", timeout=20).json()["run"]
        sentence = f"^{re.escape(run['overfitting'])}$"
        page.goto(live.url)
        notices = page.locator(".run .notice")
        expect(notices.filter(has_text="overfits")).to_have_count(1)
        eventually(notices.filter(has_text="overfits"), sentence)
        page.goto(f"{live.url}/#/learning?run=over")
        eventually(page.locator("#learning-finding"), sentence)
        page.goto(f"{live.url}/#/learning?run=plain")
        eventually(page.locator("#learning-state"), "finished")
        expect(page.locator("#learning-finding")).to_be_hidden()


def test_the_page_says_that_a_run_diverged(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "away", learning_rate=1000.0)
    with LiveServer(tmp_path) as live:
        run = httpx.get(f"{live.url}/api/runs/away", timeout=20).json()["run"]
        sentence = f"^{re.escape(run['divergence'])}$"
        page.goto(live.url)
        eventually(page.locator(".run .notice"), sentence)
        page.goto(f"{live.url}/#/learning?run=away")
        eventually(page.locator("#learning-finding"), sentence)


def test_the_view_of_a_run_names_its_damaged_parts(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "broken")
    small_runs.train(tmp_path / "sound")
    (tmp_path / "broken" / "passage.txt").write_bytes(b"\xff\xfe")
    with LiveServer(tmp_path) as live:
        (damage,) = httpx.get(f"{live.url}/api/runs/broken", timeout=20).json()["damage"]
        assert "passage.txt" in damage
        page.goto(f"{live.url}/#/learning?run=broken")
        eventually(page.locator("#learning-damage li"), f"^{re.escape(damage)}$")
        page.goto(f"{live.url}/#/learning?run=sound")
        eventually(page.locator("#learning-state"), "finished")
        expect(page.locator("#learning-damage li")).to_have_count(0)


def test_a_run_that_cannot_be_read_shows_the_reason_without_empty_figures(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "sound")
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "config.json").write_text("{")
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=unreadable")
        eventually(page.locator("#learning-reason"), "config.json")
        expect(page.locator("#learning-body")).to_be_hidden()
        page.goto(f"{live.url}/#/learning?run=sound")
        expect(page.locator("#learning-body")).to_be_visible()


def test_a_run_without_records_announces_them_only_while_it_trains(tmp_path, page):
    without_charts(page)
    writer, _, _ = small_runs.create(tmp_path / "empty")
    with writer, LiveServer(tmp_path) as live:
        write_status(tmp_path / "empty" / "status.json", "training", 0, 100, None)
        page.goto(f"{live.url}/#/learning?run=empty")
        chart, hint = page.locator("#learning-chart"), page.locator("#sample-hint")
        eventually(chart, "^The first record comes after the first update.$")
        eventually(hint, "^Samples appear during training.$")
        write_status(tmp_path / "empty" / "status.json", "failed", 0, 100, "the text is too short")
        eventually(page.locator("#learning-reason"), "the text is too short")
        eventually(chart, "^This run has no records.$")
        eventually(hint, "^This run has no samples.$")


REASONS = {
    "SIGINT": "Stopped by SIGINT (Ctrl-C).",
    "SIGTERM": "Stopped by the signal SIGTERM.",
    STOP_REASON: "Stopped by a command from a terminal, the page or Python.",
    "no better validation loss in 3 evaluations": (
        "Training ended early: no better validation loss in 3 evaluations."
    ),
    "its process ended before it saved a checkpoint": (
        "Its process ended before it saved a checkpoint."
    ),
    "book.txt is empty.": "book.txt is empty.",
}


def test_the_reason_of_a_run_is_a_sentence_and_is_followed_by_its_damage(trained, page):
    page.goto(trained.url)
    shown = page.evaluate(
        """async (reasons) => {
          const { reasonOf } = await import("/static/run_summary.js");
          return reasons.map((reason) => reasonOf({ reason, damage: null }));
        }""",
        list(REASONS),
    )
    assert shown == list(REASONS.values())


def test_a_stopped_run_shows_its_damage_and_the_update_of_each_figure(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "ended", halt=small_runs.after(3), report_every=1_000)
    with (tmp_path / "ended" / "metrics.jsonl").open("ab") as file:
        file.write(b"{\n")
    messages = (
        r"^Stopped by SIGINT \(Ctrl-C\)\. \S*ended/metrics\.jsonl is damaged: 1 of \d+ lines .*\.$"
    )
    with LiveServer(tmp_path) as live:
        run = httpx.get(f"{live.url}/api/runs/ended", timeout=20).json()["run"]
        page.goto(live.url)
        eventually(page.locator(".run .reason"), messages)
        page.goto(f"{live.url}/#/learning?run=ended")
        eventually(page.locator("#learning-reason"), messages)
        figures = page.locator("#learning-figures")
        eventually(figures, rf"Smooth loss{run['smooth_loss']:.2f}")
        eventually(figures, "Gradient norm at update 1[0-9]")
        expect(page.locator("#learning-moment")).to_have_text(
            f"Figures after update {run['update']}."
        )


def test_numbers_have_thousands_separators(trained, page):
    page.goto(trained.url)
    shown = page.evaluate(
        """async () => {
          const { bytes, fixed, integer } = await import("/static/dom.js");
          return [fixed(1234.5, 2), fixed(-0.25, 1), fixed(0.1234, 3), fixed(null), integer(12345), bytes(2147483648)];
        }"""
    )
    assert shown == ["1,234.50", "−0.3", "0.123", "–", "12,345", "2,147.5 MB"]


@pytest.mark.parametrize(
    ("view", "button"), [("playground", "#play-link"), ("inside", "#inside-link")]
)
@pytest.mark.parametrize("refused", ["reject", "absent"])
def test_a_link_that_cannot_be_copied_is_shown_selected(trained, page, view, button, refused):
    page.goto(f"{trained.url}/#/{view}?model=cats")
    eventually(
        page.locator(f"#{'play' if view == 'playground' else view}-model option:checked"), "cats"
    )
    page.evaluate(
        """(refused) => {
          const clipboard = refused === "absent" ? undefined : { writeText: () => Promise.reject(new Error("no")) };
          Object.defineProperty(navigator, "clipboard", { value: clipboard, configurable: true });
        }""",
        refused,
    )
    page.click(button)
    field = page.locator("#copy-text")
    expect(field).to_be_visible()
    expect(field).to_be_focused()
    link = field.input_value()
    assert link.startswith(f"{trained.url}/#/{view}?model=cats")
    assert page.evaluate("document.getSelection().toString()") == link
    page.click("#copy-close")
    expect(field).to_be_hidden()


def test_the_page_says_that_the_end_of_a_run_moved_while_it_trains(tmp_path, page):
    without_charts(page)
    writer, learner, _ = small_runs.create(tmp_path / "slow", updates=100)
    with writer, LiveServer(tmp_path) as live:
        writer.add_event("started", 0)
        learner.config = learner.config.replace(updates=80)
        writer.change_end(learner, EndChanged(0, 80, 100, 1.0).reason)
        write_status(tmp_path / "slow" / "status.json", "training", 5, 80, None)
        sentence = (
            "Training is slower than planned: to keep to its minutes, the run now ends at update 80 instead "
            "of 100."
        )
        page.goto(live.url)
        eventually(page.locator(".run .notice"), f"^{re.escape(sentence)}$")
        page.goto(f"{live.url}/#/learning?run=slow")
        eventually(page.locator("#learning-finding"), f"^{re.escape(sentence)}$")


def test_the_page_says_that_a_run_ends_before_its_warm_up(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "late", warmup=900, updates=20)
    small_runs.train(tmp_path / "plain", updates=20)
    sentence = "The run ends after 20 updates, but its warm-up has 900 updates"
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=late")
        eventually(page.locator("#learning-finding"), sentence)
        page.goto(f"{live.url}/#/learning?run=plain")
        eventually(page.locator("#learning-state"), "finished")
        assert sentence not in page.locator("#learning-finding").inner_text()
