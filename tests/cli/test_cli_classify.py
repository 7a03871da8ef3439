"""Tests of `charloom classify`."""

import csv
import json

import pytest

import small_runs
from command_line import charloom_


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two small runs, which tests only read."""
    folder = tmp_path_factory.mktemp("classify")
    for seed, name in enumerate(("one", "two")):
        small_runs.train(folder / name, hidden_size=4, seed=seed)
    return folder / "one", folder / "two"


def test_one_text_is_shown_with_the_bits_of_each_model(runs):
    done = charloom_("classify", *runs, "--text", "thecat")
    assert done.exit_code == 0, done.stderr
    assert "bits per character" in done.stdout
    assert all(str(run) in done.stdout for run in runs)
    assert "thecat" in done.stdout  # coloured in a terminal
    assert "this terminal shows no colours" in done.stderr


def test_models_may_follow_the_option_models(runs):
    plain = charloom_("classify", *runs, "--text", "thecat", "--json")
    named = charloom_("classify", "--models", *runs, "--text", "thecat", "--json")
    assert plain.exit_code == 0
    assert json.loads(named.stdout) == json.loads(plain.stdout)


def test_each_line_is_classified_by_itself(runs, tmp_path):
    file, table = tmp_path / "lines.txt", tmp_path / "lines.csv"
    file.write_text("the cat\n\nthe 漢 mat\n", encoding="utf-8")
    done = charloom_("classify", *runs, "--file", file, "--each", "--csv", table, "--json")
    texts = json.loads(done.stdout)["texts"]
    assert [each["text"] for each in texts] == ["the cat", "the 漢 mat"]
    assert [model["unknown_characters"] for model in texts[1]["models"]] == [1, 1]
    assert texts[1]["models"][0]["bits_of_characters"][4] is None
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["text"] for row in rows] == ["the cat", "the 漢 mat"]
    assert float(rows[0][f"bits {runs[0]}"]) == pytest.approx(texts[0]["models"][0]["bits"])


def test_a_table_has_a_line_for_each_text(runs, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("the cat\nthe mat\n", encoding="utf-8")
    done = charloom_("classify", *runs, "--file", file, "--each")
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[:3]] == [
        "text",
        "the cat",
        "the mat",
    ]
    assert "2 texts: " in done.stdout


def test_two_texts_and_a_single_model_are_refused(runs, tmp_path):
    both = charloom_("classify", *runs, "--text", "a", "--file", tmp_path / "b")
    assert (both.exit_code, "--text and --file both" in both.stderr) == (2, True)
    alone = charloom_("classify", runs[0], "--text", "a")
    assert (alone.exit_code, "at least two models" in alone.stderr) == (2, True)
    assert "Traceback" not in alone.stderr
