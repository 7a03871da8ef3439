"""What the Python interface returns shows itself in notebooks: escaped, short, and readable on white and on black."""

import inspect
import json
import re
import shutil
import types
import typing
from pathlib import Path

import numpy as np
import pytest

import charloom
import charloom.notebook_html as pieces
from browser import NONE, chromium, chromium_path
from charloom.colour_steps import (
    HIGH,
    LOW,
    STEPS,
    SURPRISE,
    css_colour,
    scale,
    surprise_step,
    value_step,
)
from charloom.formatting import harmless
from charloom.report.plot_style import LIGHT
from charloom.text import Corpus
from pages import NO_VALUE, Page

STATIC = Path(charloom.__file__).parent / "web" / "static"
HOSTILE = "<script>alert(1)</script> \"'&amp;\u202eevil\u2066\x1b[31m <b onclick='x'>bold</b>\r\n"
TEXT = "the cat sat on the mat, and the hat sat on the cat. " * 60 + HOSTILE * 4
LARGEST = 300_000  # characters of the HTML of one result


@pytest.fixture(scope="module")
def model():
    """A small model with n-grams that knows the characters of the hostile text."""
    return charloom.train(
        string=TEXT, hidden_size=8, seq_length=16, batch_size=2, updates=30, ngram_order=3,
        input_pairs=5, validation=0.2,
    )  # fmt: skip


def backward(params, x, y, h0):
    """Return a wrong loss and wrong gradients."""
    return 1.0, {name: np.zeros_like(array) for name, array in params.items()}


@pytest.fixture(scope="module")
def results(model, tmp_path_factory):
    """One result of each kind, by the name of its class."""
    run = tmp_path_factory.mktemp("notebook") / "run"
    classic = charloom.reproduce(
        string=TEXT, run=run, hidden_size=6, updates=20, sample_first=10, engine="reference"
    )
    shutil.copytree(run, run.with_name("<b>other"))
    (run.parent / "<b>text").write_text(TEXT, encoding="utf-8")
    spec = {"texts": [str(run.parent / "<b>text")], "settings": {"hidden_size": 2, "updates": 3}}
    found = [
        model,
        classic,
        charloom.compare(run, run.with_name("<b>other")),
        model.score(HOSTILE),
        model.sample_grid(HOSTILE, 60),
        model.ngram_use(HOSTILE),
        model.activity(HOSTILE),
        model.evaluate(),
        model.baselines(),
        classic.checks[0],
        charloom.doctor(backward),
        charloom.DiagnosedClass(
            (charloom.Judged(HOSTILE, "rnn.py", "f", "error", passed=False, error=HOSTILE),)
        ),
        charloom.train(string="ab\nba\n<b>" * 9, items="lines", hidden_size=3, updates=2).items(2),
        charloom.trace(),
        charloom.fixed_points(model, string=TEXT),
        charloom.ablate(model, string=TEXT, characters=100),
        charloom.classify([model, charloom.load(run)], HOSTILE),
        charloom.memorized(model, run.parent / "<b>text", samples=2, length=30),
        charloom.probe(model, string=TEXT, properties=["in-word"]),
        charloom.study(spec, run.with_name("study"), workers=1),
        charloom.neurons(model, string=TEXT, properties=["in-word"], pattern="zzz"),
        charloom.find_learning_rate(
            string=TEXT, recipe="classic", hidden_size=4, seq_length=8, trial_updates=12
        ),
    ]
    return {type(one).__name__: one for one in found}


KINDS = (
    "Activity", "Baselines", "Classification", "DiagnosedClass", "Diagnosis", "Evaluation", "GradientCheck", "LearningRateSearch", "Memorization", "Model",
    "FixedPoints", "NGramUse", "Neurons", "Probe", "Reproduction", "RunComparison", "SampleGrid", "StudySummary",
    "Surprise", "Trace", "UnitAblation", "WrittenItems",
)  # fmt: skip


def test_there_is_a_result_of_each_kind(results):
    assert sorted(results) == sorted(KINDS)


# Every returned class


def returned_classes(functions):
    """Return the classes of charloom that the functions return, also those in unions and tuples."""
    found = set()
    for function in functions:
        waiting = [typing.get_type_hints(function).get("return")]
        while waiting:
            kind = waiting.pop()
            waiting += typing.get_args(kind)
            if isinstance(kind, type) and kind.__module__.startswith("charloom."):
                found.add(kind)
    return found


def without_html(functions):
    """Return the names of the returned classes that do not show themselves in a notebook."""
    return {
        kind.__name__ for kind in returned_classes(functions) if not hasattr(kind, "_repr_html_")
    }


