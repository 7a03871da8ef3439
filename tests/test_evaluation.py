"""Evaluation returns the mean surprisal over the text without its first character."""

import itertools
import math

import numpy as np
import pytest

from charloom import evaluation, scoring
from charloom.config import Config, require_number
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DivergedError, TextError
from charloom.evaluation import bits_interval, evaluate, why_no_interval
from charloom.formatting import number_of
from charloom.model import copy_learner, new_learner, zero_state
from charloom.text import Vocabulary
from command_line import charloom_
from small_runs import ENGINES, train


@pytest.fixture(scope="module")
def learner():
    """Return a model with distinct probabilities and a non-zero state."""
    config = Config(hidden_size=6, sigma=0.8, dtype="float64", cell="lstm", layers=2)
    learner = new_learner(config, Vocabulary("abcdefgh"))
    learner.state["h"] += 0.5
    return learner


@pytest.fixture(scope="module")
def ids(learner):
    """Return the ids of a random text."""
    return np.random.default_rng(0).integers(0, 8, 101).astype(learner.vocabulary.id_dtype)


def walk(learner, ids):
    """Return the nats of each character except the first, computed step by step."""
    engine, state, nats = ReferenceEngine(), zero_state(learner.config), []
    for now, following in itertools.pairwise(ids):
        logits, state = engine.step(learner, np.array([now]), state)
        nats.append(math.log(np.exp(logits[0]).sum()) - logits[0, following])
    return nats


