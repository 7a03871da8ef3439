"""Tests of `charloom sample --grid`, a table of texts by temperature and top-p."""

import json

import pytest

import charloom
from charloom.cli import grid_output
from charloom.cli.grid_values import given_numbers, number_list
from charloom.config import GRID_TEMPERATURES, GRID_TOP_PS
from charloom.errors import ConfigError
from command_line import charloom_


def test_the_table_is_that_of_python_and_fits_80_columns(run):
    done = charloom_("sample", run, "--grid --prompt 'the ' --length 60 --seed 4")
    grid = charloom.load(run).sample_grid("the ", 60, seed=4)
    assert done.stdout == f"prompt: 'the '\n{grid}\n"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "writes 9 texts from seed 4:" in done.stderr


def test_the_table_is_as_wide_as_the_terminal(run, monkeypatch):
    monkeypatch.setattr(grid_output, "width_of_output", lambda: 120)
    lines = charloom_("sample", run, "--grid --length 100").stdout.splitlines()
    assert max(map(len, lines)) == 120


def test_the_lists_choose_rows_and_columns_and_mean_a_table(run):
    done = charloom_("sample", run, "--temperatures 0,2 --top-ps '0.5, 1' --length 20 --json")
    result = json.loads(done.stdout)
    assert (result["temperatures"], result["top_ps"]) == ([0.0, 2.0], [0.5, 1.0])
    model = charloom.load(run)
    for text in result["texts"]:
        alone = model.sample("", 20, text["temperature"], top_p=text["top_p"])
        assert text["text"] == alone
    assert (result["seed"], result["length"], result["which"]) == (0, 20, "latest")
    assert "temperature" not in result
    assert "samples" not in result


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--grid --temperature 0.7", "--temperature 0.7 is for one text; a table has --temperatures"),
        ("--grid --top-p 0.9", "--top-p 0.9 is for one text; a table has --top-ps"),
        ("--grid --samples 3", "--samples 3 is without a table"),
        ("--temperatures 0.5,warm", "--temperatures is '0.5,warm', and 'warm' is not a number"),
        ("--temperatures 0.5,,1", "'' is not a number"),
        ("--temperatures nan", "must be a finite number"),
        ("--temperatures -1", "--temperatures is -1.0; it must be a finite number at least 0"),
        ("--top-ps 0.5,1.5", "--top-ps is 1.5"),
        ("--top-ps ''", "is not a number"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_a_table_are_refused(run, words, sentence):
    done = charloom_("sample", run, words)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stdout == ""


def test_a_report_with_a_table_says_with_which_command_to_repeat_it(run, tmp_path):
    page = tmp_path / "report.html"
    words = "--temperatures 0.4,0.9 --top-ps 0.7,1"
    done = charloom_("report", run, "--output", page, words)
    assert done.exit_code == 0
    html = page.read_text()
    command = f"charloom sample {run} --grid --temperatures 0.4,0.9 --top-ps 0.7,1"
    assert command in html
    done = charloom_(*command.removeprefix("charloom ").split(" "))
    assert done.exit_code == 0, done.stderr
    for line in done.stdout.split(" | ")[0].split("\n")[:1]:
        assert line.strip() in html


def test_numbers_are_read_as_they_are_written():
    for numbers in (GRID_TEMPERATURES, GRID_TOP_PS, (0.0, 1e-05, 20.0)):
        assert given_numbers("temperatures", number_list(numbers), ()) == numbers
    assert given_numbers("temperatures", None, (0.3,)) == (0.3,)
    with pytest.raises(ConfigError):
        given_numbers("temperatures", "0.5;1", ())
