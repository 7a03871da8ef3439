"""The surprisal of each character follows from the model's own probabilities."""

import math

import numpy as np
import pytest

from charloom.config import Config
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DivergedError, TextError, UnknownCharacterError
from charloom.evaluation import evaluate
from charloom.model import copy_learner, new_learner, zero_state
from charloom.surprisal import surprise
from charloom.text import UnknownPolicy, Vocabulary
from small_runs import ENGINES


def opinionated(characters, **settings):
    """Return a small network with distinct probabilities and a non-zero state, which must not matter."""
    config = Config(hidden_size=6, sigma=0.8, dtype="float64", cell="gru", **settings)
    learner = new_learner(config, Vocabulary(characters, config.tokens))
    learner.state["h"] += 0.5
    return learner


@pytest.fixture(scope="module")
def learner():
    """Return a model of a few characters."""
    return opinionated("abcdefgh \n")


@pytest.mark.parametrize("engine", ENGINES)
def test_nats_are_minus_the_logarithm_of_the_predicted_probability(learner, engine):
    text = "a bad cab\nhad egg"
    found = surprise(learner, open_engine(engine), text)
    assert "".join(found.characters) == text
    assert math.isnan(found.nats[0])
    state, ids = zero_state(learner.config), learner.vocabulary.encode(text)
    for n in range(1, len(text)):
        logits, state = ReferenceEngine().step(learner, ids[n - 1 : n], state)
        p = np.exp(logits[0]) / np.exp(logits[0]).sum()
        assert found.nats[n] == pytest.approx(-math.log(p[ids[n]]), rel=1e-9)
        assert found.bits[n] == pytest.approx(-math.log2(p[ids[n]]), rel=1e-9)


def test_the_mean_equals_that_of_evaluation(learner):
    text = "a bad cab\nhad egg"
    found = surprise(learner, ReferenceEngine(), text)
    judged = evaluate(learner, ReferenceEngine(), learner.vocabulary.encode(text))
    assert found.mean_bits == pytest.approx(judged.bits, rel=1e-12)


def test_in_a_byte_model_the_nats_of_a_character_are_the_sum_over_its_bytes():
    learner = opinionated(map(chr, range(256)), tokens="bytes")
    text = "é a€😀b"
    found = surprise(learner, ReferenceEngine(), text)
    nats, _ = ReferenceEngine().score(
        learner, learner.vocabulary.encode(text)[:, np.newaxis], zero_state(learner.config)
    )
    # Bytes 0-1 are é, 2 the space, 3 a, 4-6 the euro sign, 7-10 the face, 11 b; byte n is nats[n-1].
    wanted = [nats[1], nats[2], nats[3:6].sum(), nats[6:10].sum(), nats[10]]
    assert "".join(found.characters) == text
    assert math.isnan(found.nats[0])
    assert found.nats[1:] == pytest.approx(np.hstack(wanted), rel=1e-12)


def test_bytes_that_are_not_utf8_are_shown_as_replacement_characters():
    learner = opinionated(["a", "\xc3", "\xe2"], tokens="bytes")
    found = surprise(learner, ReferenceEngine(), "aéa€", UnknownPolicy("skip"))
    assert found.characters == ("a", "\ufffda", "\ufffd")  # 61 c3 61 e2
    assert len(found.nats) == 3
    assert found.unknowns.total == 3


def test_unknown_characters_are_refused_skipped_or_replaced(learner):
    with pytest.raises(UnknownCharacterError, match="'x'"):
        surprise(learner, ReferenceEngine(), "abxc")
    skipped = surprise(learner, ReferenceEngine(), "abxc", UnknownPolicy("skip"))
    assert (skipped.characters, skipped.unknowns.total) == (("a", "b", "c"), 1)
    replaced = surprise(learner, ReferenceEngine(), "abxc", UnknownPolicy("replace", "h"))
    assert replaced.characters == ("a", "b", "h", "c")
    with pytest.raises(ConfigError, match="unknown"):
        surprise(learner, ReferenceEngine(), "abxc", UnknownPolicy("guess"))


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_with_nothing_to_predict_is_refused(learner, text):
    with pytest.raises(TextError, match="at least two"):
        surprise(learner, ReferenceEngine(), text)


def test_one_character_of_several_bytes_is_refused():
    learner = opinionated(map(chr, range(256)), tokens="bytes")
    with pytest.raises(TextError, match="one character, but scoring needs at least two"):
        surprise(learner, ReferenceEngine(), "€")


def test_a_model_that_is_not_finite_is_refused(learner):
    broken = copy_learner(learner)
    broken.parameters["c"][:] = np.nan
    with pytest.raises(DivergedError):
        surprise(broken, ReferenceEngine(), "abc")


def test_a_model_of_items_predicts_the_first_character_and_the_end():
    config = Config(hidden_size=5, sigma=0.6, dtype="float64")
    names = new_learner(config, Vocabulary("abc", items=True))
    found = surprise(names, ReferenceEngine(), "cab")
    ids = np.array([3, 2, 0, 1, 3])
    losses, _ = ReferenceEngine().score(names, ids[:, np.newaxis], zero_state(config))
    assert found.nats.tolist() == losses[:3, 0].tolist()
    assert found.end_nats == losses[3, 0]
    assert found.total_nats == pytest.approx(losses.sum(), rel=1e-14)
    assert (found.predicted, surprise(names, ReferenceEngine(), "a").predicted) == (4, 2)
