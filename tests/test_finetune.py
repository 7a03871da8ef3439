"""Tests of training a model further on another text, in a new run."""

import json

import numpy as np
import pytest

import charloom
from charloom.config import Config
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.finetune import tuned_config, tuned_learner
from charloom.model import new_learner
from charloom.text import Corpus, UnknownPolicy, Vocabulary

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
    tuned = tuned_learner(tuned_config(MODEL, dtype="float64"), model, model.vocabulary)
    for name, array in model.parameters.items():
        assert tuned.parameters[name].dtype == np.float64
        np.testing.assert_array_equal(tuned.parameters[name], array)


# New characters


SWEDISH = "på ön sov en katt. " * 8


@pytest.fixture(scope="module", params=["gru", "pairs"])
def model_to_grow(request):
    """Return a trained model; with the name "pairs", one with n-grams and learned inputs of pairs of characters."""
    more = {"cell": "gru"} if request.param == "gru" else {"input_pairs": 20, "ngram_order": 2}
    return charloom.train(string=FIRST, learning_rate=0.05, **{**SMALL, **more})


def test_new_characters_get_initial_weights_and_all_others_keep_theirs(model_to_grow):
    config = tuned_config(model_to_grow.config, unknown="add", seed=9)
    corpus = Corpus.from_text(
        SWEDISH, vocabulary=model_to_grow.vocabulary, policy=UnknownPolicy("add")
    )
    begun = tuned_learner(config, model_to_grow.learner, corpus.vocabulary)
    old, new = model_to_grow.vocabulary.characters, begun.vocabulary.characters
    assert new == tuple(sorted({*old, *SWEDISH}))
    fresh = new_learner(begun.config, begun.vocabulary)
    before = model_to_grow.learner.parameters
    for name, array in begun.parameters.items():
        if name in {"layers.0.U", "V", "c"}:
            rows, initial = (
                (array.T, fresh.parameters[name].T)
                if name == "layers.0.U"
                else (array, fresh.parameters[name])
            )
            kept = before[name].T if name == "layers.0.U" else before[name]
            for k, character in enumerate(new):
                wanted = kept[old.index(character)] if character in old else initial[k]
                np.testing.assert_array_equal(rows[k], wanted)
        elif name != "pairs.weight":
            np.testing.assert_array_equal(array, before[name])


def test_the_pairs_of_a_grown_model_keep_their_inputs():
    settings = {**SMALL, "input_pairs": 20}
    model = charloom.train(string=FIRST, learning_rate=0.05, **settings).learner
    vocabulary = Vocabulary({*model.vocabulary.characters, *SWEDISH})
    begun = tuned_learner(model.config, model, vocabulary)
    for learner in (model, begun):
        words = learner.vocabulary.encode("the cat")
        rows = learner.pairs.rows(words[:-1], words[1:])
        found = learner.parameters["pairs.weight"][rows] * (rows >= 0)[:, np.newaxis]
        if learner is model:
            expected = found
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(found, expected)


def test_a_message_names_the_characters_that_were_added(first):
    corpus = Corpus.from_text(
        SWEDISH, vocabulary=charloom.load(first).vocabulary, policy=UnknownPolicy("add")
    )
    assert corpus.notes == (
        "40 unknown characters, 5 distinct, were added to the vocabulary of the model, with new weights: "
        "'k' (8), 'p' (8), 'v' (8), …",
    )
    assert corpus.vocabulary.decode(corpus.ids) == SWEDISH


def test_a_run_with_added_characters_is_resumed(first, tmp_path):
    (tmp_path / "swedish.txt").write_text(SWEDISH, encoding="utf-8")
    charloom.train(
        tmp_path / "swedish.txt", run=tmp_path / "run", from_model=first, unknown="add", updates=2
    )
    model = charloom.resume(tmp_path / "run", updates=4)
    assert model.update == 4
    assert "å" in model.vocabulary
    assert model.evaluate().nats > 0


def test_a_model_that_does_not_learn_adds_no_characters(first):
    with pytest.raises(ConfigError, match=r"unknown is add, .* Here the model does not learn"):
        charloom.load(first).score("på", unknown="add")