def public_functions():
    """Return the public functions, and the public methods of a model."""
    names = [getattr(charloom, name) for name in charloom.__all__]
    methods = inspect.getmembers(charloom.Model, inspect.isfunction)
    kept = {"learner", "export_problem", "prepared_export", "reading_problem", "start_problem"}
    return [
        *(one for one in names if isinstance(one, types.FunctionType)),
        *(method for name, method in methods if not name.startswith("_") and name not in kept),
    ]


def test_everything_that_the_interface_returns_shows_itself():
    # A Writing is an iterator over the pieces of a text. A Control and an Uploaded have only a few words. The list
    # of RunSummary shows a table.
    plain = {"Control", "RunSummary", "Uploaded", "Writing"}
    assert without_html(public_functions()) == plain
    shown = {kind.__name__ for kind in returned_classes(public_functions())}
    assert shown - plain == set(KINDS)


def test_a_planted_function_whose_result_does_not_show_itself_is_found():
    def planted() -> tuple[Corpus, ...] | None:
        return None

    assert without_html([planted, charloom.doctor]) == {"Corpus"}


# Safe and self-contained


ELEMENTS = {"div", "p", "pre", "span", "table", "thead", "tbody", "tr", "th", "td"} | {
    "svg",
    "polyline",
    "circle",
    "line",
    "text",
}


def harms(html):
    """Return a sentence for each thing in the HTML that runs code, loads a file or leaves its place."""
    page, found = Page(html), []
    found += [f"an element {tag}" for tag in page.tags if tag not in ELEMENTS]
    for tag, name, value in page.attributes:
        if name.startswith("on") or name in {"href", "src", "class", "id"}:
            found.append(f"an attribute {name} of {tag}")
        if name == "style" and re.search(r"url|@import|expression|position", value):
            found.append(f"the style {value}")
    found += [f"the character {c!r}" for c in html if harmless(c) != c]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_escaped_html_without_styles_scripts_and_links(kind, results):
    html = results[kind]._repr_html_()
    assert harms(html) == []
    assert len(html) < LARGEST
    assert not NO_VALUE.search(Page(html).words)


@pytest.mark.parametrize("kind", ["Surprise", "NGramUse", "Activity", "DiagnosedClass"])
def test_a_hostile_text_is_shown_as_text(kind, results):
    words = Page(results[kind]._repr_html_()).words
    assert (
        "<script>alert(1)</script> \"'&amp;[U+202E]evil[U+2066]␛[31m <b onclick='x'>bold</b>"
        in words
    )


def test_hostile_names_of_texts_properties_and_functions_are_escaped(model, results, monkeypatch):
    evaluation = model.evaluate(string=TEXT)
    object.__setattr__(evaluation, "text", HOSTILE)
    found = charloom.neurons(model, string=TEXT, pattern="<b|sat")
    object.__setattr__(found, "text", HOSTILE)
    diagnosis = results["Diagnosis"]
    monkeypatch.setitem(diagnosis.__dict__, "subject", HOSTILE)
    monkeypatch.setitem(diagnosis.__dict__, "notes", (HOSTILE,))
    for one in (evaluation, found, diagnosis):
        assert harms(one._repr_html_()) == []
        assert "<b onclick='x'>" in Page(one._repr_html_()).words


def test_a_planted_piece_that_does_not_escape_is_found(monkeypatch):
    monkeypatch.setattr(pieces, "escaped", str)
    found = harms(pieces.plain_text(HOSTILE))
    assert "an element script" in found
    assert "an attribute onclick of b" in found
    assert "the character '\\u202e'" in found


# Bounded


def test_a_long_text_is_cut_with_a_sentence(model):
    for one in (model.score(TEXT * 3), model.activity(TEXT * 3), model.ngram_use(TEXT * 3)):
        html = one._repr_html_()
        assert f"The first 2,000 of {len(TEXT) * 3:,} characters are shown." in Page(html).words
        assert len(html) < LARGEST


def test_programs_that_parse_html_keep_the_spaces_and_line_breaks_of_a_text():
    text = "\n\n   a  \n\n  b"
    (shown,) = Page(pieces.plain_text(text)).pres
    assert shown == "\n" + text


def test_a_text_of_the_largest_length_is_not_cut():
    assert "are shown" not in pieces.plain_text("a" * pieces.MOST_CHARACTERS)
    longer = pieces.plain_text("a" * (pieces.MOST_CHARACTERS + 1))
    assert Page(longer).words.count("a" * 2_000 + "The first 2,000 of 2,001 characters") == 1


