"""The page in a real browser: what a user does with it, from dropping a text to looking at a unit.

Every test fails, too, where the page's own code throws or breaks the content policy. Each takes a second
or more, for a browser must load the page; a few start trainings as well, each a process of its own.
"""

import json
import re
import subprocess
import sys
from importlib import resources

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect
from typer.testing import CliRunner

import runs
from browser import NONE, chromium, chromium_path
from charloom.cli import app
from web import Live, until

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

TEXT = 30 * runs.TEXT
MARKUP = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
SLOW = {"recipe": "classic", "settings": {"cell": "lstm", "hidden_size": 100, "epochs": 10_000}}
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
  held.items.add(new File([text], name, { type: "text/plain" }));
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
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        yield context


@pytest.fixture
def page(context):
    page = context.new_page()
    thrown = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    broken = page.evaluate("window.broken ?? []")
    page.close()
    assert not thrown
    assert broken == []


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


def start(live, settings=SLOW):
    """A training that goes on until it is stopped; the key of its run."""
    with httpx.Client(base_url=live.url, timeout=20) as client:
        text = client.post("/api/texts", json={"name": "cat.txt", "text": TEXT}).json()["key"]
        return client.post("/api/runs", json={"text": text, **settings}).json()["run"]


def stop(live, key):
    """Stop a training, and wait until it is."""
    with httpx.Client(base_url=live.url, timeout=20) as client:

        def over():
            client.post(f"/api/runs/{key}/control", json={"command": "stop"})
            state = client.get(f"/api/runs/{key}").json()["run"]["state"]
            return state not in ("starting", "training", "paused")

        until(over, 30)


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


# Runs and learning


def test_a_dropped_file_is_trained_and_its_curve_moves(tmp_path, page):
    with Live(tmp_path) as live:
        page.goto(live.url)
        eventually(page.locator("#runs-empty"), "Nothing has been trained")
        page.evaluate(DROP, {"name": "my cats.txt", "text": TEXT})
        eventually(page.locator("#start-text option:checked"), "my-cats")
        page.check("input[name=recipe][value=classic]")
        page.select_option("#start-settings select", "lstm")
        page.fill("[data-setting=hidden_size]", "100")
        page.fill("[data-setting=epochs]", "10000")
        page.click("#start-go")
        try:
            eventually(page.locator("#learning-state"), "training")
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
        finally:
            stop(live, "my-cats-1")
        eventually(page.locator("#learning-state"), "stopped")


def test_a_run_that_another_process_trains_appears_by_itself(tmp_path, page):
    text = tmp_path / "cat.txt"
    text.write_text(TEXT)
    folder = tmp_path / "runs"
    with Live(folder) as live:
        page.goto(live.url)
        eventually(page.locator("#runs-empty"), "Nothing has been trained")
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


def test_pausing_going_on_and_changing_the_learning_rate(tmp_path, page):
    with Live(tmp_path) as live:
        key = start(live)
        try:
            page.goto(f"{live.url}/#/learning?run={key}")
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
            page.click("#learning-steering >> text=Stop")
            eventually(state, "stopped")
        finally:
            stop(live, key)


def test_a_server_that_starts_again_finds_the_training(tmp_path, page):
    with Live(tmp_path) as live:
        key = start(live)
        port = live.port
        page.goto(f"{live.url}/#/learning?run={key}")
        eventually(page.locator("#learning-state"), "training")
    expect(page.locator("#gone")).to_be_visible(timeout=PATIENCE)
    with Live(tmp_path, port) as live:
        try:
            expect(page.locator("#gone")).to_be_hidden(timeout=PATIENCE)
            eventually(page.locator("#learning-state"), "training")
            done = page.locator("#learning-done")
            before = done.text_content()
            until(lambda: done.text_content() != before, 30)
        finally:
            stop(live, key)


