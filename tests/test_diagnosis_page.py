"""The doctor's page shows the verdict first, then each mistake with its equations, and escapes untrusted text."""

import dataclasses
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from charloom.cli import app
from charloom.cli.doctor_command import picture as picture_in_terminal
from charloom.diagnosis import MISTAKES, Diagnosis, Found, doctor
from charloom.diagnosis.error_patterns import STEP_LIMITS
from charloom.errors import ConfigError
from charloom.formatting import scientific
from charloom.report import write_diagnosis
from charloom.report.diagnosis_page import render_diagnosis, sentence, worst_rows
from charloom.report.heatmap import STRONGEST, cell_text, depth, heatmap_figure
from charloom.report.plot_files import svg_of
from charloom.report.plot_style import DARK, LIGHT, NARROW, Palette
from pages import NO_VALUE, Page
from plants import PLANTS, function, source

FORGETFUL = next(plant for plant in PLANTS if plant.name == "loop-initial-state-dropped")


@pytest.fixture(scope="module")
def wrong() -> Diagnosis:
    return doctor(function("loop", FORGETFUL))


@pytest.fixture(scope="module")
def right() -> Diagnosis:
    return doctor(function("loop"))


def test_the_page_shows_the_verdict_then_the_mistake_then_the_errors(wrong):
    html = render_diagnosis(wrong)
    page = Page(html)
    assert page.titles == ["What is wrong", "Where the gradient is wrong", "Settings of the trials"]
    (one,) = wrong.explanations[0]
    assert one.id == "initial-state-dropped"
    places = [
        page.words.index(part) for part in (wrong.headline(), one.id, one.does, one.right, one.fix)
    ]
    assert places == sorted(places)
    assert one.mistake.section in page.words
    assert "Certificate" not in page.words
    assert "eight of them wrong" in page.words
    assert len({row.trial for row in wrong.rows if not row.passed}) == 8
    assert [text for text in page.samples if "da_t h_{t-1}ᵀ" in text]


def test_every_error_of_every_trial_is_in_the_tables(wrong):
    html = render_diagnosis(wrong)
    for row in wrong.rows:
        for error in (row.norm_relative, row.absolute, row.elementwise):
            assert scientific(error) in html
    for trial in wrong.tried.trials:
        assert trial.name in html
    wrong_rows = sum(not row.passed for row in wrong.rows)
    assert html.count("<td>WRONG</td>") == wrong_rows + 1  # that of W is in both tables
    assert html.count('<tr class="failed">') == wrong_rows + 1


HEADINGS = ["norm-relative", "limit", "Verdict", "absolute", "elementwise", "worst entry"]


def cells(diagnosis, row):
    """Return a row as the table must show it."""
    name = "loss" if row.parameter == "loss" else f"d{row.parameter}"
    place = f"[{', '.join(map(str, row.index))}] " if row.index else ""
    return [
        name,
        scientific(row.norm_relative),
        scientific(row.limit),
        "right" if row.passed else "WRONG",
        scientific(row.absolute),
        scientific(row.elementwise),
        f"{place}is {row.given:.6g}, should be {row.exact:.6g}",
    ]


def test_each_column_of_both_tables_fits_its_heading(wrong, right):
    for diagnosis in (wrong, right):
        page = Page(render_diagnosis(diagnosis))
        names = [trial.name for trial in diagnosis.tried.trials]
        assert page.table("Gradient", *HEADINGS, "trial") == [
            [*cells(diagnosis, row), names[row.trial]] for row in worst_rows(diagnosis.rows)
        ]
        wanted = []
        for place in range(len(names)):
            rows = [cells(diagnosis, row) for row in diagnosis.rows if row.trial == place]
            wanted += [[one for one in page.tables[1] if len(one) == 1][place], *rows]
        assert page.table("Gradient", *HEADINGS) == wanted
        assert not NO_VALUE.findall(page.words)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_terminal_and_the_page_have_one_limit_for_right_steps(right, dtype):
    limit = STEP_LIMITS[dtype]
    tried = dataclasses.replace(right.tried, dtype=dtype)
    errors = {"W": (limit, 1.01 * limit, math.nan)}
    shown = dataclasses.replace(right, tried=tried, errors_by_step=errors)
    *_, row, legend = picture_in_terminal(shown)
    assert row.split() == ["dW", "·", "░", "█"]
    assert legend == "· right   ░ below 0.1 %   ▒ below 1 %   ▓ below 10 %   █ more"
    assert "dW is wrong at step 2 and 3." in render_diagnosis(shown)


