"""Tests of `charloom trace`: the values of a small network, and the check of a student's numbers."""

import json

import numpy as np

import charloom
from command_line import SMALL, charloom_


def test_a_trace_is_shown_as_text_and_as_json():
    done = charloom_("trace --seed 1")
    assert done.exit_code == 0
    assert done.stdout == str(charloom.trace(seed=1)) + "\n"
    done = charloom_("trace --seed 1 --cell gru --hidden-size 3 --layers 2 --json")
    plain = json.loads(done.stdout)
    assert plain == charloom.trace(seed=1, cell="gru", hidden_size=3, layers=2).to_dict()
    assert plain["numbers"]["loss"] > 0


def test_right_numbers_give_exit_code_0_and_a_wrong_one_gives_1_with_its_name(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(charloom_("trace --seed 1 --json").stdout)
    done = charloom_("trace --seed 1 --check", path)
    assert done.exit_code == 0
    assert "54 of 54 values right." in done.stdout
    plain = json.loads(path.read_text())["numbers"]
    plain["da_2"][1] += 0.01
    plain["dc"][0] = 0
    path.write_text(json.dumps(plain))
    done = charloom_("trace --seed 1 --check", path)
    assert done.exit_code == 1
    assert "wrong:      da_2, dc" in done.stdout
    assert "order of the computation is da_2 (backward, step 2)" in done.stdout
    assert "da_2 = dh_2 ∘ (1 - h_2 ∘ h_2)" in done.stdout
    done = charloom_("trace --seed 1 --json --check", path)
    assert json.loads(done.stdout)["first_wrong"] == "da_2"
    assert charloom_("trace --seed 1 --tolerance 2 --check", path).exit_code == 0


def test_the_same_file_is_wrong_for_another_network(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("loss,3.995129\nh_1,0.8178,-0.7014\n")
    assert charloom_("trace --seed 1 --check", path).exit_code == 0
    assert charloom_("trace --seed 2 --check", path).exit_code == 1


def test_a_text_and_a_model_can_be_traced(book, tmp_path):
    done = charloom_("trace", book, "--seq-length 5")
    first = book.read_text(encoding="utf-8")[:6]
    assert f"Forward, step 1: reads {first[0]!r}" in done.stdout
    run = tmp_path / "run"
    assert charloom_("train", book, "--run", run, SMALL).exit_code == 0
    done = charloom_("trace --model", run, "--text", f"'{first[:2]}' --json")
    assert done.exit_code == 0
    plain = json.loads(done.stdout)
    model = charloom.load(run)
    assert np.allclose(plain["numbers"]["W"], model.learner.parameters["layers.0.W"])
    assert plain["characters"] == list(model.learner.vocabulary.characters)
    done = charloom_("trace --model", run, "--cell lstm")
    assert done.exit_code == 2
    assert "the model has its own settings; leave out --cell lstm" in done.stderr
    assert charloom_("trace", book, "--text ab").exit_code == 2


def test_a_tolerance_without_numbers_is_refused():
    done = charloom_("trace --tolerance 0.1")
    assert done.exit_code == 2
    assert "name their file with --check" in done.stderr


def test_the_page_is_written_and_its_path_is_told(tmp_path):
    path = tmp_path / "trace.html"
    done = charloom_("trace --html", path)
    assert "the page is in" in done.stderr
    assert "Backpropagation through time, step by step" in path.read_text(encoding="utf-8")
