"""A text has one name in its run, its evaluation and its messages."""

import json

import pytest

import charloom
from charloom.errors import TextError
from charloom.hidden_units.ranking import LEAST_CHARACTERS


@pytest.fixture
def run(tmp_path):
    """Return a run whose text is a file and a directory."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("the cat sat on the mat. " * 20)
    (tmp_path / "small.txt").write_text("the dog ran to the log. " * 20)
    settings = {"hidden_size": 4, "seq_length": 8, "batch_size": 1, "engine": "reference"}
    texts = [tmp_path / "small.txt", folder]
    charloom.train(texts, run=tmp_path / "run", updates=3, **settings)
    return tmp_path / "run"


def test_an_evaluation_names_a_directory_as_the_training_run_did(run):
    assert charloom.load(run).evaluate().text == "small.txt + letters"


def test_a_resumed_run_keeps_the_name_of_its_text(run):
    charloom.resume(run, updates=5)
    assert json.loads((run / "config.json").read_text())["text"]["name"] == "small.txt + letters"


def test_a_text_of_one_character_is_counted_in_the_singular(run):
    assert LEAST_CHARACTERS > 1
    with pytest.raises(TextError, match="the text has 1 character; give"):
        charloom.neurons(run, string="t")