def test_a_number_that_is_not_finite_is_written_in_words(wrong):
    row = dataclasses.replace(
        wrong.rows[3], given=math.nan, exact=math.inf, absolute=math.nan, norm_relative=math.nan
    )
    rows = (*wrong.rows[:3], row, *wrong.rows[4:])
    page = Page(render_diagnosis(dataclasses.replace(wrong, rows=rows, errors_by_step={})))
    assert "is not a number, should be infinite" in page.words
    assert not NO_VALUE.findall(page.words)


def test_the_heading_has_no_folders(right, tmp_path):
    path = tmp_path / "mine.py"
    html = render_diagnosis(dataclasses.replace(right, subject=f"{path}:f"))
    assert "<h1>mine.py:f</h1>" in html
    assert f"<dd>{path}:f</dd>" in html
    html = render_diagnosis(dataclasses.replace(right, subject="Ada, in/mine.py:f"))
    assert "<h1>Ada, in/mine.py:f</h1>" in html


def test_a_function_without_a_name_is_called_a_function(right):
    html = render_diagnosis(dataclasses.replace(right, subject="", errors_by_step={}))
    assert "<h1>a function</h1>" in html
    assert "<title>a function: right" in html


def test_the_first_table_has_the_worst_trial_of_each_gradient_even_if_it_is_nan(wrong):
    for row in worst_rows(wrong.rows):
        same = [other for other in wrong.rows if other.parameter == row.parameter]
        assert all(row.norm_relative / row.limit >= o.norm_relative / o.limit for o in same)
    nan = dataclasses.replace(wrong.rows[3], norm_relative=math.nan)
    assert nan in worst_rows([*wrong.rows, nan])


def test_a_right_function_gets_its_certificate(right):
    page = Page(render_diagnosis(right))
    assert page.titles == ["Certificate", "Errors by gradient", "Settings of the trials"]
    assert page.samples == [right.certificate()]
    assert "WRONG" not in page.words
    assert "What the code computes" not in page.words
    assert "none of them wrong" in page.words