def test_a_long_table_is_cut_with_a_sentence():
    html = pieces.table(["n"], [[str(n)] for n in range(100)])
    (rows,) = Page(html).tables
    assert len(rows) == 1 + pieces.MOST_ROWS
    assert "The table shows the first 60 of 100 rows." in Page(html).words


def test_a_long_name_is_cut():
    assert len(Page(pieces.figures([("text", "x" * 10_000)])).words) == 300 + len("text")


def test_a_gradient_check_with_many_parameters_shows_those_with_the_largest_errors(results):
    check = results["GradientCheck"]
    row = check.rows[0]
    other = type(row)(**{**vars(row), "parameter": "worst", "norm_relative": 1.0})
    many = type(check)(settings=check.settings, rows=(row,) * 100 + (other,))
    (rows,) = Page(many._repr_html_()).tables
    assert rows[1][:2] == ["worst", "WRONG"]


# Contents


def test_a_model_shows_its_sizes_and_losses_but_not_its_text(model, tmp_path):
    (tmp_path / "secret-diary.txt").write_text(TEXT)
    named = charloom.train(
        tmp_path / "secret-diary.txt", hidden_size=8, updates=5, seq_length=16, batch_size=2
    )
    (rows,) = Page(named._repr_html_()).tables
    table = dict(rows)
    numbers = sum(array.size for array in named.parameters.values())
    assert table["parameters"] == f"{numbers:,}"
    assert table["state"].startswith("The best model (update 5")
    assert re.fullmatch(
        r"[\d.]+ bits or [\d.]+ nats per character, at update 5", table["lowest validation loss"]
    )
    assert "diary" not in named._repr_html_()


def test_a_model_of_a_run_names_the_call_that_continues_it(results):
    model = results["Reproduction"].model
    (code,) = Page(model._repr_html_()).pres
    assert code.splitlines()[-1] == f"charloom.resume({str(model.run)!r}, minutes=5)".replace(
        "'", '"'
    )


def test_the_baselines_of_a_byte_model_count_bytes():
    model = charloom.train(
        string=TEXT, tokens="bytes", hidden_size=4, updates=2, seq_length=8, batch_size=2,
        validation=0.2, ngram_order=0,
    )  # fmt: skip
    found = model.baselines()
    words = Page(found._repr_html_()).words
    assert f"from {found.learnt:,} bytes and predicted {found.judged:,}" in words
    assert "bits per byte" in words
    assert "character" not in words


def test_changed_weights_hide_the_losses(model):
    changed = charloom.train(
        string=TEXT, hidden_size=8, updates=5, seq_length=16, validation=0.2, batch_size=2
    )
    changed.parameters["V"][0, 0] += 1
    assert "validation loss" not in changed._repr_html_()
    assert "changed by hand" in changed._repr_html_().lower()


def test_runs_are_shown_as_a_table_with_their_problems(results, tmp_path):
    assert charloom.runs(results["Reproduction"].run) != []
    (tmp_path / "<b>run").mkdir()
    (tmp_path / "<b>run" / "config.json").write_text("{")
    shown = charloom.runs(tmp_path)
    page = Page(shown._repr_html_())
    (rows,) = page.tables
    assert rows[0][:2] == ["run", "state"]
    assert rows[1][:2] == [str(tmp_path / "<b>run"), "damaged"]
    assert harms(shown._repr_html_()) == []
    assert "config.json" in page.words
    assert "0 runs" in type(shown)()._repr_html_()


def test_a_wrong_gradient_is_shown_with_its_fix(results):
    diagnosis = results["Diagnosis"]
    page = Page(diagnosis._repr_html_())
    assert diagnosis.headline() in page.words
    (*_, rows) = page.tables
    assert sorted({row[1] for row in rows[1:] if row[0] == "loss"}) == ["WRONG"]


def test_a_right_function_gets_its_certificate(results):
    from charloom.diagnosis import Diagnosis

    wrong = results["Diagnosis"]
    rows = tuple(type(row)(**{**vars(row), "norm_relative": 1e-16}) for row in wrong.rows)
    right = Diagnosis(
        **{**vars(wrong), "verdict": "right", "found": (), "explanations": (), "rows": rows}
    )
    assert right.certificate() in Page(right._repr_html_()).words


def test_units_are_shown_as_a_table_and_a_coloured_text(results):
    found = results["Neurons"]
    page = Page(found._repr_html_())
    (rows,) = page.tables
    best = found.findings[0].units[0]
    assert rows[1][0] == "in-word"
    assert rows[1][2].startswith(f"{best.layer}:{best.unit} {best.what} {best.r:+.2f}; ")
    assert rows[2] == ["pattern", "", found.findings[1].why_none]
    assert "the cat sat" in page.words
    assert found.best_activity.units == (best.unit,)
    assert "best_activity" not in repr(found)


