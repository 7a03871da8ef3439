"""The lesson on gradient checking quotes and draws the stored figures, and some are measured again.

`sh scripts/lesson --check` measures all of them, which takes minutes.
"""

import importlib.util
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from charloom.report.plot_files import svg_of
from charloom.report.plot_style import DARK, LIGHT

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import lesson  # noqa: E402
import lesson_measurements as measurements  # noqa: E402
import lesson_pictures  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def module_of(folder: str, name: str):
    """Import a script of the repository, and return the module."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


doctor_benchmark = module_of("benchmarks", "doctor")
FIGURES = lesson.with_usual(json.loads(lesson.FIGURES.read_text(encoding="utf-8")))
TEXT = lesson.LESSON.read_text(encoding="utf-8")


def test_the_text_quotes_the_stored_figures():
    texts = lesson.quoted(FIGURES)
    assert lesson.with_figures(TEXT, texts) == TEXT
    assert {found[1] for found in lesson.QUOTED.finditer(TEXT)} == set(texts)


def test_a_figure_that_was_changed_by_hand_is_caught():
    texts = lesson.quoted(FIGURES)
    planted = TEXT.replace("<!-- loss -->109.5", "<!-- loss -->109.4")
    assert planted != TEXT
    assert lesson.with_figures(planted, texts) == TEXT
    other = {
        **FIGURES,
        "mistake": measurements.rounded(measurements.measure_mistake())[::-1],
    }
    assert lesson.with_figures(TEXT, lesson.quoted(other)) != TEXT


def test_small_networks_measured_again_give_the_same_figures():
    sizes = measurements.SIZES[:2]
    found = measurements.rounded(measurements.measure_growth(sizes))
    assert measurements.differences(FIGURES["growth"][: len(sizes)], found) == []
    found = measurements.rounded(measurements.measure_entries(measurements.SIZES[:1]))
    (stored,) = FIGURES["entries"][:1]
    sums = ("H", "count", "loss", "spacing", "expected", "largest", "smallest", "typical")
    assert (
        measurements.differences({k: stored[k] for k in sums}, {k: found[0][k] for k in sums}) == []
    )


def test_the_mistake_measured_again_gives_the_same_figures():
    found = measurements.rounded(measurements.measure_mistake())
    assert measurements.differences(FIGURES["mistake"], found) == []
    assert [row["passed"] for row in found] == [True, False]


def test_some_step_sizes_measured_again_give_the_same_figures():
    """Every eighth step is measured, with the largest network."""
    every = 8
    found = measurements.rounded(measurements.measure_step_sizes(steps=measurements.STEPS[::every]))
    for dtype in ("float64", "float32"):
        for name, curve in FIGURES["step_sizes"][dtype]["curves"].items():
            measured = found[dtype]["curves"][name]
            assert measurements.differences(curve[::every], measured) == []
        assert max(found[dtype]["analytic"].values()) < {"float64": 1e-12, "float32": 1e-5}[dtype]


def broken_paragraphs(text):
    """Return the lines that begin with a comment, because such a line ends a paragraph of Markdown."""
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("<!--")]


def test_no_quoted_figure_breaks_its_paragraph():
    assert broken_paragraphs(TEXT) == []
    assert len(broken_paragraphs(TEXT.replace("close to T ln K", "close to\n<!-- x -->"))) == 1


def test_the_table_of_missed_mistakes_is_where_the_lesson_says_and_has_the_stored_figures():
    rows = FIGURES["usual"]
    tables = doctor_benchmark.TABLES.read_text(encoding="utf-8")
    assert "DOCTOR.md#mistakes-that-the-usual-check-misses" in TEXT
    assert "## Mistakes that the usual check misses" in tables
    assert doctor_benchmark.usual_table(rows) in tables
    missed = [row["id"] for row in rows if row["passes_absolute"] and row["passes_relative"]]
    assert "initial-state-dropped" in missed
    assert [row["id"] for row in rows if row["id"] not in row["doctor"]] == []
    planted = [{**row, "passes_absolute": False, "passes_relative": False} for row in rows]
    assert doctor_benchmark.usual_table(planted) not in tables


def test_the_lesson_counts_the_mistakes_that_the_usual_check_misses():
    rows = FIGURES["usual"]
    counts = lesson.usual_counts(rows)
    passed = [(row["absolute"] < 1e-4, row["relative"] < 1e-4) for row in rows]
    assert counts == {
        "planted": str(len(rows)),
        "missed": str(sum(a and r for a, r in passed)),
        "missed-absolute": str(sum(a for a, _ in passed)),
    }
    planted = [{**rows[0], "passes_absolute": False}, *rows[1:]]
    other = lesson.quoted({**FIGURES, "usual": planted})
    assert lesson.with_figures(TEXT, other) != TEXT


def test_the_best_step_is_where_the_derived_formula_says():
    """The derivation in the text: s* = (3 ε f / |f‴|)^(1/3), E(s*) = s*² |f‴| / 2, and the measured V."""
    rounding = FIGURES["best_steps"]["rounding"]
    assert rounding == pytest.approx(FIGURES["entries"][-1]["loss"] * 2.0**-53, rel=1e-3)
    steps, curves = FIGURES["step_sizes"]["steps"], FIGURES["step_sizes"]["float64"]["curves"]
    for name in "cW":
        found = FIGURES["best_steps"][name]
        error = {
            factor: (factor * found["step"]) ** 2 * found["third"] / 6
            + rounding / (factor * found["step"])
            for factor in (0.9, 1.0, 1.1)
        }
        assert error[1.0] < min(error[0.9], error[1.1])
        assert found["error"] == pytest.approx(found["step"] ** 2 * found["third"] / 2, rel=2e-3)
        assert found["error"] == pytest.approx(error[1.0], rel=2e-3)
        assert rounding / found["step"] == pytest.approx(2 / 3 * found["error"], rel=2e-3)
        lowest = min(curves[name])
        measured = steps[curves[name].index(lowest)]
        assert 10**-0.5 < measured / found["step"] < 10**0.5  # a step of the grid
        assert 1 / 3 < lowest / found["norm"] < 3


def test_the_best_steps_measured_again_are_the_same():
    found = measurements.rounded(measurements.measure_best_steps())
    assert measurements.differences(FIGURES["best_steps"], found) == []


def test_what_the_text_says_about_real_and_complex_arrays_is_true():
    assert np.zeros_like(np.zeros(3)).dtype == float
    assert np.zeros_like(np.zeros(3, complex)).dtype == complex
    with pytest.warns(np.exceptions.ComplexWarning):
        np.zeros(2)[:] = np.array([1j, 2j])
    assert "`np.zeros_like(h)` is)" not in TEXT


@pytest.mark.parametrize(
    ("stored", "found", "count"),
    [
        (1e-7, 2.9e-7, 0),
        (1e-7, 3.1e-7, 1),
        (2e-15, 1e-12, 0),
        (2e-15, 1e-10, 1),
        ({"a": [1.0, 2]}, {"a": [1.0, 3]}, 1),
        ({"a": 1.0}, {"b": 1.0}, 1),
        ([1.0], [1.0, 2.0], 1),
        (True, False, 1),
    ],
)
def test_a_planted_difference_is_found(stored, found, count):
    assert len(measurements.differences(stored, found)) == count


def test_the_statements_about_the_figures_are_true():
    first, *_, last = FIGURES["growth"]
    for name in ("U", "W", "V"):
        assert last["worst"][name] > 10 * first["worst"][name]
    assert last["worst"]["W"] > 100 * first["worst"]["W"]
    for name in ("W", "V"):
        assert last["worst"][name] > measurements.USUAL_LIMIT > first["worst"][name]
    for name in measurements.NAMES:
        assert last["norm"][name] < 2 * first["norm"][name]
        assert last["absolute"][name] < 2 * first["absolute"][name]
    assert max(value for row in FIGURES["growth"] for value in row["analytic"].values()) < 1e-11
    assert min(first["norm"]["W"], last["norm"]["W"]) > max(first["norm"]["V"], last["norm"]["V"])
    for row in FIGURES["entries"]:
        middle = sorted(e * s for e, s in zip(row["error"], row["size"], strict=True))
        assert 0.1 < middle[len(middle) // 2] / (row["expected"] / 2) < 3
    large = FIGURES["entries"][-1]
    assert 1e-7 / 3 < large["expected"] / (2 * large["typical"]) < 3e-7
    step_sizes = FIGURES["step_sizes"]
    assert max(min(step_sizes["float64"]["curves"][name]) for name in "cW") < 1e-8
    expected_error = step_sizes["float32"]["spacing"] / (2 * measurements.USUAL_STEP)
    assert 50 < expected_error / large["typical"] < 200
    zero, other = FIGURES["mistake"]
    assert max(zero["central"].values()) < measurements.USUAL_LIMIT
    assert zero["passed"]
    assert [name for name in measurements.NAMES if other["complex"][name] > 1e-12] == ["W"]


def test_every_picture_has_a_light_and_a_dark_version_and_a_text_alternative():
    pictures = re.findall(
        r'<picture>\n<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\n'
        r'<img src="([^"]+)" alt="([^"]+)">\n</picture>',
        TEXT,
    )
    assert len(pictures) == TEXT.count("<picture>") == len(lesson_pictures.PICTURES)
    for dark, light, words in pictures:
        assert dark == light.replace(".svg", "-dark.svg")
        assert Path(light).stem in lesson_pictures.PICTURES
        assert len(words) > 100
        for name, palette in ((light, LIGHT), (dark, DARK)):
            svg = (lesson.DOCS / name).read_text(encoding="utf-8")
            assert palette["paper"] in svg
            assert palette["ink"] in svg


@pytest.mark.parametrize("name", list(lesson_pictures.PICTURES))
def test_a_picture_draws_the_stored_figures(name):
    """The committed picture has the same lines at the same places, with any version of matplotlib."""

    def places(svg):
        groups = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("id")]
        lines = {}
        for group in groups:
            if re.match(
                r"(worst|norm|analytic|entries|expected|float|zero|non|usual)", group.get("id")
            ):
                path = group.find(f"{SVG}path")
                numbers = [] if path is None else re.findall(r"[\d.]+", path.get("d", ""))
                uses = [u.get("x") + " " + u.get("y") for u in group.iter(f"{SVG}use")]
                lines[group.get("id")] = [float(n) for n in " ".join([*numbers, *uses]).split()]
        return lines

    drawn = places(svg_of(lesson_pictures.PICTURES[name](FIGURES, LIGHT)))
    stored = places((lesson.PICTURES / f"{name}.svg").read_text(encoding="utf-8"))
    assert drawn
    assert drawn.keys() == stored.keys()
    for line, numbers in drawn.items():
        assert numbers == pytest.approx(stored[line], abs=0.5), line
