"""A user watches studies on the page: the list, and the table, curves and report of one study, in a browser."""

import json
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from browser import NONE, chromium_path
from charloom.studies import open_study, summarize
from charloom.studies.results import RunResult
from page.page_steps import eventually, violations, without_charts
from page.page_window import PATIENCE, SIZE
from studies.small_studies import SPEC, planned_study, train_here
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

PHONE = {"width": 390, "height": 844}
MARKUP = "<img src=x onerror=\"document.title='caught'\">"


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Return a server of a folder with a finished study, and one in which a run failed and others have no result."""
    folder = tmp_path_factory.mktemp("studied")
    judged = {"settings": {**SPEC["settings"], "judge_every": 10}}
    train_here(planned_study(folder, **judged))
    (folder / "study").rename(folder / "finished")
    part = planned_study(folder, **judged)
    done = open_study(folder / "finished").results()
    whole = next(iter(done.values()))
    results = [whole, RunResult(part.plan[1].key, "failed", reason=MARKUP)]
    lines = [json.dumps(result.to_dict()) + "\n" for result in results]
    (part.path / "results" / "other-1-0-0.jsonl").write_text("".join(lines))
    (folder / "study").rename(folder / "part")
    with LiveServer(folder) as live:
        yield live


def shown_rows(page):
    """Return the rows of the table, each as a list of its entries."""
    return [
        row.locator("th, td").all_text_contents() for row in page.locator("#study-table tr").all()
    ]


def test_the_list_leads_to_a_study_with_its_table_and_curves(studied, page):
    page.goto(f"{studied.url}/#/runs")
    page.get_by_role("navigation").get_by_role("link", name="Studies").click()
    row = page.locator(".study-run", has_text="finished").filter(has_text="4 of 4 runs finished")
    expect(row).to_be_visible(timeout=PATIENCE)
    assert page.title() == "Studies – charloom"
    row.get_by_role("link", name="finished").click()
    expect(page.locator("#study-table tbody tr")).to_have_count(2, timeout=PATIENCE)
    heading, *rows = shown_rows(page)
    assert heading == ["cell", "runs", "mean bits", "deviation", "95 % interval", "seconds"]
    groups = summarize(open_study(studied.app_state.folder / "finished")).groups
    assert [row[:3] for row in rows] == [
        [group.settings["cell"], "2", f"{group.mean:.4f}"] for group in groups
    ]
    expect(page.locator("#study-chart .main-svg").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#study-chart .legendtext")).to_have_count(2, timeout=PATIENCE)
    marked = page.locator('.views [aria-current="page"]').all_text_contents()
    assert marked == ["Studies"]


def test_a_failed_run_has_its_reason_as_text(studied, page):
    without_charts(page)
    page.goto(f"{studied.url}/#/study?name=part")
    eventually(page.locator("#study-failures"), "run 1: .*seed 1 <img src=x")
    eventually(page.locator("#study-done"), "1 of 4 runs finished · 1 failed")
    expect(page.locator("#study-table tr.none")).to_have_count(1)
    assert page.title() == "Study – charloom"


def test_the_progress_moves_while_a_study_runs(studied, page, tmp_path):
    without_charts(page)
    part = shutil.copytree(studied.app_state.folder / "part", tmp_path / "part")
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/studies")
        eventually(page.locator(".study-run"), "1 of 4 runs finished")
        bar = page.locator(".study-run progress")
        assert bar.evaluate("bar => [bar.value, bar.max]") == [2, 4]
        result = RunResult(open_study(part).plan[2].key, "finished", train_nats=2.0)
        (part / "results" / "other-1-1-0.jsonl").write_text(json.dumps(result.to_dict()) + "\n")
        eventually(page.locator(".study-run"), "2 of 4 runs finished")
        assert bar.evaluate("bar => bar.value") == 3
        page.locator(".study-run .name").click()
        eventually(page.locator("#study-done"), "2 of 4 runs finished")
        result = RunResult(open_study(part).plan[3].key, "finished", train_nats=1.0)
        (part / "results" / "other-1-2-0.jsonl").write_text(json.dumps(result.to_dict()) + "\n")
        eventually(page.locator("#study-done"), "3 of 4 runs finished")
        shutil.rmtree(part)
        eventually(page.locator("#study-problem"), "there is no study .part.")


def test_the_report_opens_in_a_window_of_its_own(studied, page, context):
    without_charts(page)
    page.goto(f"{studied.url}/#/study?name=finished")
    with context.expect_page() as opened:
        page.get_by_role("link", name="Open the whole report").click(timeout=PATIENCE)
    report = opened.value
    try:
        expect(report.locator("h1")).to_have_text("finished", timeout=PATIENCE)
        # The policy of the report allows its style sheet.
        assert report.locator("h1").evaluate("e => getComputedStyle(e).fontWeight") != "400"
        assert report.locator("svg, img").count() > 0
        assert report.evaluate("window.broken ?? []") == []
    finally:
        report.close()


def test_without_studies_the_page_says_how_to_begin_one(page, tmp_path):
    with LiveServer(tmp_path / "runs") as live:
        page.goto(f"{live.url}/#/studies")
        expect(page.locator("#studies-empty")).to_contain_text(
            "charloom study sizes.toml", timeout=PATIENCE
        )
        page.goto(f"{live.url}/#/study")
        expect(page.locator("#study-none")).to_be_visible()
        page.goto(f"{live.url}/#/study?name=gone")
        eventually(page.locator("#study-problem"), "there is no study .gone.")


@pytest.mark.parametrize("view", ["studies", "study?name=finished", "study?name=part", "empty"])
def test_the_views_fit_a_phone_and_have_no_serious_axe_violations(studied, page, view, tmp_path):
    without_charts(page)
    if view == "empty":
        with LiveServer(tmp_path) as live:
            page.goto(f"{live.url}/#/studies")
            page.wait_for_selector("#studies-empty:not([hidden])")
            check_view(page)
        return
    page.goto(f"{studied.url}/#/{view}")
    page.wait_for_selector(".study-run .name" if view == "studies" else "#study-table tbody tr")
    check_view(page)


def check_view(page):
    """Check that nothing is wider than a phone, and that axe-core finds nothing in either theme."""
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(SIZE)
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