def test_a_long_run_is_drawn_in_as_much_as_can_be_seen(tmp_path, page):
    runs.train(tmp_path / "long")
    metrics = tmp_path / "long" / "metrics.jsonl"
    last = runs.lines_of(metrics)[-1]
    lines = [{**last, "update": last["update"] + n, "epoch": float(2 + n)} for n in range(20_000)]
    metrics.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    with Live(tmp_path) as live:
        page.goto(f"{live.url}/#/learning?run=long")
        crosses = page.locator("#learning-chart .points path")
        until(lambda: crosses.count() >= 100, 30)
        assert crosses.count() == 150
        curve = page.locator("#learning-chart .scatterlayer .js-line").first.get_attribute("d")
        assert len(curve) < 60_000


def test_samples_are_scrubbed_from_the_first_to_the_last(trained, page):
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
    page.goto(f"{trained.url}/#/learning?run=gates")
    eventually(page.locator("#sample-text"), re.escape(MARKUP))
    assert page.locator("#sample-text *").count() == 0
    assert page.title() != "caught"


def test_runs_are_compared_in_one_chart(trained, page):
    page.goto(trained.url)
    for box in page.locator(".run input").all():
        box.check()
    expect(page.locator("#compare-chart .scatterlayer .js-line")).to_have_count(2, timeout=PATIENCE)
    names = page.locator("#compare-chart .legendtext").all_text_contents()
    assert sorted(names) == ["cats", "gates"]


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
        answer = httpx.post(f"{trained.url}/api/generate", json=asked).text
        text = "".join(
            json.loads(piece)["text"] for piece in re.findall(r"^data: (\{\"text.*)$", answer, re.M)
        )
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
    eventually(page.locator("#inside-readout"), f"unit {unit}, {what}: from")
    asked = {"model": "gates", "text": runs.TEXT[:400], "unit": int(unit), "what": what}
    told = httpx.post(f"{trained.url}/api/inside/unit", json=asked).json()
    box.focus()
    page.keyboard.press("Home")
    eventually(page.locator("#inside-readout"), re.escape(f"{told['values'][0]:.3f}") + "$")

    row = page.locator("#map").bounding_box()["height"] / 12
    page.click("#map", position={"x": 20, "y": 7.5 * row})
    expect(page.locator("#inside-unit")).to_have_value("7")
    page.click("#inside-link")
    other = context.new_page()
    other.goto(page.evaluate("navigator.clipboard.readText()"))
    eventually(other.locator("#inside-readout"), "unit 7")
    other.close()


def test_what_is_marked_is_looked_for(trained, page):
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.fill("#inside-text", runs.TEXT[:200])
    page.click("#inside-go")
    letters = page.locator("#inside-painted .letters")
    eventually(letters, "^the ")
    for start in (10, 60):
        letters.evaluate(SELECT, [start, start + 8])
        page.click("#find-mark")
    with page.expect_request("**/api/inside/ranking") as sent:
        page.click("#find-go")
    assert sent.value.post_data_json["marks"] == [[10, 18], [60, 68]]
    expect(page.locator(".property", has_text="marked").locator("button")).not_to_have_count(0)


# Manners

VIEWS = (
    "runs?new",
    "learning?run=cats",
    "playground?model=cats",
    "inside?model=cats&text=the+cat+sat+on",
)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_a_phone(trained, page, view):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{trained.url}/#/{view}")
    page.wait_for_timeout(600)
    assert (
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        <= 0
    )
    wide = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((e) => e.getClientRects().length
        && !e.closest(".map-box, .chart, .hidden-input") && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


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


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(trained, page, view):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.goto(f"{trained.url}/#/{view}")
    page.wait_for_timeout(400)
    if view.startswith("playground"):
        write(page)
        page.check("#play-colour")
        page.locator(".output .sheet").focus()
        page.keyboard.press("ArrowRight")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, ["color-contrast"]) == []


def test_axe_finds_a_label_that_is_gone_and_a_text_too_pale(trained, page):
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.goto(f"{trained.url}/#/inside?model=cats")
    page.wait_for_timeout(400)
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
