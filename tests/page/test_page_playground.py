"""A user samples from models in the page's playground. Each test loads the page in a browser."""

import json
import math
import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import httpx
from playwright.sync_api import expect
from typer.testing import CliRunner

import small_runs
from browser import NONE, chromium_path
from charloom.cli import app
from page.page_steps import PLACE, eventually, write
from planted_starts import BAD_ZERO, measured_as
from waiting import until
from web_servers import LiveServer, events_of

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)


def answered(live, body):
    """Return the events of a request to generate, as pairs of name and data."""
    answer = httpx.post(f"{live.url}/api/generate", json=body, timeout=20).text
    return list(events_of(answer.splitlines()))


def test_a_text_is_streamed_can_be_stopped_and_shows_probabilities(trained, page):
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
    body = {"model": "cats", "prompt": "the ", "length": 60, "temperature": 0.8, "seed": 1}
    nats = [
        nats
        for name, data in answered(trained, {**body, "probabilities": True})
        if name == "text"
        for nats in data["analysis"]["nats"]
    ]
    mean = sum(nats) / len(nats) / math.log(2)  # of what it wrote, not of what it was given
    eventually(page.locator(".output > .aside"), f", {mean:.2f} bits of surprise per character$")
    sheet = page.locator(".output .sheet")
    x, y = sheet.evaluate(PLACE, 9)
    page.mouse.move(x, y)
    prediction = page.locator("#play-prediction")
    expect(prediction.locator("li")).to_have_count(5)
    likely = httpx.post(
        f"{trained.url}/api/next", json={"model": "cats", "text": text[:10]}
    ).json()["likely"]
    headings = prediction.get_by_role("heading").all_text_contents()
    assert headings == ["This character", "The next character, as the model predicts it"]
    shown = [b.replace("␣", " ") for b in prediction.locator("li b").all_text_contents()]
    assert shown == [symbol for symbol, _ in likely]
    eventually(prediction.locator(".number").first, f"^{100 * likely[0][1]:.1f} %")
    sheet.focus()
    page.keyboard.press("ArrowRight")
    eventually(prediction.locator(".letter"), re.escape(text[10].replace(" ", "␣")))


def test_surprise_colours_the_text_and_nothing_moves_while_it_arrives(trained, page):
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


def test_two_models_sample_side_by_side_with_one_seed(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats&other=gates&seed=5")
    expect(page.locator(".output")).to_have_count(2)
    write(page)
    for side, model in enumerate(("cats", "gates")):
        body = {"model": model, "prompt": "the ", "length": 60, "temperature": 0.8, "seed": 5}
        events = answered(trained, body)
        text = "".join(data["text"] for name, data in events if name == "text")
        assert page.locator(".output .letters").nth(side).text_content() == "the " + text


def test_the_playground_and_sample_give_the_same_text(trained, page):
    page.goto(
        f"{trained.url}/#/playground?model=cats@best&temperature=0.7&top-k=9&top-p=0.9&seed=11"
    )
    page.fill("#play-min-p", "0.05")
    page.fill("#play-stop-strings", "never\n\n sat")
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
        "--min-p",
        "0.05",
        "--stop",
        "never",
        "--stop",
        " sat",
        "--seed",
        "11",
        "--json",
    ]
    run = str(trained.app_state.folder / "cats")
    done = CliRunner().invoke(app, ["sample", run, "--prompt", "the ", *options])
    assert done.exit_code == 0, done.output
    assert text == "the " + json.loads(done.stdout)["samples"][0]["text"]
    assert len(text) < 300
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


