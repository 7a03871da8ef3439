"""The page's form for a new training run lists texts and refuses unusable ones. Each test loads a page."""

import re
import shlex
import subprocess

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect

from browser import NONE, chromium_path
from charloom.config import ARGUMENT_HELP
from charloom.messages import quoted
from page.page_steps import DROP, eventually, without_charts
from waiting import until
from web_servers import LiveServer

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def test_the_last_request_for_the_list_of_texts_counts(trained, page):
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


def test_a_text_without_two_different_characters_is_refused_immediately(trained, page):
    page.goto(trained.url)
    for text, message in ("", "is empty"), ("aaaa", "repeats a single character"):
        page.evaluate(DROP, {"name": "one.txt", "text": text})
        eventually(page.locator("#start-problem"), f"one.txt {message}")


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


def test_a_file_dropped_early_waits_for_the_limits_of_the_server(trained, page):
    about = httpx.get(f"{trained.url}/api/about").json()
    about["limits"]["upload"] = 1_500
    held = []
    page.route("**/api/about", lambda route: held.append(route))
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.goto(f"{trained.url}/#/runs?new")
    until(lambda: page.evaluate("1") and held)
    page.evaluate(DROP, {"name": "lines.txt", "text": 1_501 * "\n"})
    expect(page.locator("#start-go")).to_be_disabled()
    held[0].fulfill(json=about)
    eventually(page.locator("#start-problem"), "lines.txt has 2 KB; a page can upload at most")
    assert "POST" not in sent
    expect(page.locator("#start-go")).to_be_enabled()


