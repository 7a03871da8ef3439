"""The page of an exported model works for mouse, keyboard and screen readers, on phones and wide screens."""

import re

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from browser import NONE, chromium_path
from charloom.export_html import html_file
from charloom.surprisal import surprise
from charloom.text.unknown_policy import REFUSE
from export_html.html_models import embedded, html_model, open_page, write
from page.page_steps import PLACE, SCROLL_OF_WRITE, eventually, violations

if chromium_path() is None:
    pytest.skip(NONE, allow_module_level=True)

MARKUP = "</script><script>document.title='caught'</script><img src=x onerror=\"document.title='caught'\">"
# The vocabulary can spell markup that ends a script element.
HOSTILE_TEXT = 20 * f"{MARKUP}<!-- {{{{ json }}}} & \u2028 "


@pytest.fixture(scope="module")
def lstm():
    return html_model(cell="lstm", layers=2, ngram_order=4)


@pytest.fixture(scope="module")
def file(lstm, tmp_path_factory):
    """Return the file of an LSTM with two layers and n-grams."""
    return lstm.to_html(tmp_path_factory.mktemp("html") / "book.html", weights="float32")


@pytest.fixture
def opened(page, file):
    """Return a page that shows the LSTM."""
    open_page(page, file)
    return page


def colours(page):
    """Return the background colour of each character of the text."""
    return page.locator("#output .letters").evaluate(
        """(letters) => [...letters.children].flatMap((span) =>
             [...span.textContent].map(() => getComputedStyle(span).backgroundColor))"""
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window_and_is_accessible(opened, width, scheme):
    opened.set_viewport_size({"width": width, "height": 844})
    opened.emulate_media(color_scheme=scheme)
    write(opened, prompt="the ", length=400)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    assert violations(opened) == []


def test_the_title_the_heading_and_the_size_describe_the_model(opened):
    assert opened.title() == opened.text_content("h1") == "book"
    about = "LSTM, 2 × 10 hidden units, 4-grams, 21 characters; needs about 1 MB of memory"
    eventually(opened.locator("#size"), about)


def test_a_text_can_begin_in_the_state_after_training_or_in_the_zero_state(opened):
    states = opened.locator("#play-start option").all_text_contents()
    assert states == ["after training", "zero state"]


def test_the_memory_is_that_of_the_parts_in_which_the_model_is_read(page, tmp_path):
    """Random weights compress hardly: 4 bytes each, three times and a third of a time."""
    model = html_model(cell="gru", hidden_size=600)
    path = model.to_html(tmp_path / "m.html", weights="float32")
    open_page(page, path)
    weights = 4 * sum(array.size for array in model.learner.parameters.values())
    text = path.stat().st_size  # the text in base64, and the page
    shown = int(re.search(r"needs about (\d+) MB", page.text_content("#size"))[1])
    assert shown == pytest.approx((2 * weights + 1.75 * text) / 1e6, rel=0.05)


def test_no_character_of_a_stop_string_is_shown_as_the_next_one(opened):
    whole = write(opened, length=200, seed=3)
    stop = whole[60:63]
    text = write(opened, length=200, seed=3, stop=[stop])
    assert whole.startswith(text + stop)
    opened.focus("#output")
    opened.keyboard.press("End")
    expect(opened.locator("#prediction .letter")).to_have_text(text[-1].replace(" ", "␣"))
    expect(opened.locator("#prediction li")).to_have_count(5)
    expect(opened.locator("#prediction li.next")).to_have_count(0)
    # Among all characters of the text, the next one is marked if it is one of the five likeliest.
    marked = 0
    for _ in text[:-1]:
        opened.keyboard.press("ArrowLeft")
        marked += opened.locator("#prediction li.next").count()
    assert marked > len(text) / 10


def test_a_model_in_several_elements_writes_the_same_text(opened, lstm, tmp_path, monkeypatch):
    whole = write(opened, length=200, seed=3)
    monkeypatch.setattr(html_file, "MOST_IN_ELEMENT", 1000)
    path = lstm.to_html(tmp_path / "book.html", weights="float32")
    parts = embedded(path)[1]
    assert len(parts) > 5
    assert {len(part) for part in parts[:-1]} == {1000}
    open_page(opened, path)
    assert write(opened, length=200, seed=3) == whole


def test_the_longest_element_fits_into_a_string_of_every_browser():
    assert html_file.MOST_IN_ELEMENT < 2**29 - 24  # V8's limit; other browsers allow more
    assert html_file.MOST_IN_ELEMENT % 4 == 0


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_after_write_the_text_is_in_view_on_a_phone(opened, motion):
    opened.set_viewport_size({"width": 390, "height": 600})
    opened.emulate_media(reduced_motion=motion)
    expect(opened.locator("#output")).not_to_be_in_viewport()
    assert (opened.evaluate(SCROLL_OF_WRITE) > 0) == (motion == "reduce")
    expect(opened.locator("#output")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("touch", [True, False])
def test_only_devices_with_a_keyboard_or_a_mouse_show_the_keys(browser, file, touch):
    with browser.new_context(has_touch=touch, is_mobile=touch) as context:
        page = context.new_page()
        open_page(page, file)
        expect(page.locator("#play .keys")).to_be_visible(visible=not touch)


def test_pointing_at_a_character_shows_its_surprise_and_the_next_ones(opened, lstm):
    text = write(opened, prompt="the ", start="zero", length=50)
    whole = f"the {text}"
    bits = surprise(lstm.learner, lstm.engine, whole, REFUSE).bits
    # The place before the character of the lowest surprise, which is one of the five that the page shows.
    place = int(np.argmin(bits[6:])) + 5
    x, y = opened.locator("#output").evaluate(PLACE, place)
    opened.mouse.move(x, y)
    shown = opened.locator("#prediction")
    expect(shown.locator(".letter")).to_have_text(whole[place].replace(" ", "␣"))
    expect(shown).to_contain_text(f"{bits[place]:.2f} bits of surprise")
    headings = shown.get_by_role("heading").all_text_contents()
    assert headings == ["This character", "The next character, as the model predicts it"]
    expect(shown.locator("li")).to_have_count(5)
    expect(shown.locator("li.next b")).to_have_text(whole[place + 1].replace(" ", "␣"))


def test_the_keyboard_moves_along_the_text_and_screen_readers_hear_it(opened):
    text = write(opened, length=50)
    opened.focus("#output")
    opened.keyboard.press("Home")
    opened.keyboard.press("ArrowRight")
    shown = text[1].replace(" ", "␣")
    expect(opened.locator("#prediction .letter")).to_have_text(shown)
    eventually(opened.locator("#spoken"), rf"^{re.escape(shown)}\. .* bits\. Next: ")


def test_the_text_is_coloured_by_surprise_or_by_any_unit(opened, lstm):
    text = write(opened, prompt="the ", start="zero", length=80)
    by_surprise = colours(opened)
    for what in ("h", "cell"):
        opened.select_option("#colour", what)
        opened.fill("#layer", "1")
        opened.fill("#unit", "7")
        opened.press("#unit", "Enter")
        values = lstm.activity(f"the {text}", layer=1, unit=7, what=what).values[:, 0, 0]
        found = colours(opened)
        assert len(found) == len(values)
        assert found != by_surprise
        assert len(set(found)) > 3
        place = int(abs(values[4:]).argmax()) + 4
        assert found[place] not in {
            colour for n, colour in enumerate(found) if values[n] * values[place] < 0
        }
        opened.focus("#output")
        opened.keyboard.press("End")
        eventually(opened.locator("#readout"), rf"^Layer 1, unit 7, {what} at .*: −?\d\.\d+$")
        number = opened.text_content("#readout").rsplit(" ", 1)[1].replace("−", "-")
        assert float(number) == pytest.approx(values[-1], abs=6e-4)
    opened.select_option("#colour", "")
    assert len(set(colours(opened))) == 1


def test_a_unit_that_does_not_exist_is_not_shown(opened):
    write(opened, length=20)
    opened.select_option("#colour", "h")
    opened.fill("#unit", "10")
    opened.press("#unit", "Enter")
    assert opened.locator("#unit").evaluate("(field) => field.validity.rangeOverflow")


def test_only_an_lstm_has_the_cell_state(page, tmp_path):
    open_page(page, html_model(cell="gru").to_html(tmp_path / "m.html"))
    assert page.locator("#colour option").all_text_contents() == ["surprise", "unit, h", "nothing"]


def test_a_prompt_with_unknown_characters_is_refused_or_written_without_them(opened, lstm):
    opened.fill("#play-prompt", "thé <red> ")
    opened.fill("#play-length", "30")
    opened.fill("#play-temperature", "1")
    opened.click("#play-go")
    eventually(opened.locator("#play-problem"), r"^The model does not know é < >\. ")
    opened.click("#play-problem button")
    expected = "th red " + lstm.sample("th red ", length=30)
    eventually(opened.locator("#output .letters"), f"^{re.escape(expected)}$")
    expect(opened.locator("#play-problem")).to_have_text("")


def test_a_wrong_setting_is_shown_even_if_its_field_was_hidden(opened):
    opened.locator("#more").evaluate("(element) => (element.open = true)")
    opened.fill("#play-top-p", "5")
    opened.locator("#more").evaluate("(element) => (element.open = false)")
    opened.click("#play-go")
    expect(opened.locator("#play-top-p")).to_be_focused()
    expect(opened.locator("#output .letters")).to_be_empty()


# Presses Escape as soon as the page shows a part of the text, however fast the page writes.
ESCAPE_AT_THE_FIRST_TEXT = """() => {
  const output = document.querySelector("#output .letters");
  const watcher = new MutationObserver(() => {
    if (!output.textContent) return;
    watcher.disconnect();
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  });
  watcher.observe(output, { childList: true, subtree: true, characterData: true });
}"""


def test_writing_can_be_stopped_and_begun_again(page, tmp_path):
    model = html_model(cell="gru", hidden_size=300)
    open_page(page, model.to_html(tmp_path / "m.html"))
    page.fill("#play-length", "20000")
    page.evaluate(ESCAPE_AT_THE_FIRST_TEXT)
    page.click("#play-go")
    eventually(page.locator("#note"), r"^stopped after [\d,]+ characters?, ")
    length = len(page.text_content("#output .letters"))
    assert 0 < length < 20_000
    page.fill("#play-length", "10")
    page.keyboard.press("Control+Enter")
    eventually(page.locator("#note"), r"^10 characters in ")
    assert len(page.text_content("#output .letters")) == 10


def test_the_longest_text_keeps_its_states_in_128_mib(page, tmp_path):
    open_page(page, html_model(cell="lstm", layers=3, hidden_size=600).to_html(tmp_path / "m.html"))
    assert page.get_attribute("#play-length", "max") == str(2**27 // (3 * 600 * 8))


def test_the_text_can_be_copied_and_saved(opened):
    text = write(opened, prompt="the ", length=30)
    opened.click("#copy")
    expect(opened.locator("#toast")).to_have_text("Text copied")
    assert opened.evaluate("navigator.clipboard.readText()") == f"the {text}"
    with opened.expect_download() as download:
        opened.click("#save")
    assert download.value.suggested_filename == "book.txt"
    assert download.value.path().read_text(encoding="utf-8") == f"the {text}"


def test_markup_in_names_texts_and_vocabularies_is_shown_as_text(page, tmp_path):
    name = "<img src=x onerror=alert(1)> & {{ json }}"
    model = html_model(cell="gru", text=HOSTILE_TEXT, ngram_order=6)
    about = f"{MARKUP} {{{{ data }}}} \x00\ud800"
    open_page(page, model.to_html(tmp_path / f"{name}.html", weights="float32", about=about))
    assert page.title() == page.text_content("h1") == name
    assert page.text_content(".about") == f"It was trained on {MARKUP} {{{{ data }}}} ␀\ufffd."
    text = write(page, prompt=MARKUP, length=300)
    assert text == model.sample(MARKUP, 300)
    page.focus("#output")
    page.keyboard.press("Home")
    expect(page.locator("#prediction .letter")).to_have_text("<")
    assert page.locator("img, main script").count() == 0
    assert page.title() == name


def test_a_model_whose_numbers_are_not_finite_says_so(page, tmp_path):
    model = html_model(cell="gru")
    model.parameters["V"][::2] = 3e38
    model.parameters["V"][1::2] = -3e38
    model.parameters["c"][...] = 3e38
    open_page(page, model.to_html(tmp_path / "m.html", weights="float32"))
    page.click("#play-go")
    eventually(page.locator("#play-problem"), "its logits are not finite")
    expect(page.locator("#play-go")).to_be_enabled()