def test_the_figures_equal_those_of_a_step_by_step_computation(learner, ids):
    found = evaluate(learner, ReferenceEngine(), ids)
    nats = np.mean(walk(learner, ids))
    assert (found.split, found.characters, found.interval) == ("all", 100, None)
    assert found.nats == pytest.approx(nats, rel=1e-12)
    assert found.bits == pytest.approx(nats / math.log(2), rel=1e-12)
    assert found.perplexity == pytest.approx(math.exp(nats), rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_same_figures(learner, ids, engine):
    truth = evaluate(learner, ReferenceEngine(), ids)
    assert evaluate(learner, open_engine(engine), ids).nats == pytest.approx(truth.nats, rel=1e-12)


def test_only_the_segments_are_evaluated_each_from_the_zero_state(learner, ids):
    segments = [(10, 30), (60, 75)]
    found = evaluate(learner, ReferenceEngine(), ids, segments, split="validation")
    nats = [*walk(learner, ids[10:30]), *walk(learner, ids[60:75])]
    assert (found.split, found.characters) == ("validation", 33)
    assert found.nats == pytest.approx(np.mean(nats), rel=1e-12)


def test_one_stream_reads_a_long_text_exactly(learner, monkeypatch):
    monkeypatch.setattr(scoring, "PIECE", 100)
    monkeypatch.setattr(scoring, "WARM_UP", 0)
    text = np.random.default_rng(1).integers(0, 8, 900).astype(np.uint8)
    exact = evaluate(learner, ReferenceEngine(), text, streams=1)
    assert exact.nats == pytest.approx(np.mean(walk(learner, text)), rel=1e-12)
    several = evaluate(learner, ReferenceEngine(), text)
    assert several.nats != pytest.approx(exact.nats, rel=1e-12)
    assert several.characters == exact.characters == 899


def test_an_untrained_model_has_the_cross_entropy_of_a_uniform_distribution(ids):
    learner = new_learner(Config(hidden_size=6), Vocabulary("abcdefgh"))
    learner.parameters["V"][...] = 0
    found = evaluate(learner, ReferenceEngine(), ids)
    assert found.bits == pytest.approx(3, rel=1e-6)
    assert found.perplexity == pytest.approx(8, rel=1e-6)


def test_evaluating_does_not_change_the_model(learner, ids):
    before = copy_learner(learner)
    evaluate(learner, ReferenceEngine(), ids)
    assert learner.state["h"].tobytes() == before.state["h"].tobytes()
    assert learner.parameters["V"].tobytes() == before.parameters["V"].tobytes()


def test_a_huge_cross_entropy_gives_an_infinite_perplexity(learner, ids):
    sure = copy_learner(learner)
    sure.parameters["c"][:] = [1e6, *[0] * 7]
    found = evaluate(sure, ReferenceEngine(), ids)
    assert found.nats > 709
    assert found.perplexity == math.inf


# The interval


def test_the_interval_contains_the_true_mean_in_about_95_percent_of_texts():
    """Uses 200 texts of 30 blocks with surprise that is correlated within each block."""
    generator, held = np.random.default_rng(2), 0
    for n in range(200):
        nats = (2 + np.repeat(generator.normal(size=30), 50)) * math.log(2)
        low, high = blocks_of_50(nats, seed=n)
        held += low <= 2 <= high
    assert 0.89 < held / 200 < 0.99


def blocks_of_50(nats, seed):
    """Return the interval from smaller blocks and fewer resamples, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BLOCK", 50)
        patch.setattr(evaluation, "RESAMPLES", 200)
        return bits_interval(nats, seed)


def test_an_interval_without_blocks_would_be_too_narrow():
    """The test above would catch it: an interval from single characters is about a tenth as wide."""
    nats = 2 + np.repeat(np.random.default_rng(3).normal(size=40), 50)
    low, high = blocks_of_50(nats, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BLOCK", 1)
        patch.setattr(evaluation, "RESAMPLES", 200)
        narrow_low, narrow_high = bits_interval(nats, seed=0)
    assert narrow_high - narrow_low < (high - low) / 4


def test_the_interval_depends_only_on_the_seed():
    nats = np.random.default_rng(4).exponential(size=12_345)
    low, high = bits_interval(nats, seed=5)
    assert bits_interval(nats, seed=5) == (low, high)
    assert bits_interval(nats, seed=6) != (low, high)
    assert low < nats.mean() / math.log(2) < high
    # The last block is shorter than the others and has less weight.
    assert bits_interval(np.ones(9_001), seed=0) == pytest.approx((1 / math.log(2),) * 2)


def test_a_short_text_has_no_interval():
    assert bits_interval(np.ones(9_000), seed=0) is None


# Errors


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_with_nothing_to_predict_is_refused(learner, ids, count):
    with pytest.raises(
        TextError, match=f"has {number_of(count, 'character')}; an evaluation needs at least two"
    ):
        evaluate(learner, ReferenceEngine(), ids[:count])


@pytest.mark.parametrize(("name", "value"), [("streams", 0), ("streams", 1.5), ("seed", -1)])
def test_arguments_out_of_range_are_refused(learner, ids, name, value):
    with pytest.raises(ConfigError, match=name):
        evaluate(learner, ReferenceEngine(), ids, **{name: value})


def test_a_model_that_is_not_finite_is_refused(learner, ids):
    broken = copy_learner(learner)
    broken.parameters["c"][:] = np.nan
    with pytest.raises(DivergedError):
        evaluate(broken, ReferenceEngine(), ids)


def test_why_there_is_no_interval_is_said():
    assert why_no_interval(9_001, "characters") == ""
    assert why_no_interval(9_000, "bytes") == (
        "there is no 95 % interval, because it needs more than 9,000 bytes, and there are 9,000"
    )
    nats = np.random.default_rng(0).random(9_001)
    assert bits_interval(nats, 0) is not None
    assert bits_interval(nats[:-1], 0) is None


@pytest.mark.parametrize("words", [(), ("--ablate", "zero"), ("--probe", "vowel")])
def test_commands_say_why_there_is_no_interval(tmp_path, words):
    train(tmp_path / "run", engine="reference", epochs=1)
    name = "neurons" if words else "evaluate"
    done = charloom_(name, tmp_path / "run", *words)
    assert done.exit_code == 0, done.stderr
    assert "there is no 95 % interval, because it needs more than 9,000 characters" in done.stderr


def test_a_wrong_property_of_a_probe_names_the_option(tmp_path):
    train(tmp_path / "run", engine="reference", epochs=1)
    refused = charloom_("neurons", tmp_path / "run", "--probe", "foo")
    assert refused.exit_code == 2
    assert "--probe is 'foo'; it must be one of" in refused.stderr


def test_a_number_without_bounds_is_asked_for_without_a_stray_space():
    with pytest.raises(ConfigError, match=r"^value is 'x'; it must be a finite number\.$"):
        require_number("value", "x")
