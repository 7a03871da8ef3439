"""A model of a collection writes items; each reason to leave one out is counted, and wishes are kept."""

import math

import numpy as np
import pytest

import charloom
from charloom.api.item_writing import MOST_TRIES, ItemWishes
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.text import Corpus
from charloom.text.collection import Collection
from charloom.text.item_duplicates import KnownItems

NAMES = [
    "ada",
    "bea",
    "eva",
    "ida",
    "lea",
    "mia",
    "noa",
    "una",
    "anna",
    "dana",
    "emma",
    "jana",
    "lena",
    "mona",
]


@pytest.fixture(scope="module")
def model():
    """Return a model of a few names, which often writes one of them again."""
    return charloom.train(
        string="\n".join(NAMES), items="lines", recipe="classic", hidden_size=16, seq_length=10, learning_rate=0.1,
        updates=400, validation=0.0,
    )  # fmt: skip


def test_items_are_those_that_sample_writes_one_by_one(model):
    found = model.items(6, seed=3)
    assert list(found) == [model.sample(length=10_000, seed=3, number=n) for n in range(6)]
    assert [item.number for item in found.items] == list(range(6))
    assert (found.written, found.omitted.total) == (6, 0)
    assert repr(found) == "\n".join(found)


def test_new_items_are_not_in_the_collection(model):
    plain, found = model.items(30), model.items(20, new=True)
    assert set(plain) & set(NAMES)
    assert not set(found) & set(NAMES)
    assert found.omitted.known == found.written - 20 > 0


def test_distinct_items_differ_and_their_repetitions_are_counted(model):
    found = model.items(20, distinct=True, temperature=0.5)
    assert len(set(found)) == 20
    assert found.omitted.repeated == found.written - 20 > 0


def test_a_regular_expression_and_a_check_keep_what_passes(model):
    matched = model.items(5, matching="[a-m]+")
    assert all(set(item) <= set("abcdefghijklm") for item in matched)
    checked = model.items(5, check=lambda item: len(item) == 4)
    assert all(len(item) == 4 for item in checked)
    assert checked.pass_rate == 5 / (5 + checked.omitted.failed) < 1


def test_an_item_that_does_not_end_is_left_out(model):
    found = model.items(5, max_length=3)
    assert found.omitted.unended > 0
    assert all(len(item) < 3 for item in found)


def test_an_impossible_wish_ends_and_is_reported(model):
    found = model.items(2, matching="zzz")
    assert (len(found), found.written) == (0, 2 * MOST_TRIES)
    notes = found.notes(ItemWishes(matching="zzz"))
    assert notes == [
        "400 items written, left out: 400 not matching",
        "0 of 400 tested items passed (0.0 %)",
        "only 0 items of 2 found: the model was stopped after it had written 400",
    ]


def test_a_prompt_begins_every_item_and_its_known_items_are_found(model):
    found = model.items(10, prompt="an", new=True)
    assert all(item.startswith("an") for item in found)
    assert "anna" not in found
    with pytest.raises(UnknownCharacterError):
        model.items(1, prompt="X")


@pytest.mark.parametrize("prompt", ["", "a"])
def test_the_probability_of_an_item_includes_its_end(model, prompt):
    item = model.items(1, prompt=prompt).items[0]
    vocabulary, engine = model.vocabulary, model.engine
    edge = [vocabulary.boundary]
    ids = np.array([*edge, *vocabulary.encode(item.text), *edge], dtype=vocabulary.id_dtype)
    state = {name: np.zeros_like(array[:, :1]) for name, array in model.learner.state.items()}
    losses, _ = engine.score(model.learner, ids[:, np.newaxis], state)
    assert item.nats == pytest.approx(losses[len(prompt) :].sum(), rel=1e-5)
    assert item.probability == math.exp(-item.nats)


def test_known_items_are_found_whatever_their_length():
    items = ["a", "ab", "ba", "aab", "b" * 1_500, "ab" * 700]
    corpus = Corpus.from_text("\n".join(items), collection=Collection("lines"))
    known = KnownItems(corpus.ids)
    for item in items:
        assert corpus.vocabulary.encode(item) in known
        assert corpus.vocabulary.encode(item + "a") not in known
    assert corpus.vocabulary.encode("") not in known


def test_a_model_of_a_stream_has_no_items():
    model = charloom.train(string="abc " * 50, recipe="classic", hidden_size=4, updates=1)
    with pytest.raises(
        ConfigError, match="the model learned a stream of characters, which has no items"
    ):
        model.items(2)


def test_a_check_must_return_true_or_false(model):
    found = model.items(3, check=lambda item: np.bool_(len(item) < 9))
    assert len(found) == 3
    with pytest.raises(
        ConfigError, match=r"the check returned .yes. for the item .* True or False"
    ):
        model.items(3, check=lambda item: "yes")