def test_a_long_prompt_is_left_out_of_the_link(trained, page):
    page.goto(f"{trained.url}/#/playground?model=gates&seed=7")
    expect(page.locator(".output")).to_have_count(1)
    page.fill("#play-prompt", 500 * "é ")  # each é has six characters in a link
    page.click("#play-link")
    eventually(page.locator("#toast"), "^Link copied. It does not contain the prompt, which is too")
    link = page.evaluate("navigator.clipboard.readText()")
    assert len(link) < 300
    assert "prompt" not in link
    assert {"model=gates", "seed=7"} <= set(link.split("?")[1].split("&"))
    page.fill("#play-prompt", 100 * "é ")
    page.click("#play-link")
    eventually(page.locator("#toast"), "^Link copied$")
    assert "&prompt=%C3%A9+%C3%A9" in page.evaluate("navigator.clipboard.readText()")
    page.fill("#play-stop-strings", 500 * "é\n")
    page.click("#play-link")
    eventually(page.locator("#toast"), "contain the stop strings, which are too long for a link")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "&prompt=%C3%A9+%C3%A9" in link
    assert len(link) < 2000


@pytest.mark.parametrize(
    ("models", "name"),
    [
        ("model=cats%40best", "cats.txt"),
        ("model=gates&other=cats%40latest", "gates-cats-latest.txt"),
    ],
)
def test_a_text_is_saved_under_the_name_of_its_models(trained, page, models, name):
    page.goto(f"{trained.url}/#/playground?{models}")
    text = write(page, 20)
    with page.expect_download() as download:
        page.click("#play-save")
    assert download.value.suggested_filename == name
    assert text in download.value.path().read_text(encoding="utf-8")


def test_a_link_resets_other_settings_and_going_back_changes_nothing(trained, page):
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


