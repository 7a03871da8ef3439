"""The page shows a run's curves, samples, figures and damaged lines. Each test loads the page."""

import itertools
import json
import re
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

import file_contents
import small_runs
from browser import NONE, chromium_path
from page.page_servers import MARKUP
from page.page_steps import eventually, slow_charts, without_charts
from page.page_window import PATIENCE
from pages import NO_VALUE
from waiting import until
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def test_a_long_run_is_drawn_with_few_points(tmp_path, page):
    small_runs.train(tmp_path / "long")
    metrics = tmp_path / "long" / "metrics.jsonl"
    last = file_contents.lines_of(metrics)[-1]
    lines = [{**last, "update": last["update"] + n, "epoch": float(2 + n)} for n in range(6_000)]
    metrics.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=long")
        crosses = page.locator("#learning-chart .points path")
        until(lambda: crosses.count() >= 20, 30)
        assert crosses.count() == 20
        curve = page.locator("#learning-chart .scatterlayer .js-line").first.get_attribute("d")
        assert len(curve) < 60_000


def test_the_curves_of_another_run_replace_those_of_the_run_before_it_without_a_pause(
    tmp_path, page
):
    slow_charts(page)
    small_runs.train(tmp_path / "often", report_every=5)
    small_runs.train(tmp_path / "rarely", report_every=30)
    with LiveServer(tmp_path) as live:
        updates = {
            key: [
                record["update"]
                for record in httpx.get(f"{live.url}/api/runs/{key}/records").json()["records"]
            ]
            for key in ("often", "rarely")
        }
        for key in ("often", "rarely", "often"):
            page.goto(f"{live.url}/#/learning?run={key}")
            drawn = json.dumps(updates[key], separators=(",", ":"))
            eventually(page.locator("#learning-chart"), f"^{re.escape(drawn)}$")


def test_a_chart_is_empty_from_the_moment_that_it_shows_something_else(trained, page):
    slow_charts(page)
    page.goto(trained.url)
    shown = page.evaluate(
        """async () => {
          const { Chart } = await import("/static/charts.js");
          const box = document.createElement("div");
          box.className = "chart";
          document.getElementById("main").append(box);
          let values = [1];
          const chart = new Chart(box, () => ({ traces: [{ x: values }], layout: {} }));
          const drawn = (text) => new Promise((done) => {
            const look = () => (box.textContent === text ? done() : requestAnimationFrame(look));
            look();
          });
          await drawn("[1]");
          values = [2];
          chart.restart();
          const between = box.textContent;
          await drawn("[2]");
          return between;
        }"""
    )
    assert shown == ""


def test_many_epochs_leave_the_curve_visible_on_a_phone(tmp_path, page):
    small_runs.train(tmp_path / "long", validation=0.2)
    metrics = tmp_path / "long" / "metrics.jsonl"
    last = file_contents.lines_of(metrics)[-1]
    lines = [{**last, "update": last["update"] + n, "epoch": float(2 + n)} for n in range(300)]
    metrics.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    page.set_viewport_size({"width": 360, "height": 740})
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=long")
        marks = page.locator("#learning-chart .points path")
        until(lambda: marks.count() >= 20, 30)
        places = marks.evaluate_all(
            "(marks) => marks.map((mark) => mark.getBoundingClientRect()).map(({ left, right }) => [left, right])"
        )
    # Only crosses are left, no dots of validation losses, and no cross touches the next one.
    assert len(places) == 20
    assert all(before[1] < after[0] for before, after in itertools.pairwise(sorted(places)))


