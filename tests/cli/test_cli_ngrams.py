"""The commands that use a model work with n-grams, and say what the n-grams contribute."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import charloom
from book_text import TEXT
from charloom.pytorch_format import loading_lines
from charloom.text import Corpus
from command_line import charloom_
from ngram_models import ngram_model


@pytest.fixture(scope="module")
def model():
    """Return a GRU with the n-grams of the text that the commands read."""
    return ngram_model(corpus=Corpus.from_text(TEXT), cell="gru", dtype="float32")


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """Return a model file."""
    return model.save(tmp_path_factory.mktemp("ngrams") / "book.safetensors")


def test_sample_writes_with_the_n_grams(model, file):
    done = charloom_("sample", file, "--prompt 'the ' --length 60 --seed 4")
    assert done.stdout == "the " + model.sample("the ", 60, seed=4) + "\n"
    assert done.stdout != "the " + model.network_alone().sample("the ", 60, seed=4) + "\n"


def test_score_shows_the_surprise_of_the_whole_model(model, file):
    found = json.loads(charloom_("score", file, "--text 'the the' --json").stdout)
    assert found["nats"][1:] == model.score("the the").nats[1:].tolist()


def test_neurons_shows_only_hidden_units(file, book):
    done = charloom_("neurons", file, book, "--json")
    assert done.exit_code == 0, done.output
    units = [unit for each in json.loads(done.stdout)["findings"] for unit in each["units"]]
    assert {unit["what"] for unit in units} <= {"h", "r", "z", "n"}
    assert {unit["unit"] for unit in units} <= set(range(6))


def test_evaluate_shows_the_parts_of_the_model(model, file, book):
    done = charloom_("evaluate", file, book, "--separately")
    lines = done.stdout.splitlines()
    parts = {
        "both together": model.evaluate(string=TEXT),
        "the network": model.network_alone().evaluate(string=TEXT),
        "the n-grams": model.ngrams_alone().evaluate(string=TEXT),
    }
    assert len({found.nats for found in parts.values()}) == 3
    for name, found in parts.items():
        assert f"  {name:<14} {found.nats:.4f} nats   {found.bits:.4f} bits" in lines
    result = json.loads(charloom_("evaluate", file, book, "--separately", "--json").stdout)
    assert result["nats"] == parts["both together"].nats
    assert {name: found["nats"] for name, found in result["separately"].items()} == {
        "network": parts["the network"].nats,
        "ngrams": parts["the n-grams"].nats,
    }


def test_evaluate_refuses_to_separate_a_model_without_n_grams(run, book):
    done = charloom_("evaluate", run, book, "--separately")
    assert done.exit_code == 2
    assert "the model has no n-grams: its --ngram-order is 0." in done.stderr


def test_export_refuses_n_grams_and_exports_the_network_alone(model, file, tmp_path):
    path = tmp_path / "x.safetensors"
    done = charloom_("export", file, "--output", path)
    assert done.exit_code == 2
    assert "give --network-alone." in done.stderr
    assert "train with --ngram-order 0." in done.stderr
    done = charloom_("export", file, "--output", path, "--network-alone")
    assert done.exit_code == 0, done.output
    assert done.stdout == loading_lines(model.network_alone().learner, str(path))
    assert "without its n-grams. So the loss is far higher" in done.stderr
    np.testing.assert_array_equal(load_file(path)["head.weight"], model.parameters["V"])
    assert charloom.import_model(path).learner.ngrams is None
