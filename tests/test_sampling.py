"""A model's text depends on model, prompt, temperature and seed, and on nothing else."""

import numpy as np
import pytest

from charloom import sampling
from charloom.config import Config
from charloom.engines import Sampler, open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.model import copy_learner, new_learner, zero_state
from charloom.random import uniforms
from charloom.sampling import stream, write
from charloom.text import Vocabulary
from runs import ENGINES


@pytest.fixture(scope="module")
def learner():
    """A model with opinions, in a state that is not zero."""
    config = Config(hidden_size=6, sigma=0.8, dtype="float64")
    learner = new_learner(config, Vocabulary("abcdefg \n"))
    learner.state["h"] += 0.5
    return learner


def test_a_text_is_drawn_step_by_step_after_the_prompt(learner):
    engine, state = ReferenceEngine(), zero_state(learner.config)
    for character in "bad ":
        logits, state = engine.step(learner, learner.vocabulary.encode(character), state)
    text = ""
    for uniform in uniforms(7, "sample", 50):
        p = np.exp(logits[0] / 0.8) / np.exp(logits[0] / 0.8).sum()
        drawn = learner.vocabulary.characters[int(np.searchsorted(np.cumsum(p), uniform))]
        text += drawn
        logits, state = engine.step(learner, learner.vocabulary.encode(drawn), state)
    assert write(learner, engine, prompt="bad ", length=50, temperature=0.8, seed=7) == text


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_gives_the_same_text_on_every_engine(learner, engine):
    truth = write(learner, ReferenceEngine(), prompt="cab", length=300, seed=3)
    assert write(learner, open_engine(engine), prompt="cab", length=300, seed=3) == truth
    assert write(learner, open_engine(engine), prompt="cab", length=300, seed=4) != truth


def test_how_a_text_is_cut_into_pieces_changes_nothing(learner, monkeypatch):
    engine = ReferenceEngine()
    pieces = list(stream(learner, engine, length=500))
    assert [len(piece) for piece in pieces] == [16, 32, 64, 128, 256, 4]
    monkeypatch.setattr(sampling, "FIRST_PIECE", 1)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", 7)
    again = list(stream(learner, engine, length=500))
    assert len(again) > 70
    assert "".join(again) == "".join(pieces)
    assert "".join(pieces).startswith(write(learner, engine, length=99))


def test_the_first_piece_comes_before_the_rest_is_drawn(learner):
    drawn = []

    class Spy(ReferenceEngine):
        def generate(self, learner, first, sampler, uniforms, state):
            drawn.append(len(uniforms))
            return super().generate(learner, first, sampler, uniforms, state)

    pieces = stream(learner, Spy(), length=10**9)
    assert drawn == []
    assert len(next(pieces)) == 16
    assert drawn == [16]


def test_temperature_zero_takes_the_likeliest_whatever_the_seed(learner):
    texts = {write(learner, ReferenceEngine(), temperature=0, seed=seed) for seed in range(5)}
    assert len(texts) == 1
    assert Sampler(0).temperature == 0


@pytest.mark.parametrize(
    ("characters", "prompt"), [("ab\n ", "\n"), ("ab ", " "), ("ab", "a"), ("\x01b", "\x01")]
)
def test_without_a_prompt_it_begins_after_a_newline_or_the_next_best(characters, prompt):
    learner = new_learner(Config(hidden_size=6, sigma=0.8), Vocabulary(characters))
    engine = ReferenceEngine()
    assert write(learner, engine) == write(learner, engine, prompt=prompt)


def test_sampling_does_not_change_the_model(learner):
    before = copy_learner(learner)
    write(learner, ReferenceEngine(), prompt="bag", length=40)
    for name in ("parameters", "state"):
        for key, array in getattr(before, name).items():
            assert getattr(learner, name)[key].tobytes() == array.tobytes()
    assert learner.update == before.update


def test_a_prompt_that_the_model_cannot_read_names_the_character(learner):
    with pytest.raises(UnknownCharacterError, match=r"'D'.*closest that it knows is 'd'"):
        stream(learner, ReferenceEngine(), prompt="baDe")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
        ("length", -1),
        ("length", 1.5),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "hot"),
        ("seed", -1),
        ("seed", 2**64),
    ],
)
def test_what_is_out_of_range_is_refused_before_anything_is_drawn(learner, name, value):
    with pytest.raises(ConfigError, match=name):
        stream(learner, ReferenceEngine(), **{name: value})
