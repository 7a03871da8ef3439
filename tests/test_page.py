"""The page in a real browser: what a user does with it, from dropping a text to looking at a unit.

Every test fails, too, where the page's own code throws or breaks the content policy. Each takes a second
or more, for a browser must load the page; a few start trainings as well, each a process of its own.
"""

import contextlib
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import resources

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect
from typer.testing import CliRunner

import charloom
import runs
from browser import NONE, chromium, chromium_path
from charloom.cli import app
from charloom.messages import quoted
from charloom.store import load_model
from charloom.web import training_jobs
from pages import NO_VALUE
from runs import linked, until
from web import Live, events_of

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

TEXT = 30 * runs.TEXT
MARKUP = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
SLOW = {"recipe": "classic", "settings": {"cell": "lstm", "hidden_size": 100, "epochs": 10_000}}
SIZE = {"width": 1280, "height": 900}
PATIENCE = 30_000  # milliseconds; machines may be busy

# Before anything of the page runs: what breaks the content policy, and how far things jump.
WATCH = """
window.broken = [];
window.jumps = [];
addEventListener("securitypolicyviolation", (event) => {
  // plotly.js brings a style of its maps, which are not used; it is refused, as it should be.
  if (!event.sourceFile.endsWith("plotly.min.js")) broken.push(`${event.violatedDirective} ${event.sourceFile}`);
});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) jumps.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
# Drops a file as a user would, wherever the page listens for it.
DROP = """({ name, text }) => {
  const held = new DataTransfer();
  const content = typeof text === "string" ? text : new Uint8Array(text);
  held.items.add(new File([content], name, { type: "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: held }));
  }
}"""
# Where character n of the painted text in a box is, in the window.
PLACE = """(box, n) => {
  const walker = document.createTreeWalker(box.querySelector(".letters"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (n < node.length) {
      const range = document.createRange();
      range.setStart(node, n);
      range.setEnd(node, n + 1);
      const { left, right, top, bottom } = range.getBoundingClientRect();
      return [(left + right) / 2, (top + bottom) / 2];
    }
    n -= node.length;
  }
}"""
# Selects characters of the painted text, from one to before another.
SELECT = """(letters, [start, end]) => {
  const at = (n) => {
    for (const { firstChild: node } of letters.children) {
      if (n <= node.length) return [node, n];
      n -= node.length;
    }
  };
  getSelection().setBaseAndExtent(...at(start), ...at(end));
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser):
    with browser.new_context(
        viewport=SIZE, permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        yield context


# Says to the page that it is seen, or not.
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def window(context):
    """A page that all tests use, one after another: a new one costs a process."""
    page = context.new_page()
    page.thrown = []
    page.on("pageerror", lambda error: page.thrown.append(str(error)))
    return page


@contextmanager
def watched(page):
    """The page, empty at first, which must neither throw nor break the content policy."""
    page.goto("about:blank")
    page.thrown.clear()
    yield page
    broken = page.evaluate("window.broken ?? []")
    page.unroute_all()
    page.set_viewport_size(SIZE)
    page.emulate_media(color_scheme="light")
    page.goto("about:blank")
    assert page.thrown == []
    assert broken == []


@pytest.fixture
def page(window):
    with watched(window) as page:
        yield page


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A server of a folder with two finished runs; tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    runs.train(folder / "cats", validation=0.2)
    runs.train(folder / "gates", cell="lstm", hidden_size=12, seed=3)
    samples = folder / "gates" / "samples.jsonl"
    line = json.dumps({"text": MARKUP, "update": 99_999}, separators=(",", ":"))
    samples.write_text(samples.read_text() + line + "\n")
    with Live(folder) as live:
        yield live


class Training:
    """A server of a folder with a finished run, and one training there that several tests steer.

    Attributes:
        live: the server.
        key: the run of the training; None until there is one.
    """

    def __init__(self, folder):
        self.folder = folder
        self.live = Live(folder)
        self.key = None

    def get(self, path):
        """An answer of the server."""
        return httpx.get(f"{self.live.url}{path}", timeout=20).json()

    def send(self, command):
        """Steer it."""
        sent = {"command": command}
        httpx.post(f"{self.live.url}/api/runs/{self.key}/control", json=sent, timeout=20)

    def state(self):
        """The state of it, as the server knows it."""
        return self.get(f"/api/runs/{self.key}")["run"]["state"]

    def going(self):
        """The key of it, once it trains; it goes on until it is stopped."""
        if self.key is None:
            with httpx.Client(base_url=self.live.url, timeout=20) as client:
                text = {"name": "cat.txt", "text": TEXT}
                asked = {"text": client.post("/api/texts", json=text).json()["key"], **SLOW}
                self.key = client.post("/api/runs", json=asked).json()["run"]
        until(lambda: self.state() == "training", 30)
        return self.key

    def stop(self):
        """Stop it, and wait until it is; one that starts hears of it when it can."""
        if self.key is not None:
            until(lambda: self.send("stop") or self.state() in ("stopped", "finished"), 30)
            self.key = None


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    runs.train(folder / "cats")
    training = Training(folder)
    training.live.__enter__()  # not with: a test closes it and opens another one
    yield training
    training.stop()
    training.live.__exit__()


def without_charts(page):
    """Spare the page plotly.js, which takes most of the time, where no chart is looked at."""
    page.route("**/plotly.min.js", lambda route: route.abort())


def eventually(locator, pattern):
    """Wait until an element has a text."""
    expect(locator).to_have_text(re.compile(pattern, re.DOTALL), timeout=PATIENCE)


def write(page, length=60, prompt="the "):
    """Let the playground's model write; what it wrote with its prompt."""
    page.fill("#play-prompt", prompt)
    page.fill("#play-length", str(length))
    page.click("#play-go")
    for note in page.locator(".output > .aside").all():
        eventually(note, "characters in")
    return page.locator(".output .letters").first.text_content()


def answered(live, asked):
    """The events of a writing: pairs of name and data."""
    answer = httpx.post(f"{live.url}/api/generate", json=asked, timeout=20).text
    return list(events_of(answer.splitlines()))


# Runs and learning


def test_a_dropped_file_is_trained_and_its_curve_moves(training, page):
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


def test_a_run_that_is_not_there_is_not_steered_until_it_is(training, page):
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run=cats")
    expect(page.locator("#learning-steering >> text=Train further")).to_be_visible()
    page.evaluate("location.hash = '#/learning?run=late'")
    reason = page.locator("#learning-reason")
    eventually(reason, "^There is no run late here; choose another one above.$")
    for part in ("#learning-steering", "#learning-state", "#learning-body"):
        expect(page.locator(part)).to_be_hidden()
    runs.train(training.folder / "late")
    eventually(page.locator("#learning-state"), "^finished$")
    expect(reason).to_be_empty()
    expect(page.locator("#learning-steering >> text=Train further")).to_be_visible()


def test_a_finished_run_trains_further(tmp_path, page):
    without_charts(page)
    runs.train(tmp_path / "cats")
    before = load_model(tmp_path / "cats").update
    with Live(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=cats")
        page.get_by_label("More minutes").fill("0.1")
        page.click("#learning-steering >> text=Train further")
        until(lambda: load_model(tmp_path / "cats").update > before, 90)
        expect(page.locator("#learning-state")).to_have_text("finished", timeout=4 * PATIENCE)


def test_a_run_that_another_process_trains_appears_by_itself(tmp_path, page):
    text = tmp_path / "cat.txt"
    text.write_text(TEXT)
    folder = tmp_path / "runs"
    with Live(folder) as live:
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


def test_pausing_going_on_and_changing_the_learning_rate(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    state = page.locator("#learning-state")
    eventually(state, "training")
    page.click("#learning-steering >> text=Pause")
    eventually(state, "paused")
    page.click("#learning-steering >> text=Resume")
    eventually(state, "training")
    page.fill("#learning-steering .rate", "0.5")
    page.click("#learning-steering >> text=Set")
    rate = page.locator("#learning-figures div", has_text="Learning rate").locator("dd")
    eventually(rate, r"^0\.05$")

    # What went wrong is forgotten once the run is in another state, whoever brought it there.
    refused = {"error": {"message": "not now"}}
    page.route("**/control", lambda route: route.fulfill(status=409, json=refused))
    page.click("#learning-steering >> text=Pause")
    reason = page.locator("#learning-reason")
    eventually(reason, "not now")
    training.send("pause")
    eventually(state, "paused")
    expect(reason).to_be_empty()
    page.unroute("**/control")
    page.click("#learning-steering >> text=Stop")
    eventually(state, "stopped")
    training.key = None


def test_a_run_is_pausing_from_the_command_to_its_effect(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    state = page.locator("#learning-state")
    eventually(state, "training")
    sent = []

    def swallow(route):
        """Answer as the server does, but do not let the run see the command."""
        sent.append(route.request.post_data_json)
        route.fulfill(json={"sequence": 1, "learning_rate_factor": None, **sent[-1]})

    page.route("**/control", swallow)
    page.click("#learning-steering >> text=Pause")
    eventually(state, "^pausing$")
    # A new learning rate must not cancel the pause.
    page.fill("#learning-steering .rate", "0.5")
    page.click("#learning-steering >> text=Set")
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
    page.click("#learning-steering >> text=Resume")
    eventually(state, "^training$")


def test_a_server_that_starts_again_finds_the_training(training, page):
    key = training.going()
    without_charts(page)
    page.goto(f"{training.live.url}/#/learning?run={key}")
    eventually(page.locator("#learning-state"), "training")
    port = training.live.port
    training.live.__exit__()
    expect(page.locator("#gone")).to_be_visible(timeout=PATIENCE)
    training.live = Live(training.folder, port).__enter__()
    expect(page.locator("#gone")).to_be_hidden(timeout=PATIENCE)
    eventually(page.locator("#learning-state"), "training")
    done = page.locator("#learning-done")
    before = done.text_content()
    until(lambda: done.text_content() != before, 30)


def test_a_long_run_is_drawn_in_as_much_as_can_be_seen(tmp_path, page):
    runs.train(tmp_path / "long")
    metrics = tmp_path / "long" / "metrics.jsonl"
    last = runs.lines_of(metrics)[-1]
    lines = [{**last, "update": last["update"] + n, "epoch": float(2 + n)} for n in range(6_000)]
    metrics.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    with Live(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=long")
        crosses = page.locator("#learning-chart .points path")
        until(lambda: crosses.count() >= 100, 30)
        assert crosses.count() == 150
        curve = page.locator("#learning-chart .scatterlayer .js-line").first.get_attribute("d")
        assert len(curve) < 60_000


def test_samples_are_scrubbed_from_the_first_to_the_last(trained, page):
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


def test_what_a_model_wrote_is_shown_as_text_whatever_it_is(trained, page):
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
    """A server of a folder with a run in whose journals somebody wrote lines of the wrong shape."""
    folder = tmp_path_factory.mktemp("edited")
    runs.train(folder / "cats", validation=0.2)
    for name, line in {
        "samples.jsonl": '{"update":"x","text":["y"]}',
        "metrics.jsonl": '{"update":"many","epoch":{},"smooth_loss":"low"}',
        "events.jsonl": '{"event":null,"update":{},"learning_rate_factor":"x"}',
    }.items():
        with (folder / "cats" / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    with Live(folder) as live:
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
def test_no_view_shows_what_is_not_a_value(request, page, which, link, ready, shown):
    live = request.getfixturevalue(which)
    without_charts(page)
    page.goto(f"{live.url}/#/{link}")
    eventually(page.locator(ready).first, shown)
    if link.startswith("learning"):
        eventually(page.locator("#sample-update"), "update")
    assert not NO_VALUE.findall(page.evaluate(READ))


def test_each_figure_of_a_run_stands_under_its_name(trained, page):
    without_charts(page)
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    told = httpx.get(f"{trained.url}/api/runs/cats", timeout=20).json()["run"]
    wanted = {
        "Bits per character": f"{told['bits']:.3f}",
        "Training bits": f"{told['train_bits']:.3f}",
        "Validation bits": f"{told['validation_bits']:.3f}",
        "Smooth loss": f"{told['smooth_loss']:.2f}",
        "Learning rate": f"{told['learning_rate']:g}",
        "Time left": "–",
    }
    for name, value in wanted.items():
        figure = page.locator("#learning-figures > div", has=page.get_by_text(name, exact=True))
        eventually(figure.locator("dd"), f"^{re.escape(value)}$")


def test_validation_bits_of_a_part_of_what_was_held_out_say_so(tmp_path, trained, page):
    without_charts(page)
    runs.train(tmp_path / "part", validation=0.2, judged_characters=64)
    with Live(tmp_path) as live:
        told = httpx.get(f"{live.url}/api/runs/part", timeout=20).json()["run"]
        assert told["judged_characters"] == 64 < told["held_out"]
        page.goto(f"{live.url}/#/learning?run=part")
        said = (
            "Validation bits are computed on 64 characters, spread evenly over the "
            f"{told['held_out']:,} characters of the validation part."
        )
        eventually(page.locator("#learning-judged"), said)
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#learning-judged")).to_be_empty()


def test_lines_that_cannot_be_read_are_told_with_the_run(edited, page):
    without_charts(page)
    page.goto(f"{edited.url}/#/learning?run=cats")
    said = "metrics.jsonl is damaged: one line left out; events.jsonl is damaged: one line left out"
    eventually(page.locator("#learning-reason"), f"^{said}$")


def test_runs_are_compared_in_one_chart_as_many_as_can_be_followed(tmp_path, trained, page):
    for n in range(8):
        shutil.copytree(trained.house.folder / "cats", tmp_path / f"cats-{n}")
    with Live(tmp_path) as live:
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


def test_what_a_chart_is_of_may_fail_once(trained, page):
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


def test_journals_are_kept_of_what_is_followed_and_of_little_else(trained, page):
    page.goto(trained.url)
    kept = page.evaluate(
        """async () => {
          const { Journals } = await import("/static/journal.js");
          const told = {};
          const live = { followed: ["run-0"], on: (name, listener) => (told[name] = listener) };
          const journals = new Journals(live);
          for (let n = 0; n < 30; n += 1) told.records({ run: `run-${n}`, fresh: true, records: [{ update: n }] });
          return [...journals.kept.keys()];
        }"""
    )
    assert len(kept) == 8
    assert {"run-0", "run-29"} <= set(kept)


def test_the_list_of_texts_read_last_counts(trained, page):
    held = []
    page.route(
        re.compile("/api/texts"),
        lambda route: (
            held.append(route)
            if route.request.method == "GET" and not held
            else route.fulfill(
                json={"key": "mine", "name": "mine", "characters": 9}
                if route.request.method == "POST"
                else {"texts": [text("first", "builtin"), text("mine", "uploaded")]}
            )
        ),
    )

    def text(key, kind):
        return {"key": key, "name": key, "kind": kind, "bytes": 9, "description": None}

    page.goto(f"{trained.url}/#/runs?new")
    until(lambda: page.evaluate("1") and held)
    page.evaluate(DROP, {"name": "mine.txt", "text": "nine here"})
    chosen = page.locator("#start-text option:checked")
    eventually(chosen, "mine")
    with page.expect_response(re.compile("/api/texts")):
        held[0].fulfill(json={"texts": [text("first", "builtin")]})
    page.evaluate("new Promise((done) => setTimeout(done))")
    eventually(chosen, "mine")


def test_a_text_that_nothing_can_be_learnt_from_is_told_at_once(trained, page):
    page.goto(trained.url)
    for text, told in ("", "is empty"), ("aaaa", "repeats a single character"):
        page.evaluate(DROP, {"name": "one.txt", "text": text})
        eventually(page.locator("#start-problem"), f"one.txt {told}")


def test_a_file_that_is_too_large_is_not_sent(trained, page):
    about = httpx.get(f"{trained.url}/api/about").json()
    about["limits"]["upload"] = 1_500
    page.route("**/api/about", lambda route: route.fulfill(json=about))
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.evaluate(DROP, {"name": "lines.txt", "text": 1_501 * "\n"})
    eventually(page.locator("#start-problem"), "lines.txt has 2 KB; a page can upload at most")
    assert "POST" not in sent


def test_a_file_that_is_not_utf8_is_refused_with_the_place(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.evaluate(DROP, {"name": "old ä.txt", "text": [97, 98, 0xE4, 99]})
    problem = "old ä.txt is not UTF-8: byte 0xe4 at offset 2; save it as UTF-8 text"
    eventually(page.locator("#start-problem"), problem)


def test_the_page_writes_a_name_for_a_shell_as_the_command_line_does(trained, page):
    page.goto(trained.url)
    names = [
        "book.txt",
        "my book.txt",
        "it's",
        "-rf",
        "-",
        "$HOME",
        "-we ird\n",
        "\x1b7\\'ß",
        "ß\x7f7",
    ]
    words = page.evaluate(
        """async (names) => {
          const { shellWord } = await import("/static/dom.js");
          return names.map(shellWord);
        }""",
        names,
    )
    assert [shlex.split(word) for word in words[:6]] == [shlex.split(quoted(n)) for n in names[:6]]
    done = [subprocess.run(["bash", "-c", f"printf %s {w}"], capture_output=True, text=True, check=True)
            for w in words[6:]]  # fmt: skip
    assert [one.stdout for one in done] == ["./-we ird\n", *names[7:]]


# The server, as the page knows it


def test_a_page_that_nobody_sees_gives_its_connection_back(trained, page):
    page.goto(trained.url)
    page.wait_for_selector(".run")
    watchers = trained.house.watchers
    until(lambda: watchers.count == 1)
    page.evaluate(SEEN, False)
    until(lambda: watchers.count == 0)
    page.evaluate("location.hash = '#/learning?run=cats'")
    without_charts(page)
    page.evaluate(SEEN, True)
    until(lambda: watchers.count == 1)
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#gone")).to_be_hidden()


def test_eight_windows_of_one_browser_are_all_live_and_can_still_ask(training, context, page):
    key = training.going()
    with contextlib.ExitStack() as opened:
        windows = [page]
        for _ in range(7):
            windows.append(context.new_page())
            opened.callback(windows[-1].close)
        for window in windows:
            window.goto(f"{training.live.url}/#/learning?run={key}")
            without_charts(window)
        for window in windows:
            done = window.locator("#learning-done")
            expect(done).to_contain_text("update", timeout=PATIENCE)
            before = done.text_content()
            expect(done).not_to_have_text(before, timeout=PATIENCE)
        # One stream for all of them, and so the others can ask.
        assert training.live.house.watchers.count == 1
        windows[-1].get_by_role("button", name="Pause").first.click()
        for window in windows:
            expect(window.locator("#learning-state")).to_have_text("paused", timeout=PATIENCE)


def test_windows_that_follow_more_runs_than_one_stream_carries_have_several(
    tmp_path, context, page
):
    for n in range(12):
        runs.train(tmp_path / f"run-{n:02d}", epochs=1)
    with Live(tmp_path) as live, contextlib.ExitStack() as opened:
        windows = [page]
        for _ in range(11):
            windows.append(context.new_page())
            opened.callback(windows[-1].close)
        for n, window in enumerate(windows):
            window.goto(f"{live.url}/#/learning?run=run-{n:02d}")
        for window in windows:
            expect(window.locator("#sample-hint")).to_contain_text("samples", timeout=PATIENCE)
        assert live.house.watchers.count == 2


def test_a_browser_without_shared_workers_has_a_stream_for_each_window(trained, page):
    page.add_init_script("delete globalThis.SharedWorker")
    page.goto(f"{trained.url}/#/learning?run=cats")
    eventually(page.locator("#learning-state"), "finished")
    expect(page.locator("#sample-hint")).to_contain_text("samples")


def test_a_list_of_more_runs_than_one_page_is_shown_as_it_is_scrolled(tmp_path, page):
    runs.train(tmp_path / "one", epochs=1)
    linked(tmp_path / "one", tmp_path, 449)
    with Live(tmp_path) as live:
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
        runs.train(tmp_path / "latest", epochs=1)
        expect(rows.first).to_contain_text("latest", timeout=PATIENCE)
        expect(rows).to_have_count(451)
        shutil.rmtree(tmp_path / "latest")
        expect(rows).to_have_count(450, timeout=PATIENCE)


def test_a_server_that_refuses_the_stream_still_answers(tmp_path, page):
    runs.train(tmp_path / "cats")
    with Live(tmp_path) as live:
        most, live.house.watchers.most = live.house.watchers.most, 0
        page.goto(live.url)
        eventually(page.locator(".run .state"), "finished")
        expect(page.locator("#crowded")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#gone")).to_be_hidden()
        live.house.watchers.most = most
        expect(page.locator("#crowded")).to_be_hidden(timeout=PATIENCE)


def test_a_start_that_came_to_nothing_is_taken_off_the_list(tmp_path, page, monkeypatch):
    failing, spawn = (
        [sys.executable, "-c", "raise SystemExit('the disk is full')"],
        training_jobs.spawn,
    )
    monkeypatch.setattr(training_jobs, "spawn", lambda command, said: spawn(failing, said))
    with Live(tmp_path) as live:
        started = httpx.post(f"{live.url}/api/runs", json={"text": "builtin.python-docs"})
        assert started.status_code == 202
        page.goto(f"{live.url}/#/runs")
        eventually(page.locator(".run .problem"), "^the disk is full$")
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#runs-empty")).to_be_visible()
        assert httpx.get(f"{live.url}/api/runs").json()["runs"] == []


def test_a_model_file_is_listed_when_one_comes_back(tmp_path, page):
    runs.train(tmp_path / "cats")
    with Live(tmp_path) as live:
        page.goto(f"{live.url}/#/playground")
        models = page.locator("#play-model option")
        expect(models).not_to_have_count(0)
        charloom.load(tmp_path / "cats").save(tmp_path / "own.safetensors")
        page.evaluate("dispatchEvent(new Event('focus'))")
        until(lambda: any("own" in name for name in models.all_text_contents()))


def test_the_options_of_an_open_select_stay_until_it_is_left(trained, page):
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


# The playground


def test_writing_streams_stops_and_tells_probabilities(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats&length=100000")
    letters = page.locator(".output .letters")
    page.click("#play-go")
    until(lambda: len(letters.text_content()) > 100, 30)
    assert page.locator("#play-stop").is_enabled()
    page.keyboard.press("Escape")
    eventually(page.locator(".output > .aside"), "stopped after")
    length = len(letters.text_content())
    assert 100 < length < 100_000
    page.wait_for_timeout(200)
    assert len(letters.text_content()) == length
    until(lambda: httpx.get(f"{trained.url}/api/health").json()["writing"] == 0)

    text = write(page)
    asked = {"model": "cats", "prompt": "the ", "length": 60, "temperature": 0.8, "seed": 1}
    nats = [
        nats
        for name, data in answered(trained, {**asked, "probabilities": True})
        if name == "text"
        for nats in data["analysis"]["nats"]
    ]
    mean = sum(nats) / len(nats) / math.log(2)  # of what it wrote, not of what it was given
    eventually(page.locator(".output > .aside"), f", {mean:.2f} bits of surprise per character$")
    sheet = page.locator(".output .sheet")
    x, y = sheet.evaluate(PLACE, 9)
    page.mouse.move(x, y)
    thought = page.locator("#play-thought")
    expect(thought.locator("li")).to_have_count(5)
    likely = httpx.post(
        f"{trained.url}/api/next", json={"model": "cats", "text": text[:10]}
    ).json()["likely"]
    shown = [b.replace("␣", " ") for b in thought.locator("li b").all_text_contents()]
    assert shown == [symbol for symbol, _ in likely]
    eventually(thought.locator(".number").first, f"^{100 * likely[0][1]:.1f} %")
    sheet.focus()
    page.keyboard.press("ArrowRight")
    eventually(thought.locator(".letter"), re.escape(text[10].replace(" ", "␣")))


def test_surprise_colours_the_text_and_nothing_jumps_while_it_comes(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats")
    page.wait_for_selector(".output")
    page.wait_for_timeout(700)  # what the browser calls recent input must be over
    page.evaluate("jumps.length = 0")
    write(page, 2_000)
    page.wait_for_timeout(700)
    assert sum(page.evaluate("jumps")) < 0.01
    hot = page.locator(".output .hot").first
    plain = hot.evaluate("(span) => getComputedStyle(span).backgroundColor")
    page.check("#play-colour")
    assert hot.evaluate("(span) => getComputedStyle(span).backgroundColor") != plain


def test_two_models_write_side_by_side_from_one_seed(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats&other=gates&seed=5")
    expect(page.locator(".output")).to_have_count(2)
    write(page)
    for side, model in enumerate(("cats", "gates")):
        asked = {"model": model, "prompt": "the ", "length": 60, "temperature": 0.8, "seed": 5}
        events = answered(trained, asked)
        text = "".join(data["text"] for name, data in events if name == "text")
        assert page.locator(".output .letters").nth(side).text_content() == "the " + text


def test_the_playground_writes_what_sample_writes(trained, page):
    page.goto(
        f"{trained.url}/#/playground?model=cats@best&temperature=0.7&top-k=9&top-p=0.9&seed=11"
    )
    text = write(page, 300)
    options = [
        "--which",
        "best",
        "--length",
        "300",
        "--temperature",
        "0.7",
        "--top-k",
        "9",
        "--top-p",
        "0.9",
        "--seed",
        "11",
        "--json",
    ]
    run = str(trained.house.folder / "cats")
    done = CliRunner().invoke(app, ["sample", run, "--prompt", "the ", *options])
    assert done.exit_code == 0, done.output
    assert text == "the " + json.loads(done.stdout)["samples"][0]["text"]
    page.click("#play-copy")
    eventually(page.locator("#toast"), "Text copied")
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_a_link_restores_the_settings_and_starts_nothing(trained, page, context):
    page.goto(f"{trained.url}/#/playground?model=gates")
    page.fill("#play-prompt", "a <b> & c\n")
    page.fill("#play-temperature", "1.3")
    page.click("#play-link")
    link = page.evaluate("navigator.clipboard.readText()")
    other = context.new_page()
    sent = []
    other.on("request", lambda request: sent.append(request.method))
    other.goto(link)
    expect(other.locator("#play-prompt")).to_have_value("a <b> & c\n")
    expect(other.locator("#play-temperature")).to_have_value("1.3")
    expect(other.locator("#play-model")).to_have_value("gates")
    other.wait_for_timeout(300)
    other.close()
    assert "POST" not in sent


def test_a_link_sets_what_it_does_not_name_and_going_back_undoes_nothing(trained, page):
    page.goto(
        f"{trained.url}/#/playground?model=gates&other=cats&colour=1&temperature=1.5&length=40"
    )
    expect(page.locator(".output")).to_have_count(2)
    assert page.is_checked("#play-colour")
    link = "#/playground?model=cats&length=50"
    page.evaluate("(link) => (location.hash = link)", link)
    expect(page.locator("#play-other")).to_have_value("")
    assert not page.is_checked("#play-colour")
    expect(page.locator("#play-temperature")).to_have_value("0.8")
    expect(page.locator("#play-length")).to_have_value("50")
    text = write(page)
    page.click(".views >> text=Runs")
    page.go_back()
    expect(page.locator("#view-playground")).to_be_visible()
    expect(page.locator("#play-length")).to_have_value("60")
    assert page.locator(".output .letters").text_content() == text
    page.click(".views >> text=Runs")
    page.evaluate("(link) => (location.hash = link)", link)
    expect(page.locator("#play-length")).to_have_value("50")
    page.click(".views >> text=Runs")
    page.click(".views >> text=Playground")
    expect(page.locator("#play-length")).to_have_value("50")


def test_characters_that_a_model_does_not_know_are_named_and_can_be_left_out(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats")
    page.fill("#play-prompt", "the ☃")
    page.click("#play-go")
    eventually(page.locator("#play-problem"), "never read: '☃'")
    page.click("#play-problem button")
    eventually(page.locator(".output > .aside"), "characters in")
    expect(page.locator("#play-problem")).to_be_empty()


# Inside


def test_a_text_is_coloured_by_a_unit_that_was_found(trained, page, context):
    page.goto(f"{trained.url}/#/inside?model=gates")
    page.fill("#inside-text", runs.TEXT[:400])
    page.click("#inside-go")
    box = page.locator("#inside-painted")
    eventually(box.locator(".letters"), "^" + re.escape(runs.TEXT[:400]) + "$")
    assert box.locator(".hot, .cold").count() > 3
    eventually(page.locator("#map-size"), "12 units × 400 characters")
    page.fill("#find-pattern", "cat")
    page.click("#find-go")
    found = page.locator(".property", has_text="pattern").locator("button").first
    _, unit, what = found.get_attribute("data-unit").split()
    found.click()
    expect(page.locator("#inside-unit")).to_have_value(unit)
    expect(page.locator("#inside-what")).to_have_value(what)
    eventually(page.locator("#inside-readout"), f"unit {unit}, {what}, after update .*: from")
    asked = {"model": "gates", "text": runs.TEXT[:400], "unit": int(unit), "what": what}
    told = httpx.post(f"{trained.url}/api/inside/unit", json=asked).json()
    box.focus()
    page.keyboard.press("Home")
    eventually(page.locator("#inside-readout"), f"{told['values'][0]:.3f}$".replace("-", "−"))

    row = page.locator("#map").bounding_box()["height"] / 12
    page.click("#map", position={"x": 20, "y": 7.5 * row})
    expect(page.locator("#inside-unit")).to_have_value("7")
    page.click("#inside-link")
    other = context.new_page()
    other.goto(page.evaluate("navigator.clipboard.readText()"))
    eventually(other.locator("#inside-readout"), "unit 7")
    other.close()


def test_what_is_marked_shows_and_is_looked_for(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.fill("#inside-text", runs.TEXT[:200])
    page.click("#inside-go")
    letters = page.locator("#inside-painted .letters")
    eventually(letters, "^the ")
    letters.evaluate(SELECT, [10, 18])
    page.click("#find-mark")
    page.focus("#inside-painted")
    for key in ("Home", *60 * ["ArrowRight"], *7 * ["Shift+ArrowRight"]):
        page.keyboard.press(key)
    page.click("#find-mark")
    marked = "".join(letters.locator(".marked").all_text_contents())
    assert marked == runs.TEXT[10:18] + runs.TEXT[60:68]
    eventually(letters, f"^{re.escape(runs.TEXT[:200])}$")
    with page.expect_request("**/api/inside/ranking") as sent:
        page.click("#find-go")
    assert sent.value.post_data_json["marks"] == [[10, 18], [60, 68]]
    expect(page.locator(".property", has_text="marked").locator("button")).not_to_have_count(0)

    # Marks are of the text that is seen: another one is looked at first, and has none.
    page.fill("#inside-text", runs.TEXT[40:200])
    with page.expect_request("**/api/inside/ranking") as sent:
        page.click("#find-go")
    assert "marks" not in sent.value.post_data_json
    eventually(letters, f"^{re.escape(runs.TEXT[40:200])}$")
    expect(letters.locator(".marked")).to_have_count(0)
    expect(page.locator("#find-unmark")).to_be_disabled()


def test_a_text_that_is_coloured_again_keeps_what_was_selected(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats&text=the+cat+sat+on+the+mat")
    letters = page.locator("#inside-painted .letters")
    eventually(letters, "^the cat sat on the mat$")
    page.focus("#inside-painted")
    for key in ("Home", "ArrowRight", *3 * ["Shift+ArrowRight"]):
        page.keyboard.press(key)
    letters.evaluate("letters => { letters.firstElementChild.old = true; }")
    page.locator("#inside").evaluate("form => form.requestSubmit()")
    coloured_again = (
        "() => !document.querySelector('#inside-painted .letters').firstElementChild.old"
    )
    page.wait_for_function(coloured_again)
    page.keyboard.press("Shift+ArrowRight")
    page.click("#find-mark")
    assert "".join(letters.locator(".marked").all_text_contents()) == "he ca"
    # A selection ends with its mark: the next mark needs a selection of its own.
    page.click("#find-mark")
    eventually(page.locator("#find-problem"), "^Select a part of the coloured text first")


def test_the_map_is_of_the_update_that_the_unit_is_of(trained, page):
    update = 100
    maps = []

    def answer(route):
        told = route.fetch().json()
        if route.request.url.endswith("map"):
            maps.append(update)
        route.fulfill(json={**told, "update": update})

    page.route(re.compile("/api/inside/(unit|map)"), answer)
    page.goto(f"{trained.url}/#/inside?model=cats&text=the+cat+sat+on")
    readout = page.locator("#inside-readout")
    eventually(readout, "after update 100: from")
    eventually(page.locator("#map-size"), "14 characters")
    page.fill("#inside-unit", "3")
    page.click("#inside-go")
    eventually(readout, "unit 3")
    assert maps == [100]
    update = 200
    page.click("#inside-go")
    eventually(readout, "after update 200")
    until(lambda: page.evaluate("1") and maps == [100, 200])


# Manners

VIEWS = (
    "runs?new",
    "learning?run=cats",
    "playground?model=cats",
    "inside?model=cats",
)


# What is there once a view shows all it has.
WHOLE = {
    "runs": "#start-text option",
    "learning": "#learning-chart .main-svg",
    "playground": "#play-thought li",
    "inside": "#map-cursor",
}


def violations(page, rules=None):
    """What axe-core finds that is serious or worse, by some rules or all."""
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(axe.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = page.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def show_all(page, view):
    """Open a view with all that it has to show: the form, a character that is pointed at, what was found."""
    name = view.split("?")[0]
    if name == "runs":
        page.click("#start summary")
    if name == "playground":
        write(page)
        page.check("#play-colour")
        page.mouse.move(*page.locator(".output .sheet").evaluate(PLACE, 9))
    if name == "inside":
        page.fill("#inside-text", runs.TEXT[:200])
        page.click("#find-go")
        page.wait_for_selector(".property")
    page.wait_for_selector(WHOLE[name], state="attached")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_a_phone_and_axe_finds_nothing_serious(trained, page, view):
    page.goto(f"{trained.url}/#/{view}")
    show_all(page, view)
    page.set_viewport_size({"width": 360, "height": 740})
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(beyond) <= 0
    wide = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((e) => e.getClientRects().length
        && !e.closest(".map-box, .chart, .hidden-input") && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    page.set_viewport_size(SIZE)
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []


def test_the_skip_link_skips_within_the_view(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats")
    page.wait_for_selector(".output")
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.evaluate("location.hash") == "#/playground?model=cats"
    expect(page.locator("#view-playground")).to_be_visible()
    page.evaluate("location.hash = '#/constructor'")  # of every object, and no view
    expect(page.locator("#view-runs")).to_be_visible()


def test_axe_finds_a_label_that_is_gone_and_a_text_too_pale(trained, page):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.wait_for_selector("#inside-what option", state="attached")
    page.evaluate(
        """() => {
          const select = document.getElementById("inside-model");
          select.closest("label").replaceWith(select);
          document.getElementById("title-inside").style.color = "#eee";
        }"""
    )
    found = {one.split(":")[0] for one in violations(page)}
    assert found == {"select-name", "color-contrast"}


def test_what_breaks_the_content_policy_is_seen(trained, page):
    page.goto(trained.url)
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    until(lambda: page.evaluate("broken.length") == 1)
    page.evaluate("broken.length = 0")


def test_little_is_fetched_before_the_page_is_drawn(trained, page):
    page.goto(trained.url)
    page.wait_for_selector(".run")
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').map((entry) => [entry.name, entry.decodedBodySize])"
    )
    names = [name.rsplit("/", 1)[-1] for name, _ in fetched]
    assert "app.js" in names
    assert "plotly.min.js" not in names
    assert sum(size for _, size in fetched) < 200_000
    assert all(name.startswith(trained.url) for name, _ in fetched)