def test_the_page_loads_no_other_files_and_runs_no_scripts(wrong, right):
    for diagnosis in (wrong, right):
        html = render_diagnosis(diagnosis)
        page = Page(html)
        assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
        assert not [a for a in page.attributes if a[1].startswith("on")]
        links = [value for _, name, value in page.attributes if name.endswith(("href", "src"))]
        assert all(value.startswith("#") for value in links)
        assert "default-src 'none'" in html
        ids = [value for _, name, value in page.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        assert "#0101" not in html


HOSTILE = "<script>alert(1)</script>\"'>&\u202e\x1b[31m\x00"


def test_untrusted_text_is_escaped_everywhere(wrong):
    hostile = dataclasses.replace(
        wrong,
        subject=f"{HOSTILE}.py:{HOSTILE}",
        clues=(HOSTILE,),
        notes=(HOSTILE,),
        tried=dataclasses.replace(wrong.tried, convention=HOSTILE),
    )
    html = render_diagnosis(hostile)
    page = Page(html)
    assert "script" not in page.tags
    assert page.words.count("<script>alert(1)</script>") == 9
    for sign in ("\x1b", "\x00", "\u202e"):
        assert sign not in html


def test_untrusted_text_is_escaped_in_the_certificate(right):
    html = render_diagnosis(dataclasses.replace(right, subject=HOSTILE, errors_by_step={}))
    assert "script" not in Page(html).tags
    assert "\x1b" not in html


def test_a_page_that_does_not_escape_would_be_caught():
    assert "script" in Page(f"<p>{HOSTILE.split('&')[0]}</p>").tags


def test_a_function_with_the_name_script_is_checked_and_shown(tmp_path: Path):
    path = tmp_path / "<script>.py"
    path.write_text(source("loop"), encoding="utf-8")
    diagnosis = doctor(f"{path}:loss_and_gradients")
    page = Page(write_diagnosis(diagnosis, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "<script>.py:loss_and_gradients" in page.words


def test_two_explanations_are_shown_in_full_and_the_others_by_title(wrong):
    names = ("time-carry-missing", "truncated", "clipped")
    chosen = [next(m for m in MISTAKES if m.id.startswith(name[:6])) for name in names]
    explanations = tuple((Found(m.id),) for m in chosen)
    several = dataclasses.replace(wrong, explanations=explanations, exact=False, errors_by_step={})
    page = Page(render_diagnosis(several))
    for mistake in chosen:
        assert mistake.title[1:] in page.words
    assert "The likeliest explanation" in page.words
    assert f"These mistakes explain the errors as well: {chosen[2].title}" in page.words
    assert "not every number of every trial" in page.words


def test_the_page_says_that_no_known_mistake_explains_the_errors(wrong):
    unknown = dataclasses.replace(wrong, found=(), explanations=(), exact=False, errors_by_step={})
    page = Page(render_diagnosis(unknown))
    assert "No known mistake explains the wrong gradient." in page.words
    assert "not every number of every trial" not in page.words


def test_every_mistake_can_be_shown(wrong):
    for mistake in MISTAKES:
        shown = dataclasses.replace(wrong, explanations=((Found(mistake.id),),))
        page = Page(render_diagnosis(dataclasses.replace(shown, errors_by_step={})))
        assert Found(mistake.id).fix in page.words
        assert mistake.does in page.words
        assert mistake.right.replace("\n", " ") in page.words


def test_the_page_is_written_to_the_given_path(tmp_path: Path, right):
    path = tmp_path / "page.html"
    right = dataclasses.replace(right, errors_by_step={})
    path.write_text("old", encoding="utf-8")
    assert write_diagnosis(right, path) == path
    assert path.read_text(encoding="utf-8") == render_diagnosis(right)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(ConfigError, match="is a directory"):
        write_diagnosis(right, tmp_path)
    with pytest.raises(ConfigError, match=r"the directory .* does not exist"):
        write_diagnosis(right, tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize(
    ("clue", "text"),
    [("dW: first wrong", "dW: first wrong"), ("it is", "It is"), ("done", "Done"), ("", "")],
)
def test_a_clue_begins_with_a_capital_unless_it_begins_with_a_gradient(clue, text):
    assert sentence(clue) == text


# The picture

ERRORS = {"dU": (1e-16, 0.25, math.nan), "dW": (1e-9, 1e-3, math.inf), "db": (0.0, 1e-7, 1e-6)}


@pytest.mark.parametrize("width", [832, NARROW[0]])
def test_each_cell_of_the_heat_map_shows_its_error(width):
    svg = svg_of(heatmap_figure(ERRORS, 1e-6, width=width))
    text = re.findall(r">([^<>\n]+)</text>", svg)
    cells = [[cell_text(error, 1e-6) for error in row] for row in ERRORS.values()]
    assert cells == [["✓", "0.25", "NaN"], ["✓", "10⁻³", "NaN"], ["✓", "✓", "✓"]]
    assert [t for t in text if t in ("✓", "0.25", "NaN", "10⁻³")] == [
        one for row in cells for one in row
    ]
    for name in ("dU", "dW", "db"):
        assert name in text
    assert svg.count('id="cell-') == 9


def test_a_cell_that_is_too_small_for_text_has_only_its_colour():
    svg = svg_of(heatmap_figure({"W": [0.5] * 60}, 1e-6, width=360))
    assert ">0.50<" not in svg
    assert svg.count('id="cell-') == 60


def test_a_larger_error_is_coloured_more_strongly():
    depths = [depth(error, 1e-6) for error in (0, 1e-6, 1.1e-6, 1e-4, 1e-2, 1, 7, math.nan)]
    assert depths[:2] == [0, 0]
    assert depths[2] > 0
    assert depths == sorted(depths)
    assert depths[-3:] == [1, 1, 1]


def luminance(colour: tuple[float, ...]) -> float:
    """Return the relative luminance of a colour with channels in 0 … 255, as defined by WCAG 2."""
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast ratio of two colours, as defined by WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_numbers_are_readable_on_every_colour(palette: Palette):
    paper, ink = rgb(palette["paper"]), rgb(palette["ink"])
    for name, share, text in (("cross", STRONGEST, "ink"), ("rule", 0.5, "muted")):
        mixed = [
            share * a + (1 - share) * b for a, b in zip(rgb(palette[name]), paper, strict=True)
        ]
        assert contrast(tuple(mixed), rgb(palette[text])) >= 4.5, name
    assert contrast(paper, ink) >= 7
    for name in ("muted", "cross", "series-3"):
        assert contrast(paper, rgb(palette[name])) >= 4.5, name


def test_the_heat_map_has_a_description_in_words(wrong):
    labels = [
        value for _, name, value in Page(render_diagnosis(wrong)).attributes if name == "aria-label"
    ]
    assert (
        sum("dW is wrong at every step; db is right at every step" in label for label in labels)
        == 2
    )


# The command


def test_the_command_writes_the_page_whatever_the_verdict(tmp_path: Path):
    path, page = tmp_path / "mine.py", tmp_path / "page.html"
    for plants, code in (((), 0), ((FORGETFUL,), 1)):
        path.write_text(source("loop", *plants), encoding="utf-8")
        done = CliRunner().invoke(
            app, ["doctor", f"{path}:loss_and_gradients", "--html", str(page)]
        )
        assert done.exit_code == code, done.output
        assert f"the page is in {page}" in done.output
        words = Page(page.read_text(encoding="utf-8")).words
        assert "mine.py:loss_and_gradients" in words
        assert ("Certificate" in words) == (code == 0)