def test_a_model_is_downloaded_as_one_page_and_as_other_files(trained, page):
    page.goto(f"{trained.url}/#/playground?model=gates")
    for to, name in {"html": "gates.html", "onnx": "gates.onnx"}.items():
        page.select_option("#play-format", to)
        with page.expect_download() as download:
            page.click("#play-download")
        assert download.value.suggested_filename == name
        wanted = httpx.get(f"{trained.url}/api/models/gates/file?to={to}", timeout=20).content
        assert download.value.path().read_bytes() == wanted


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_the_formats_of_a_download_have_their_own_label_and_are_not_cut(trained, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{trained.url}/#/playground?model=gates")
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_visible()
    expect(page.get_by_label("Download", exact=True)).to_have_count(0)
    select = page.get_by_role("combobox", name="File format")
    needed, width_of_select = select.evaluate(
        """(select) => {
          const width = select.offsetWidth;
          select.style.cssText = "width: max-content; max-width: none; position: fixed";
          return [select.offsetWidth, width];
        }"""
    )
    assert needed <= width_of_select


def test_a_model_with_n_grams_is_offered_without_them(page, tmp_path):
    small_runs.train(tmp_path / "counted", ngram_order=3)
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/playground?model=counted")
        page.select_option("#play-format", "torch")
        page.click("#play-download")
        eventually(
            page.locator("#download-problem"),
            "^Files for PyTorch and ONNX cannot contain the n-grams .* Download the network without its n-grams$",
        )
        with page.expect_download() as download:
            page.click("#download-problem button")
        assert download.value.suggested_filename == "counted.torch.safetensors"
        expect(page.locator("#download-problem")).to_be_empty()


def test_several_texts_of_each_model_are_written_and_saved_together(trained, page):
    link = "playground?model=cats&other=gates&seed=5&samples=2&min-p=0.01&stop-strings=%21"
    page.goto(f"{trained.url}/#/{link}")
    expect(page.locator("#play-stop-strings")).to_have_value("!")
    expect(page.locator("#play-min-p")).to_have_value("0.01")
    titles = ["cats, text 1", "cats, text 2", "gates, text 1", "gates, text 2"]
    expect(page.locator(".output h2")).to_have_text(titles)
    write(page, 30)
    texts = page.locator(".output .letters").all_text_contents()
    wanted = []
    for key in ("cats", "gates"):
        run = str(trained.app_state.folder / key)
        settings = {"length": 30, "temperature": 0.8, "seed": 5, "min-p": 0.01, "samples": 2}
        options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        done = CliRunner().invoke(app, ["sample", run, "--prompt", "the ", "--json", *options])
        wanted += ["the " + sample["text"] for sample in json.loads(done.stdout)["samples"]]
    assert texts == wanted
    assert len(set(texts)) == 4
    with page.expect_download() as download:
        page.click("#play-save")
    assert download.value.suggested_filename == "cats-gates.txt"
    parts = [f"== {title}\n\n{text}" for title, text in zip(titles, texts, strict=True)]
    assert download.value.path().read_text(encoding="utf-8") == "\n\n".join(parts)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.fill("#play-samples", "1")
    page.press("#play-samples", "Tab")
    expect(page.locator(".output h2")).to_have_text(["cats", "gates"])


MENU = """() => [...document.querySelectorAll("#play-model optgroup")].map(
  (group) => [group.label, [...group.querySelectorAll("option")].map((option) => option.text)]
)"""


def test_the_menu_of_models_is_grouped_by_run_with_the_best_and_the_latest_first(trained, page):
    def model(run, which, update, name):
        key = run if which == "best" else f"{run}@{which}"
        about = {"run": run, "which": which, "update": update, "name": name}
        return {"id": key, **about, "state": "finished", "created": 0}

    models = [
        model("b", "best", 20, "b"),
        model("b", "latest", 40, "b, latest"),
        *(model("b", str(update), update, f"b, update {update}") for update in (10, 20, 30, 40)),
        model("a", "best", 7, "a"),
        model("a", "latest", 7, "a, latest"),
        model("a", "7", 7, "a, update 7"),
    ]
    answer = {"models": models, "total": len(models), "next": None, "unread": 0}
    page.route("**/api/models", lambda route: route.fulfill(json=answer))
    page.goto(f"{trained.url}/#/playground")
    eventually(page.locator("#play-model option").first, "^b – best")
    first = ["b – best (update 20)", "b – latest (update 40)", "b, update 30", "b, update 10"]
    assert page.evaluate(MENU) == [
        ["b", first],
        ["a", ["a – best (update 7)", "a – latest (update 7)"]],
    ]
    # The checkpoint of a link stays in the menu.
    page.goto(f"{trained.url}/#/playground?model=b@40")
    expect(page.locator("#play-model")).to_have_value("b@40")
    eventually(page.locator("#play-model option:checked"), "^b, update 40$")


def test_the_start_is_chosen_linked_and_a_bad_one_is_shown(trained, page, tmp_path):
    page.goto(f"{trained.url}/#/playground?model=cats&length=50&start=zero&prompt=the")
    expect(page.locator("#play-start")).to_have_value("zero")
    body = {"model": "cats", "prompt": "the", "length": 50, "temperature": 0.8, "seed": 1}
    for start in ("zero", "text"):
        page.select_option("#play-start", start)
        with page.expect_request("**/api/generate") as request:
            text = write(page, 50, "the")
        assert request.value.post_data_json["start"] == start
        events = answered(trained, {**body, "start": start})
        assert text == "the" + "".join(data["text"] for name, data in events if name == "text")
    page.goto(f"{trained.url}/#/playground?model=cats&start=line")
    expect(page.locator("#play-start")).to_have_value("text")
    with measured_as(BAD_ZERO):
        small_runs.train(tmp_path / "bad")
    with LiveServer(tmp_path) as live:
        page.goto(f"{live.url}/#/playground?model=bad&length=20&start=zero")
        page.click("#play-go")
        eventually(page.locator(".output .notice"), "without a prompt, the model writes badly")
        page.select_option("#play-start", "text")
        page.click("#play-go")
        eventually(page.locator(".output > .aside"), "20 characters")
        expect(page.locator(".output .notice")).to_be_empty()
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_unknown_characters_are_listed_and_can_be_skipped(trained, page):
    page.goto(f"{trained.url}/#/playground?model=cats")
    page.fill("#play-prompt", "the ☃")
    page.click("#play-go")
    eventually(page.locator("#play-problem"), "never read: '☃'")
    page.click("#play-problem button")
    eventually(page.locator(".output > .aside"), "characters in")
    expect(page.locator("#play-problem")).to_be_empty()