def test_a_network_is_named_with_its_n_grams_and_pairs(tmp_path, page):
    without_charts(page)
    small_runs.train(tmp_path / "both", ngram_order=4, input_pairs=2048)
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        eventually(page.locator(".run"), "RNN 1.×.8 with 4-grams and 2,048 pairs")
        page.goto(f"{live.url}/#/learning?run=both")
        eventually(page.locator("#learning-done"), "RNN 1.×.8 with 4-grams and 2,048 pairs")
        names = page.evaluate(
            """async () => {
              const { networkOf } = await import("/static/run_summary.js");
              const run = { cell: "gru", layers: 2, hidden_size: 16, ngram_order: 0, input_pairs: 0 };
              return [run, { ...run, input_pairs: 1 }, { ...run, ngram_order: 8 }].map(networkOf);
            }"""
        )
    assert [name.replace("\xa0", " ") for name in names] == [
        "GRU 2 × 16", "GRU 2 × 16 with 1 pair", "GRU 2 × 16 with 8-grams",
    ]  # fmt: skip


def test_the_slider_shows_the_first_to_the_last_sample(trained, page):
    without_charts(page)
    page.goto(f"{trained.url}/#/learning?run=cats")
    taken = httpx.get(f"{trained.url}/api/runs/cats/samples").json()["samples"]
    eventually(page.locator("#sample-update"), f"after update {taken[-1]['update']}")
    page.focus("#sample-slider")
    page.keyboard.press("Home")
    eventually(page.locator("#sample-update"), "before the first update")
    for sample in taken:
        assert page.locator("#sample-text").text_content() == sample["text"]
        page.keyboard.press("ArrowRight")


def test_markup_that_a_model_wrote_is_shown_as_text(trained, page):
    without_charts(page)
    page.goto(f"{trained.url}/#/learning?run=gates")
    eventually(page.locator("#sample-text"), re.escape(MARKUP))
    assert page.locator("#sample-text *").count() == 0
    assert page.title() != "caught"


