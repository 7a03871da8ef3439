"""Tests of training a model further on another text, in a new run."""

import json

import numpy as np
import pytest

import charloom
from charloom.config import Config
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.finetune import tuned_config, tuned_learner
from charloom.model import new_learner
from charloom.text import Vocabulary

SMALL = {
    "recipe": "classic",
    "hidden_size": 6,
    "seq_length": 5,
    "updates": 12,
    "report_every": 4,
    "engine": "reference",
}
FIRST = "the cat sat on the mat, and the hat sat on the cat.\n" * 3
SECOND = "a hen and a cat on the mat. " * 6


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Return the finished run of a model."""
    run = tmp_path_factory.mktemp("first") / "run"
    charloom.train(string=FIRST, run=run, cell="gru", learning_rate=0.05, **SMALL)
    return run


def test_a_new_run_starts_with_the_models_weights_and_settings(first, tmp_path):
    charloom.train(string=SECOND, run=tmp_path / "run", from_model=first, updates=4)
    old = charloom.load(first, engine="reference").learner
    begun = charloom.load(tmp_path / "run" / "checkpoints" / "0", engine="reference").learner
    assert begun.update == begun.epoch == begun.position == 0
    for name, array in old.parameters.items():
        np.testing.assert_array_equal(begun.parameters[name], array)
    assert all(not array.any() for slot in begun.slots.values() for array in slot.values())
    assert (begun.config.cell, begun.config.learning_rate) == ("gru", 0.05)
    assert begun.vocabulary == old.vocabulary


def test_the_models_arrays_are_not_changed(first):
    model = charloom.load(first, engine="reference")
    before = {name: array.copy() for name, array in model.parameters.items()}
    tuned = charloom.train(string=SECOND, from_model=model, updates=4)
    for name, array in before.items():
        np.testing.assert_array_equal(model.parameters[name], array)
        assert not np.array_equal(tuned.parameters[name], array)


def test_the_new_run_starts_from_what_the_model_has_learned(first):
    """Its first loss is far below the first loss of a new model."""
    losses = []
    for model in (first, None):
        records = []
        charloom.train(
            string=FIRST, from_model=model, listener=records.append, **(SMALL | {"updates": 1})
        )
        losses += [record.loss for record in records if isinstance(record, charloom_record())]
    assert losses[0] < 0.95 * losses[1]


def charloom_record():
    """Return the class of the records that training yields."""
    from charloom.training import Record

    return Record


def test_a_text_with_characters_outside_the_vocabulary_is_refused(first, tmp_path):
    with pytest.raises(
        UnknownCharacterError, match=r"character 3 is 'B'.*The text has 4 unknown characters"
    ):
        charloom.train(string="a Big Hen", run=tmp_path / "run", from_model=first)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("treatment", "length"),
    [
        ({"unknown": "skip"}, len(SECOND) - 6),
        ({"unknown": "replace", "replacement": "e"}, len(SECOND)),
    ],
)
def test_a_run_with_unknown_characters_resumes_identically(first, tmp_path, treatment, length):
    text = tmp_path / "second.txt"
    text.write_text(SECOND.replace("hen", "hén"))
    options = {"from_model": first, "report_every": 2, **treatment}
    charloom.train(text, tmp_path / "whole", updates=8, **options)
    charloom.train(text, tmp_path / "parts", updates=4, **options)
    charloom.resume(tmp_path / "parts", updates=8)
    whole, parts = (charloom.load(tmp_path / run, engine="reference") for run in ("whole", "parts"))
    for name, array in whole.parameters.items():
        assert parts.parameters[name].tobytes() == array.tobytes()
    about = json.loads((tmp_path / "parts" / "config.json").read_bytes())
    assert about["text"]["characters"] == length
    assert about["config"]["unknown"] == treatment["unknown"]


def test_a_byte_model_stays_a_byte_model(tmp_path):
    model = charloom.train(string=FIRST + "é", tokens="bytes", **SMALL)
    tuned = charloom.train(string="the é cat\n" * 5, from_model=model, updates=2)
    assert tuned.vocabulary.tokens == "bytes"
    assert (
        charloom.load(tuned.save(tmp_path / "m"), engine="reference").vocabulary.tokens == "bytes"
    )


MODEL = Config(cell="lstm", hidden_size=7, updates=90, unknown="skip", init="uniform", seed=3)


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_size", 8), ("cell", "gru"), ("tokens", "bytes"), ("sigma", 0.1)]
)
def test_a_setting_that_contradicts_the_model_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value!r}, but the given model .* omit"):
        tuned_config(MODEL, **{name: value})


def test_a_setting_equal_to_the_models_is_accepted():
    assert tuned_config(MODEL, hidden_size=7, epochs=None).hidden_size == 7


def test_the_models_updates_and_its_handling_of_unknown_characters_are_not_copied():
    config = tuned_config(MODEL)
    assert (config.updates, config.unknown, config.seed) == (None, "refuse", 3)
    assert tuned_config(MODEL, updates=5, unknown="skip").unknown == "skip"


def test_the_training_settings_come_from_the_recipe_and_the_network_from_the_model():
    recipe = Config(recipe="other", hidden_size=99, optimizer="adam", seq_length=9)
    config = tuned_config(MODEL, recipe, seq_length=10)
    assert (config.cell, config.hidden_size, config.init) == ("lstm", 7, "uniform")
    assert (config.recipe, config.optimizer, config.seq_length) == ("other", "adam", 10)


def test_weights_are_converted_to_the_requested_dtype():
    model = new_learner(MODEL, Vocabulary("abc"))
    tuned = tuned_learner(tuned_config(MODEL, dtype="float64"), model)
    for name, array in model.parameters.items():
        assert tuned.parameters[name].dtype == np.float64
        np.testing.assert_array_equal(tuned.parameters[name], array)