def test_the_values_of_a_recipe_fit_on_a_phone(trained, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.locator("#start summary").click()
    cut = page.evaluate(
        """() => [...document.querySelectorAll("#start .fields select")].map((select) => {
          const width = select.offsetWidth;
          select.replaceChildren(select.options[0]);
          select.style.width = "max-content";
          return [select.options[0].text, select.offsetWidth, width];
        }).filter(([, wanted, width]) => wanted > width)"""
    )
    assert cut == []


def test_the_form_sends_pairs_averaging_and_a_search_for_the_learning_rate(trained, page):
    sent = []

    def start(route):
        """Answer as if the run had been started."""
        sent.append(route.request.post_data_json)
        route.fulfill(status=202, json={"run": "cats"})

    page.route("**/api/runs", start)
    without_charts(page)
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    rate = page.get_by_label("Learning rate", exact=True)
    expect(rate).to_have_attribute("placeholder", "0.005")
    page.get_by_label("Find learning rate").check()
    expect(rate).to_have_attribute("placeholder", "from the search")
    page.locator("#start summary").click()
    page.get_by_label("Input pairs").fill("2048")
    page.get_by_label("Averaging").fill("0.25")
    page.get_by_label("Weight decay on").select_option("all")
    page.click("#start-go")
    until(lambda: page.evaluate("1") and sent)
    assert sent[0]["settings"] == {
        "find_learning_rate": True, "input_pairs": 2048, "averaging": 0.25, "weight_decay_on": "all",
    }  # fmt: skip
    # The recipe's value is shown again, and false is not sent.
    eventually(page.locator("#learning-state"), "finished")
    page.goto(f"{trained.url}/#/runs?new=1")
    page.get_by_label("Find learning rate").uncheck()
    expect(rate).to_have_attribute("placeholder", "0.005")
    page.click("#start-go")
    until(lambda: page.evaluate("1") and len(sent) == 2)
    assert "find_learning_rate" not in sent[1]["settings"]


def test_the_form_sends_the_schedule_with_its_times_in_either_unit(trained, page):
    sent = []

    def start(route):
        """Answer as if the run had been started."""
        sent.append(route.request.post_data_json)
        route.fulfill(status=202, json={"run": "cats"})

    page.route("**/api/runs", start)
    without_charts(page)
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.get_by_role("radio", name="classic").check()
    page.locator("#start summary").click()
    field = {
        name: page.get_by_label(name, exact=True)
        for name in (
            "Warmup, in updates", "Warmup epochs", "Step after, in epochs", "Step after updates",
            "Step every, in epochs", "Step every updates", "Step factor", "Cosine end",
        )
    }  # fmt: skip
    expect(field["Warmup, in updates"]).to_have_attribute("placeholder", "0")
    expect(field["Step after, in epochs"]).to_have_attribute("placeholder", "10")
    expect(field["Step after updates"]).to_have_attribute("placeholder", "–")
    page.locator("[data-setting=schedule]").select_option("step")
    field["Warmup epochs"].fill("0.5")
    field["Step after updates"].fill("500")
    field["Step every, in epochs"].fill("2")
    field["Step factor"].fill("0.5")
    page.click("#start-go")
    until(lambda: page.evaluate("1") and sent)
    assert sent[0]["settings"] == {
        "schedule": "step", "warmup_epochs": 0.5, "step_after_updates": 500, "step_every": 2, "step_factor": 0.5,
    }  # fmt: skip


def test_a_time_of_the_schedule_in_two_units_is_refused_at_its_fields(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.locator("#start summary").click()
    page.get_by_label("Warmup, in updates").fill("5")
    page.get_by_label("Warmup epochs").fill("1")
    page.click("#start-go")
    eventually(page.locator("#start-problem"), "warmup")
    expect(page.get_by_label("Warmup epochs")).to_have_attribute("aria-invalid", "true")


def test_a_search_together_with_a_learning_rate_is_refused_by_name(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.get_by_label("Learning rate", exact=True).fill("0.1")
    search = page.get_by_label("Find learning rate")
    search.check()
    help = page.locator(f"#{search.get_attribute('aria-describedby')}")
    expect(help).to_have_text(ARGUMENT_HELP["find_learning_rate"])
    page.click("#start-go")
    eventually(
        page.locator("#start-problem"),
        "“find learning rate” and “learning rate” both set the learning rate",
    )


OUTLINE = "(field) => getComputedStyle(field).outline"


def refused(message, param=None):
    """Return the JSON of a response that refuses a request."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return {"error": error}


def gap(one, other):
    """Return the distance between two boxes in pixels, the larger one of the two directions."""
    return max(
        max(one[at], other[at]) - min(one[at] + one[size], other[at] + other[size])
        for at, size in (("x", "width"), ("y", "height"))
    )


@pytest.mark.parametrize(
    ("message", "param", "fields"),
    [
        ("“hidden size” must be at most 9, not 10.", "settings.hidden_size", ["hidden_size"]),
        ("“patience” is 2, but “validation” is 0.", None, ["patience", "validation"]),
        ("“n-gram order” 9 is too long.", None, ["ngram_order"]),
        ("a run book exists already; give another name.", "name", ["name"]),
        ("there is no text own.nothing.", "text", ["text"]),
        ("the disk is full.", None, []),
    ],
)
def test_a_refused_start_is_explained_next_to_the_fields(trained, page, message, param, fields):
    def refuse(route):
        route.fulfill(status=422, json=refused(message, param))

    page.route("**/api/runs", refuse)
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.wait_for_selector("#start-text option", state="attached")
    page.click("#start-go")
    problem = page.locator("#start-problem")
    expect(problem).to_have_text(message)
    inputs = [page.locator(f"[data-setting={name}], #start-{name}") for name in fields]
    for field in inputs:
        expect(field).to_have_attribute("aria-invalid", "true")
        assert "start-problem" in field.get_attribute("aria-describedby").split()
    expect(page.locator("[aria-invalid]")).to_have_count(len(fields))
    if not fields:
        return
    first = inputs[0]
    expect(first).to_be_focused()
    if len(inputs) > 1:  # only the field with the keyboard focus has the outline of the focus
        outlines = [field.evaluate(OUTLINE) for field in inputs]
        assert "none" not in outlines[0]
        assert outlines[1] != outlines[0]
    assert gap(first.bounding_box(), problem.bounding_box()) <= 25
    if fields[0] != "text":
        first.fill("3")
        expect(problem).to_be_empty()
        expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_the_name_of_an_existing_run_is_refused_next_to_the_field(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.wait_for_selector("#start-text option", state="attached")
    name, problem = page.locator("#start-name"), page.locator("#start-problem")
    name.fill("cats")
    page.click("#start-go")
    eventually(problem, "a run 'cats' exists already; give another name")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("dogs")
    expect(problem).to_be_empty()
    expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_the_button_that_a_refusal_disabled_has_the_focus_again(trained, page):
    held = []
    page.route("**/api/runs", lambda route: held.append(route))
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.wait_for_selector("#start-text option", state="attached")
    page.click("#start-go")
    expect(page.locator("body")).to_be_focused()  # a disabled button loses the focus
    until(lambda: page.evaluate("1") and held)
    held[0].fulfill(status=409, json=refused("the disk is full."))
    expect(page.locator("#start-problem")).to_have_text("the disk is full.")
    expect(page.locator("#start-go")).to_be_focused()


def test_the_settings_of_a_failed_start_can_be_changed(trained, tmp_path, page):
    without_charts(page)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        text = client.post("/api/texts", json={"name": "short", "text": "abcabc" * 9}).json()["key"]
        settings = {"seq_length": 60, "hidden_size": 8, "updates": 20, "tokens": "bytes"}
        body = {"text": text, "recipe": "classic", "name": "tiny", "settings": settings}
        assert client.post("/api/runs", json=body).status_code == 202
        page.goto(f"{live.url}/#/learning?run=tiny")
        eventually(page.locator("#learning-state"), "^failed$")
        page.click("#learning-buttons >> text=Back to the form")
        length = page.get_by_label("Seq length", exact=True)
        expect(length).to_have_value("60")
        expect(length).to_have_attribute("aria-invalid", "true")
        eventually(page.locator("#start-problem"), "“seq length”")
        expect(page.get_by_label("Hidden size", exact=True)).to_have_value("8")
        expect(page.locator("[data-setting=tokens]")).to_have_value("bytes")
        expect(page.locator("#start-name")).to_have_value("tiny")
        expect(page.locator("#start-text")).to_have_value(text)
        expect(page.get_by_role("radio", name=re.compile("^classic"))).to_be_checked()
        rate = page.get_by_label("Learning rate", exact=True)
        rate.fill("0")
        page.click("#start-go")
        # A request that is refused leaves the failed start in the list.
        expect(rate).to_have_attribute("aria-invalid", "true")
        assert [run["key"] for run in client.get("/api/runs").json()["runs"]] == ["tiny"]
        rate.fill("")
        length.fill("5")
        page.click("#start-go")
        # The failed start had the name, so the new run replaces it.
        eventually(page.locator("#learning-state"), "^finished$")
        assert [run["key"] for run in client.get("/api/runs").json()["runs"]] == ["tiny"]


def test_a_form_that_was_closed_leaves_the_failed_start_in_the_list(trained, tmp_path, page):
    without_charts(page)
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        text = client.post("/api/texts", json={"name": "short", "text": "abcabc" * 9}).json()["key"]
        body = {"text": text, "recipe": "classic", "name": "tiny", "settings": {"seq_length": 60}}
        assert client.post("/api/runs", json=body).status_code == 202
        page.goto(f"{live.url}/#/learning?run=tiny")
        eventually(page.locator("#learning-state"), "^failed$")
        page.click("#learning-buttons >> text=Back to the form")
        expect(page.locator("#start-name")).to_have_value("tiny")
        page.click("#start-close")
        page.click("#start-open")
        page.fill("#start-name", "other")
        page.click("#start-go")
        expect(page).to_have_url(re.compile("run=other"))
        eventually(page.locator("#learning-state"), "^failed$")
        keys = {run["key"] for run in client.get("/api/runs").json()["runs"]}
        assert keys == {"tiny", "other"}


def test_a_file_that_is_not_utf8_is_refused_with_the_offset(trained, page):
    page.goto(f"{trained.url}/#/runs?new")
    page.wait_for_selector("#start-recipes input")
    page.evaluate(DROP, {"name": "old ä.txt", "text": [97, 98, 0xE4, 99]})
    problem = "old ä.txt is not UTF-8: byte 0xe4 at offset 2; save it as UTF-8 text"
    eventually(page.locator("#start-problem"), problem)


def test_the_page_and_the_command_line_quote_a_name_equally(trained, page):
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