# What a reader of a view sees, or hears: texts, and what fields hold and say.
READ = """() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const said = [document.body.innerText];
  for (const element of document.querySelectorAll("main *")) {
    if (!element.checkVisibility()) continue;
    for (const name of ["title", "aria-label", "aria-valuetext", "placeholder"]) {
      if (element.hasAttribute(name)) said.push(element.getAttribute(name));
    }
    if (element.matches("input, textarea, select")) said.push(element.value);
    if (element.matches("select")) for (const option of element.options) said.push(option.text);
  }
  return said.join("\\n");
}"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """Return a server with a run whose journals have hand-written lines of the wrong shape."""
    folder = tmp_path_factory.mktemp("edited")
    small_runs.train(folder / "cats", validation=0.2)
    for name, line in {
        "samples.jsonl": '{"update":"x","text":["y"]}',
        "metrics.jsonl": '{"update":"many","epoch":{},"smooth_loss":"low"}',
        "events.jsonl": '{"event":null,"update":{},"learning_rate_factor":"x"}',
    }.items():
        with (folder / "cats" / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    with LiveServer(folder) as live:
        yield live


@pytest.mark.parametrize(
    ("link", "ready", "shown"),
    [
        ("runs?new=1", ".run .state", "finished"),
        ("learning?run=cats", "#learning-state", "finished"),
        ("playground?model=cats", "#play-model option:checked", "cats"),
        ("inside?model=cats", "#inside-model option:checked", "cats"),
    ],
)
@pytest.mark.parametrize("which", ["trained", "edited"])
def test_no_view_shows_nan_null_or_undefined(request, page, which, link, ready, shown):
    live = request.getfixturevalue(which)
    without_charts(page)
    page.goto(f"{live.url}/#/{link}")
    eventually(page.locator(ready).first, shown)
    if link.startswith("learning"):
        eventually(page.locator("#sample-update"), "update")
    assert not NO_VALUE.findall(page.evaluate(READ))


def test_each_figure_of_a_run_has_its_name(trained, page):
    without_charts(page)
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    run = httpx.get(f"{trained.url}/api/runs/cats", timeout=20).json()["run"]
    wanted = {
        "Bits, best validation": f"{run['best_bits']:.3f}",
        "Training loss, bits": f"{run['train_bits']:.3f}",
        "Last validation loss, bits": f"{run['validation_bits']:.3f}",
        "Smooth loss": f"{run['smooth_loss']:.2f}",
        "Learning rate": f"{run['learning_rate']:g}",
        "Time left": "–",
    }
    for name, value in wanted.items():
        figure = page.locator("#learning-figures > div", has=page.get_by_text(name, exact=True))
        eventually(figure.locator("dd"), f"^{re.escape(value)}$")


def test_the_figures_of_a_run_that_trains_are_of_the_same_update(trained, page):
    without_charts(page)
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    run = httpx.get(f"{trained.url}/api/runs/cats", timeout=20).json()["run"]
    shown = page.evaluate(
        """async (run) => {
          const { atOneMoment, moments } = await import("/static/learning.js");
          const record = (update, validation_nats) => (
            { update, validation_nats, smooth_loss: update + 0.5, learning_rate: update / 1e3, gradient_norm: update });
          const records = [record(40, 1.5), record(60, 1.6), record(70, null)];
          return ["training", "paused"].map((state) => {
            const figures = atOneMoment({ ...run, state, update: 76, best: 40 }, records.at(-1));
            const { update, smooth_loss, learning_rate, gradient_norm } = figures;
            return [[update, smooth_loss, learning_rate, gradient_norm], moments(figures, records)];
          });
        }""",
        run,
    )
    earlier = "Last validation loss after update 60. Best validation loss after update 40."
    paused = [76, run["smooth_loss"], run["learning_rate"], 70]
    assert shown == [
        [[70, 70.5, 0.07, 70], f"Figures after update 70. {earlier}"],
        [paused, f"Figures after update 76. {earlier}"],
    ]


def test_validation_bits_on_a_part_of_the_validation_part_are_marked(tmp_path, trained, page):
    without_charts(page)
    small_runs.train(tmp_path / "part", validation=0.2, judged_characters=64)
    with LiveServer(tmp_path) as live:
        run = httpx.get(f"{live.url}/api/runs/part", timeout=20).json()["run"]
        assert run["judged_characters"] == 64 < run["held_out"]
        page.goto(f"{live.url}/#/learning?run=part")
        label = (
            "The validation loss is computed on 64 characters, spread evenly over the "
            f"{run['held_out']:,} characters of the validation part."
        )
        eventually(page.locator("#learning-judged"), label)
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#learning-judged")).to_be_empty()


def test_unreadable_lines_are_reported_with_the_run(edited, page):
    without_charts(page)
    page.goto(f"{edited.url}/#/learning?run=cats")
    left_out = r"is damaged: 1 of \d+ lines cannot be read and is left out\."
    pattern = rf"^\S*cats/metrics\.jsonl {left_out} \S*cats/events\.jsonl {left_out}$"
    eventually(page.locator("#learning-reason"), pattern)


def test_as_many_runs_as_can_be_followed_are_compared_in_one_chart(tmp_path, trained, page):
    for n in range(8):
        shutil.copytree(trained.app_state.folder / "cats", tmp_path / f"cats-{n}")
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        expect(page.locator(".run input")).to_have_count(8)
        boxes = "[...document.querySelectorAll('.run input')]"
        page.evaluate(f"{boxes}.forEach((box) => box.click())")
        eventually(page.locator("#toast"), "At most 7 runs")
        assert page.evaluate(f"{boxes}.map((box) => box.checked)") == 7 * [True] + [False]
        curves = page.locator("#compare-chart .scatterlayer .js-line")
        expect(curves).to_have_count(7, timeout=PATIENCE)
        names = page.locator("#compare-chart .legendtext").all_text_contents()
        assert names == page.locator(".run .name").all_text_contents()[:7]


def test_a_chart_is_drawn_again_after_an_error(trained, page):
    page.goto(trained.url)
    page.evaluate(
        """async () => {
          const { Chart } = await import("/static/charts.js");
          const box = document.createElement("div");
          box.className = "chart";
          box.id = "frail";
          document.getElementById("main").append(box);
          let times = 0;
          const chart = new Chart(box, () => {
            times += 1;
            if (times === 1) throw new Error("planted");
            return "drawn";
          });
          addEventListener("unhandledrejection", () => chart.again());
        }"""
    )
    eventually(page.locator("#frail"), "^drawn$")
    assert page.thrown == ["planted"]
    page.thrown.clear()


def test_only_journals_of_followed_runs_and_a_few_others_are_kept(trained, page):
    page.goto(trained.url)
    kept = page.evaluate(
        """async () => {
          const { Journals } = await import("/static/journal.js");
          const told = {};
          const live = { mostFollowed: 8, followed: ["run-0"], on: (name, listener) => (told[name] = listener) };
          const journals = new Journals(live);
          for (let n = 0; n < 30; n += 1) told.records({ run: `run-${n}`, fresh: true, records: [{ update: n }] });
          return [...journals.kept.keys()];
        }"""
    )
    assert len(kept) == 8
    assert {"run-0", "run-29"} <= set(kept)


def test_the_first_selected_run_shows_the_way_to_the_chart_below_a_long_list(
    tmp_path, trained, page
):
    without_charts(page)
    for n in range(24):
        shutil.copytree(trained.app_state.folder / "cats", tmp_path / f"cats-{n:02d}")
    page.set_viewport_size({"width": 390, "height": 844})
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        expect(page.locator(".run input")).to_have_count(24)
        bar, title = page.locator("#compare-bar"), page.locator("#title-comparison")
        expect(bar).to_be_hidden()
        page.locator(".run input").first.check()
        expect(title).not_to_be_in_viewport()
        expect(bar).to_be_in_viewport()
        eventually(page.locator("#compare-count"), "^1 run selected$")
        page.click("#compare-go")
        expect(title).to_be_in_viewport()
        expect(title).to_be_focused()
        expect(bar).to_be_hidden()


def test_the_comparison_stays_in_view_while_runs_are_ticked(tmp_path, trained, page):
    for n in range(24):
        shutil.copytree(trained.app_state.folder / "cats", tmp_path / f"cats-{n:02d}")
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        boxes = page.locator(".run input")
        curves = page.locator("#compare-chart .scatterlayer .js-line")
        expect(boxes).to_have_count(24)
        for count, n in enumerate((0, 1, 20), start=1):
            before = boxes.nth(n).bounding_box()["y"] + page.evaluate("scrollY")
            boxes.nth(n).check()
            expect(curves).to_have_count(count, timeout=PATIENCE)
            expect(page.locator("#comparison")).to_be_in_viewport(ratio=0.99)
            assert boxes.nth(n).bounding_box()["y"] + page.evaluate("scrollY") == before
        expect(page.locator("#compare-bar")).to_be_hidden()
        # The chart does not cover the row that gets the keyboard focus.
        for n in range(4, 24):
            boxes.nth(n).focus()
            top = page.locator("#comparison").bounding_box()["y"]
            assert boxes.nth(n).bounding_box()["y"] + 16 <= top


# The words of the list that the browser breaks although a line has space for 14 characters.
BROKEN_WORDS = """() => [...document.querySelectorAll(".run .name, .run .aside, .run .state")].flatMap((box) => {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  const broken = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const { 0: word, index } of node.data.matchAll(/[^\\s-]+/g)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const lines = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
      if (lines.size > 1 && word.length <= 14) broken.push(word);
    }
  }
  return broken;
})"""


def test_the_list_breaks_no_short_word_on_a_phone(tmp_path, page):
    without_charts(page)
    corpus = small_runs.small_corpus("mybook-38022e9fe.txt")
    small_runs.train(tmp_path / "mybook-38022e9fe", corpus, halt=small_runs.after(3))
    page.set_viewport_size({"width": 360, "height": 740})
    with LiveServer(tmp_path) as live:
        page.goto(live.url)
        eventually(page.locator(".run .state"), "interrupted")
        assert page.evaluate(BROKEN_WORDS) == []
