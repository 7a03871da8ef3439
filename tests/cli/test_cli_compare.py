"""Tests of `charloom compare`."""

import json

import pytest

import charloom
import small_runs
from command_line import charloom_


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with a validation part, which tests only read."""
    path = tmp_path_factory.mktemp("compare")
    for name, size in (("small", 4), ("large", 8)):
        small_runs.train(path / name, hidden_size=size, validation=0.2, judge_every=20)
    return path


def test_the_table_is_that_of_python(runs):
    done = charloom_("compare", runs / "small", runs / "large")
    found = charloom.compare(runs / "small", runs / "large")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == found.lines(80)
    assert "too few for an interval" in done.stderr


def test_a_folder_stands_for_its_runs(runs):
    done = charloom_("compare", runs, "--no-intervals")
    assert done.exit_code == 0
    assert "95 % interval" not in done.stdout
    assert done.stdout.split()[0] == "run"


def test_json_has_the_figures_and_the_notes(runs):
    done = charloom_("compare", runs / "small", runs / "large", "--json")
    data = json.loads(done.stdout)
    assert [run["label"] for run in data["runs"]] == ["hidden_size 4", "hidden_size 8"]
    assert data["settings"] == ["hidden_size"]
    assert data["picture"] is None
    assert any("too few for an interval" in note for note in data["notes"])


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_picture_is_written_beside_the_table(runs, tmp_path, ending):
    picture = tmp_path / f"curves.{ending}"
    done = charloom_("compare", runs, "--picture", picture, "--over", "updates")
    assert done.exit_code == 0, done.stderr
    assert f"wrote {picture}." in done.stderr
    data = picture.read_bytes()
    if ending == "svg":
        assert b"hidden_size 4" in data
        assert b"updates" in data
    else:
        assert data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("small", "a comparison needs at least two runs"),
        ("small none", "none does not exist; give a run directory"),
        (
            "small large --over minutes",
            "--over is 'minutes'; it must be one of characters, updates",
        ),
        ("small large --picture curves.pdf", "has no image format"),
        ("small large --picture none/curves.svg", "none"),
    ],
)
def test_mistakes_are_explained(runs, monkeypatch, words, sentence):
    monkeypatch.chdir(runs)
    done = charloom_("compare", words)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_an_unfinished_and_a_damaged_run_are_rows_with_notes(runs, tmp_path):
    small_runs.train(tmp_path / "stopped", halt=small_runs.after(3), validation=0.2)
    small_runs.train(tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{")
    done = charloom_("compare", runs / "small", tmp_path)
    assert done.exit_code == 0
    assert "damaged" in done.stdout
    assert "stopped is not finished (interrupted after" in done.stderr
    assert "config.json is not valid JSON" in done.stderr
