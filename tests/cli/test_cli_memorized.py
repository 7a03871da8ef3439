"""Tests of `charloom memorized`."""

import json

import pytest

import small_runs
from command_line import charloom_


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with a validation part, which tests only read."""
    path = tmp_path_factory.mktemp("memorized") / "run"
    small_runs.train(path, hidden_size=4, validation=0.2)
    return path


def test_the_table_and_the_picture_compare_with_held_out_text(run, tmp_path):
    picture = tmp_path / "copies.svg"
    done = charloom_("memorized", run, "--samples", 2, "--length", 50, "--picture", picture)
    assert done.exit_code == 0, done.stderr
    assert "characters  the model writes  held-out text" in done.stdout
    assert "2 texts, 100 characters" in done.stdout
    assert "held-out text" in picture.read_text(encoding="utf-8")
    assert str(picture) in done.stderr


def test_json_has_the_shares_of_every_length(run):
    done = charloom_("memorized", run, "--samples", 2, "--length", 50, "--json")
    found = json.loads(done.stdout)
    assert len(found["written"]["shares"]) == found["written"]["longest"] + 1
    assert found["written"]["shares"][-1] == 0
    assert found["held_out"]["characters"] == 100
    assert found["samples"] == 2


def test_a_picture_of_another_kind_is_refused_before_the_model_is_opened(tmp_path):
    done = charloom_("memorized", tmp_path / "no-run", "--picture", tmp_path / "copies.pdf")
    assert done.exit_code == 2
    assert "ends in .png or .svg" in done.stderr