def test_several_units_say_that_the_first_one_is_shown(model):
    html = model.activity("the cat")._repr_html_()
    assert "This is the first of 8 units. To see another one, give layer and unit." in html
    assert "the first of" not in model.activity("the cat", layer=0, unit=2)._repr_html_()


def test_a_unit_that_never_changes_has_no_colours(model):
    seen = model.activity("tttt", layer=0, unit=0)
    seen.values[:] = 0.5
    assert "rgba(192" not in seen._repr_html_()
    assert "or more" not in seen._repr_html_()


def test_the_plain_repr_stays(results):
    assert repr(results["Model"]).startswith("<charloom.Model: gru, H=8, N=3, 5 pairs, K=")
    assert repr(results["Diagnosis"]).startswith("<Diagnosis of ")
    assert repr(results["Evaluation"]).startswith("Evaluation(split=")


def test_the_plain_repr_of_a_gradient_check_is_its_verdict(results):
    check = results["GradientCheck"]
    assert repr(check) == f"<GradientCheck: {check.verdict()}>"
    assert len(repr(check)) < 500


# Colours


def luminance(colour):
    """Return the relative luminance of a colour (WCAG 2)."""
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast of two colours, from 1 to 21 (WCAG 2)."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def least_contrast(colours, paper, ink):
    """Return the least contrast of letters of the colour `ink` on translucent colours on `paper`."""
    found = []
    for colour in filter(None, colours):
        *parts, opacity = map(float, re.findall(r"[\d.]+", colour))
        mixed = [
            opacity * part + (1 - opacity) * below for part, below in zip(parts, paper, strict=True)
        ]
        found.append(contrast(mixed, ink))
    return min(found)


# The colours of the paper and of the letters in JupyterLab, light and dark, and in dark VS Code.
NOTEBOOKS = [((255,) * 3, (33,) * 3), ((17,) * 3, (223,) * 3), ((30,) * 3, (204,) * 3)]


@pytest.mark.parametrize("colours", [scale(SURPRISE), scale(HIGH, LOW)], ids=["surprise", "value"])
def test_letters_on_every_colour_are_readable_on_white_and_on_black(colours):
    assert len(colours) in (STEPS + 1, 2 * STEPS + 1)
    for paper, ink in NOTEBOOKS:
        assert least_contrast(colours, paper, ink) > 4.5


def test_a_planted_colour_that_hides_letters_is_found():
    assert min(least_contrast(["rgba(242,131,107,0.6)"], *one) for one in NOTEBOOKS) < 4


def test_the_colours_are_those_of_the_dark_page():
    css = (STATIC / "style.css").read_text(encoding="utf-8")
    for name, colour in (("surprise", SURPRISE), ("high", HIGH), ("low", LOW)):
        (dark,) = re.findall(rf"--{name}: light-dark\(#\w+, #(\w+)\);", css)
        assert bytes(colour).hex() == dark
    assert css_colour(8, HIGH) == "rgba(174,98,13,0.6)"


def test_the_bars_of_a_verdict_have_the_colours_of_the_reports():
    assert (LIGHT["series-3"], LIGHT["cross"]) == (pieces.GOOD, pieces.BAD)


@pytest.mark.skipif(chromium_path() is None, reason=NONE)
def test_a_browser_has_the_same_steps_and_runs_nothing(results):
    numbers = [n / 7 for n in range(-3, 110)]
    source = (STATIC / "colours.js").read_text(encoding="utf-8").replace("export ", "")
    html = "".join(one._repr_html_() for one in results.values())
    with chromium() as browser:
        page = browser.new_page()
        dialogs, requests = [], []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.set_content(f"<!DOCTYPE html><body style='background:#111;color:#ddd'>{html}")
        steps = page.evaluate(
            f"() => {{ {source}; const n = {json.dumps(numbers)};"
            f"return [n.map((bits) => surpriseStep(bits * Math.LN2)), n.map((v) => valueStep(v, 0, 9))]; }}"
        )
        shown = page.evaluate(
            "() => [...document.querySelectorAll('td')].map((e) => getComputedStyle(e).color)"
        )
    assert steps == [list(map(surprise_step, numbers)), [value_step(n, 0, 9) for n in numbers]]
    assert (dialogs, requests) == ([], [])
    assert set(shown) == {"rgb(221, 221, 221)"}
