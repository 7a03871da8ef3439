"""Tests of `charloom neurons`: its output, its colours and its errors."""

import dataclasses
import json
import re
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.cli.neurons_command import SCALE, coloured
from charloom.hidden_units.text_properties import PROPERTIES
from charloom.report.unit_map import units_figure
from charloom.text import Corpus
from small_runs import TEXT, train

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": None}

HELD_OUT = len(TEXT) - int(0.7 * len(TEXT))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run of a model with two layers, trained on a text file. Tests only read it."""
    folder = tmp_path_factory.mktemp("inside")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    train(folder / "run", Corpus.open([folder / "book.txt"]), cell="gru", layers=2, epochs=1,
          validation=0.3)  # fmt: skip
    return folder / "run"


@pytest.fixture(scope="module")
def model(run):
    """Return the model of `run`."""
    return charloom.load(run, engine="reference")


def neurons(*words, stdin=None, **environment):
    """Run `charloom neurons` in this process. `words` are split as in a shell."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(
        app,
        ["neurons", *args, "--engine", "reference"],
        input=stdin,
        env=environment,
        prog_name="charloom",
    )


def refused(*words):
    """Return the error message of a command that must fail with one sentence."""
    done = neurons(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    return sentence


def test_the_table_has_the_best_units_of_every_property(run, model):
    done = neurons(run, "--top 2")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    found = charloom.neurons(model, top=2)
    assert f"validation: {HELD_OUT} characters read" in lines[1]
    for line, finding in zip(lines[-len(PROPERTIES) :], found.findings, strict=True):
        name, chance, *rest = line.split()
        assert name == finding.property
        if not finding.units:
            assert (chance, "at least 10 are needed" in line) == ("-", True)
            continue
        assert chance == f"{finding.by_chance:.2f}"
        wanted = [
            word
            for unit in finding.units
            for word in (f"{unit.layer}:{unit.unit}", unit.what, f"{unit.r:+.2f}")
        ]
        assert rest == wanted


def test_json_has_every_field(run, model):
    done = neurons(run, "--property vowel --layer 1 --unit 3 --what z --show 20 --json")
    result = json.loads(done.stdout)
    found = charloom.neurons(model, properties=["vowel"], layer=1, unit=3, what="z")
    assert {name: result[name] for name in found.to_json()} == found.to_json()
    start = len(TEXT) - HELD_OUT
    activity = model.activity(TEXT[start : start + 20], layer=1, unit=3, what="z")
    assert result["activity"] == activity.to_json()
    assert result["update"] == model.learner.update


def test_the_properties_are_listed():
    done = CliRunner().invoke(app, ["neurons", "--list"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [p.name for p in PROPERTIES]


def test_a_text_comes_from_a_file_standard_input_or_an_option(run):
    options = "--property vowel --split all --json"
    result = json.loads(neurons(run, run.parent / "book.txt", options).stdout)
    assert (result["split"], result["characters"]) == ("all", len(TEXT))
    piped = json.loads(neurons(run, f"- {options}", stdin=TEXT).stdout)
    given = json.loads(neurons(run, options, "--text", shlex.quote(TEXT)).stdout)
    assert piped["findings"] == given["findings"] == result["findings"]


def test_a_unit_colours_the_text(run, model):
    done = neurons(run, "--text 'the cat sat' --layer 1 --unit 2", **TERMINAL)
    assert done.exit_code == 0, done.output
    legend, painted = done.stdout.splitlines()
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    assert plain.startswith("layer 1, unit 2, h: ")
    assert plain.splitlines()[1] == "the cat sat"
    values = model.activity("the cat sat", layer=1, unit=2).values[:, 0, 0]
    styles, _ = coloured(values.tolist())
    assert len(set(styles)) > 2
    numbers = {style: re.search(r"color\((\d+)\)", style)[1] for style in SCALE if style}
    for style, number in numbers.items():
        assert (f"48;5;{number}m" in painted) == (style in styles)
        assert f"48;5;{number}m" in legend
    assert "to find what the unit follows" in done.stderr
    assert "output" in done.stderr


@pytest.mark.parametrize(
    "environment", [{}, {**TERMINAL, "NO_COLOR": "1"}, {**TERMINAL, "TERM": "dumb"}]
)
def test_without_colours_the_plain_text_is_printed_with_a_note(run, environment):
    done = neurons(run, "--text 'the cat sat' --layer 1 --unit 2", **environment)
    assert done.stdout == "the cat sat\n"
    assert "this terminal shows no colours, --json prints the numbers" in done.stderr


def test_the_best_unit_of_a_property_colours_the_text(run, model):
    done = neurons(run, "--property vowel --colour --show 30", **TERMINAL)
    (finding,) = charloom.neurons(model, properties=["vowel"]).findings
    best = finding.units[0]
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    assert f"layer {best.layer}, unit {best.unit}, {best.what}: " in plain
    start = len(TEXT) - HELD_OUT
    assert plain.splitlines()[-1] == TEXT[start : start + 30]
    none = neurons(run, "--property digit --colour", **TERMINAL)
    assert "the text is not coloured" in none.stderr


def test_the_properties_that_a_unit_follows_best_come_first(run):
    lines = neurons(run, "--layer 0 --unit 1 --what r --top 1").stdout.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("property"))
    rows = [line.split() for line in lines[first + 1 : first + 1 + len(PROPERTIES)]]
    sizes = [abs(float(row[-1])) for row in rows if row[1] != "-"]
    assert len(sizes) > 5
    assert sizes == sorted(sizes, reverse=True)
    assert [row[1] for row in rows[len(sizes) :]] == ["-"] * (len(rows) - len(sizes))


def test_colours_divide_the_range_evenly_and_the_legend_says_so():
    values = np.linspace(-1, 1, 1_001).tolist()
    styles, legend = coloured(values)
    assert styles[0] == SCALE[0]
    assert styles[500] == ""
    assert styles[-1] == SCALE[-1]
    assert [style for _, style in legend] == list(SCALE)
    assert [meaning for meaning, _ in legend] == [
        "<-0.7", "-0.56", "-0.28", "0", "0.28", "0.56", ">0.7",
    ]  # fmt: skip
    assert coloured([0.5, 0.5]) == (["", ""], [("always 0.5", "")])
    outlier = [0.0] * 999 + [1.0]  # beyond the percentiles, and yet the only change there is
    assert set(coloured(outlier)[0]) == {SCALE[0], SCALE[-1]}


def test_a_planted_error_in_the_colours_is_caught():
    """The error inverts the colour scale."""
    values = np.linspace(-1, 1, 101).tolist()
    assert coloured(values)[0] != coloured(values[::-1])[0]


def test_the_map_is_an_image(run, tmp_path):
    done = neurons(run, "--property vowel --show 130 --what z --png", tmp_path / "map.png")
    assert done.exit_code == 0, done.output
    assert "16 units over 130 characters" in done.stderr
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_the_map_has_a_row_for_each_unit_and_a_column_for_each_character(model):
    for what, low in (("h", None), ("z", 0)):
        activity = model.activity("the cat", what=what)
        activity = dataclasses.replace(activity, characters=tuple("the\ncat"))
        upper, lower, scale = units_figure(activity).axes
        for layer, axes in enumerate((upper, lower)):
            (image,) = axes.images
            assert (image.get_array() == activity.values[:, layer].T).all()
            assert image.norm.vmin == (-image.norm.vmax if low is None else low)
            assert axes.get_ylabel() == f"layer {layer}, unit"
        assert [label.get_text() for label in lower.get_xticklabels()] == list("the↵cat")
        assert what in scale.get_ylabel()
    alone = units_figure(model.activity("cat", layer=1, unit=5)).axes[0]
    assert [label.get_text() for label in alone.get_yticklabels()] == ["5"]


def test_for_a_model_without_its_text_the_command_names_the_text_that_it_reads(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    done = neurons(tmp_path / "model.safetensors", "--property vowel --limit 500")
    assert done.exit_code == 0, done.output
    assert "reads the built-in text" in done.stderr
    assert "were skipped" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--property quotes", "must be one of in-quotes, in-brackets"),
        ("--pattern '('", "is not a regular expression"),
        ("--layer 2", "this model has layers 0 to 1"),
        ("--layer 0 --unit 8", "this model has units 0 to 7"),
        ("--unit 1", "has 2 layers; give the layer of the unit with --layer"),
        ("--what cell", "(cell gru) have only h, r, z, n"),
        ("--top 0", "--top is 0"),
        ("--show 0", "--show is 0"),
        ("--limit 0", "--limit is 0"),
        ("--limit 99", "give at least 100"),
        ("--text cat --layer 0", "give at least 100"),
        ("--text ''", "empty"),
        ("--text thé", "not in the model's vocabulary"),
        ("--split test", "trained without such a part"),
        ("book.txt --text cat", "both give a text"),
        ("nowhere.txt", "nowhere.txt"),
        ("--png map.jpg", "ends in .png or .svg"),
        ("--unknown guess", "guess"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(run, words, sentence):
    assert sentence in refused(run, words)


def test_control_characters_are_not_printed(tmp_path):
    train(tmp_path / "run", Corpus.from_text(TEXT + "\x1b\x07"), epochs=1)
    done = neurons(tmp_path / "run", "- --unit 0", stdin="a \x1b\x07t", **TERMINAL)
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    assert plain.splitlines()[1] == "a ␛␇t"
    assert "\x07" not in done.stdout


def test_the_costs_of_units_are_listed_highest_first_and_plotted(run, tmp_path):
    picture = tmp_path / "costs.svg"
    done = neurons(run, "--ablate mean --top 3 --characters 96 --png", picture)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[1].endswith("validation: 96 characters predicted")
    assert lines[4].split() == ["unit", "held", "at", "costs", "bits", "95", "%", "between"]
    assert len(lines) == 8
    costs = [float(line.split()[2]) for line in lines[5:]]
    assert costs == sorted(costs, reverse=True)
    assert "13 units with lower costs are not shown; --top 16 shows all." in done.stderr
    assert lines[5].split()[0] in picture.read_text(encoding="utf-8")


def test_the_costs_as_json_are_those_of_python(run, model):
    done = neurons(run, "--ablate zero --layer 1 --unit 2 --characters 64 --json")
    found = json.loads(done.stdout)
    (cost,) = charloom.ablate(model, layer=1, unit=2, characters=64).to_json()["costs"]
    assert found["costs"] == [cost]
    assert (found["held"], found["characters"]) == ("zero", 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--ablate one", "zero, mean"),
        ("--ablate zero --characters 0", "--characters"),
        ("--ablate zero --colour", "--colour has no meaning with --ablate"),
        ("--ablate zero --pattern a", "--pattern has no meaning with --ablate"),
        ("--ablate zero --png costs.txt", "image format"),
        ("--ablate zero --unit 99", "units 0 to"),
        ("--characters 5", "--characters is for --ablate"),
        ("--probe space --ablate zero", "--probe has no meaning with --ablate"),
        ("--probe space --property vowel", "--property has no meaning with --probe"),
        ("--probe space --unit 0", "--unit has no meaning with --probe"),
        ("--probe nothing", "in-quotes"),
        ("--probe digit", "the property digit is 0 at each"),
    ],
)
def test_options_that_do_not_fit_an_ablation_or_a_probe_are_refused(run, words, message):
    assert message in refused(run, words)


def test_a_probe_prints_the_scores_of_python(run, model):
    done = neurons(run, "--probe space --probe line-position --layer 1")
    lines = done.stdout.splitlines()
    expected = charloom.probe(model, properties=["space", "line-position"], layer=1)
    assert "judged on the next" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == ["property", "space", "line-position"]
    for line, score in zip(lines[4:], expected.scores, strict=True):
        assert line.split()[1:3] == [score.measure, f"{score.score:.3f}"]
    found = json.loads(neurons(run, "--probe space --layer 1 --json").stdout)
    assert found["scores"] == [expected.scores[0].to_json()]
