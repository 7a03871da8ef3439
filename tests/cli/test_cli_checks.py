"""Tests of `charloom gradcheck`, `bench` and the commands that list what there is."""

import json
import sys

import charloom.cli
from charloom.config import Config
from charloom.errors import CharloomError
from charloom.recipes import RECIPES
from command_line import charloom_

# Checks and what there is


def test_gradcheck_shows_a_table_for_each_engine_and_type():
    done = charloom_("gradcheck --hidden-size 5 --seq-length 3 --vocabulary-size 7 --all")
    assert done.exit_code == 0
    assert done.stdout.count("The gradient is right") in (2, 4)
    assert "worst entry" in done.stdout
    assert "35 of 35" in done.stdout
    assert "Norm-relative error of central differences at each step size:\nstep " in done.stdout


def test_gradcheck_as_json_and_as_a_picture(book, tmp_path):
    """Takes a second, because it draws."""
    done = charloom_(
        "gradcheck", book, "--hidden-size 5 --seq-length 3 --dtype float64 --engine reference",
        "--state non-zero --entries 20 --json --picture", tmp_path / "curve.svg",
    )  # fmt: skip
    (check,) = json.loads(done.stdout)["checks"]
    assert check["settings"]["text"] == "book.txt"
    assert check["settings"]["state"] == "non-zero"
    assert [row["parameter"] for row in check["rows"]] == ["b", "c", "U", "W", "V"]
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")


def test_gradcheck_fails_on_a_wrong_gradient(monkeypatch):
    from charloom.engines.reference.cells import RnnCell

    honest = RnnCell.backward

    def forget_the_future(self, *args):
        dx, carried = honest(self, *args)
        return dx, {name: 0 * array for name, array in carried.items()}

    monkeypatch.setattr(RnnCell, "backward", forget_the_future)
    done = charloom_("gradcheck --hidden-size 5 --seq-length 3 --engine reference --dtype float64")
    assert done.exit_code == 1
    assert "The gradient is WRONG in" in done.stdout
    assert "WRONG\n" in done.stdout


def test_corpora_recipes_and_info_tell_what_there_is():
    corpora = json.loads(charloom_("corpora --json").stdout)
    assert corpora[0]["name"] == "python-docs"
    assert corpora[0]["installed"]
    assert "python-docs" in charloom_("corpora").stdout
    recipes = json.loads(charloom_("recipes --json").stdout)
    assert recipes[0]["config"] == Config().to_dict()
    listed = charloom_("recipes").stdout
    for name, recipe in RECIPES.items():
        assert f"{name:<12} {recipe.purpose}" in listed
        assert recipe.cost in listed
    assert "--init course --optimizer adam --learning-rate 0.001" in listed
    assert max(map(len, listed.splitlines())) <= 100
    info = json.loads(charloom_("info --json").stdout)
    assert info["version"] == charloom.__version__
    assert info["engine"] in charloom_("info").stdout
    assert "a thread for each, but at most one per stream" in charloom_("info").stdout


def test_a_missing_extra_is_told_by_corpora(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonbible", None)
    assert "in the clone of charloom: pip install '.[corpora]'" in charloom_("corpora").stdout


def test_bench_is_shown_and_told(monkeypatch):
    import charloom.bench

    class Measured:
        def __init__(self, **settings):
            self.settings = settings

        def to_dict(self):
            return {**self.settings, "ratio": float("nan")}

    monkeypatch.setattr(charloom.bench, "bench", Measured)
    monkeypatch.setattr(charloom.bench, "render", lambda result: f"a table of {result.settings}")
    wanted = {"rounds": 3, "hidden_size": 9}
    assert charloom_("bench --rounds 3 --hidden-size 9").stdout == f"a table of {wanted}\n"
    values = json.loads(charloom_("bench --rounds 3 --hidden-size 9 --json").stdout)
    assert values == {**wanted, "ratio": None}


# Progress


def test_errors_of_the_package_are_sentences(monkeypatch):
    def fail(*args):
        raise CharloomError("this is what was wrong.")

    monkeypatch.setattr(charloom.cli.info_commands, "gather", fail)
    done = charloom_("info")
    assert (done.exit_code, done.stderr) == (2, "charloom: this is what was wrong.\n")


def test_info_names_the_engine_without_threads_which_training_runs_choose():
    assert "thread" not in json.loads(charloom_("info --json").stdout)["engine"]
