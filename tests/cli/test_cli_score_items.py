"""Tests of `charloom score` for models of items, and with a line for each item."""

import json
import math

import pytest
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of a stream and a run of names, which tests only read."""
    folder = tmp_path_factory.mktemp("score")
    small_runs.train(folder / "stream", hidden_size=4)
    (folder / "names.txt").write_text("\n".join(["ada", "bea", "eva"] * 9))
    charloom.train(
        folder / "names.txt",
        folder / "names",
        items="lines",
        recipe="classic",
        hidden_size=6,
        updates=60,
    )
    return folder


def score(*words, given=None):
    """Run the command score."""
    return CliRunner().invoke(app, ["score", *map(str, words)], input=given)


def test_each_item_has_its_nats_on_a_line_that_can_be_sorted(runs):
    done = score(runs / "names", "--each", given="ada\n\nbaa\n")
    model = charloom.load(runs / "names")
    for line, item in zip(done.stdout.splitlines(), ["ada", "baa"], strict=True):
        nats, bits, text = line.split("\t")
        assert text == item
        assert float(nats) == pytest.approx(model.score(item).total_nats, abs=1e-4)
        assert float(bits) == pytest.approx(model.score(item).mean_bits, abs=1e-4)
    assert "2 items: " in done.stderr


def test_the_lines_of_a_stream_are_scored_from_the_zero_state(runs):
    found = json.loads(score(runs / "stream", "--each", "--json", given="the cat\nthe\n").stdout)
    model = charloom.load(runs / "stream")
    assert [item["nats"] for item in found["items"]] == pytest.approx(
        [model.score(text).total_nats for text in ("the cat", "the")]
    )
    assert [item["characters_predicted"] for item in found["items"]] == [6, 2]


def test_items_may_be_divided_in_other_ways(runs, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("n,name\n1,ada\n2,eva\n")
    done = score(runs / "names", file, "--items", "csv", "--field", "name")
    assert [line.split("\t")[2] for line in done.stdout.splitlines()] == ["ada", "eva"]
    parts = score(
        runs / "names", "--items", "separator", "--separator", r"\n-\n", given="ada\n-\nbea"
    )
    assert [line.split("\t")[2] for line in parts.stdout.splitlines()] == ["ada", "bea"]


def test_an_item_that_cannot_be_scored_is_named_by_its_number(runs):
    done = score(runs / "names", "--each", given="ada\nbob\n")
    assert (done.exit_code, "item 2: character 2 is 'o'" in done.stderr) == (2, True)
    skipped = score(runs / "names", "--each", "--unknown", "skip", given="ada\nbob\n")
    assert skipped.exit_code == 0
    assert "there is no item" in score(runs / "names", "--each", given="\n").stderr


def test_one_item_is_shown_with_its_first_character_and_its_end(runs):
    found = json.loads(score(runs / "names", "--text", "ada", "--json").stdout)
    assert len(found["nats"]) == 3
    total = sum(found["nats"]) + found["end_nats"]
    assert found["mean_bits"] == pytest.approx(total / 4 / math.log(2))
    assert "4 predicted" in score(runs / "names", "--text", "ada").stderr
    assert json.loads(score(runs / "stream", "--text", "the", "--json").stdout)["end_nats"] is None
