"""The reference engine draws characters as the sampler says."""

import numpy as np
import pytest

from charloom.engines import Sampler
from charloom.engines.reference import ReferenceEngine
from reference_networks import make_learner

LOGITS = np.log([4.0, 1.0, 8.0, 2.0, 1.0])  # the weights of five ids


def drawn(sampler, read=(0,), logits=LOGITS):
    """Draw at 1,600 points of the unit interval, and return the share of each id, shape (5,)."""
    learner, engine = make_learner(characters=len(logits)), ReferenceEngine()
    for parameter in learner.parameters.values():
        parameter[...] = 0
    learner.parameters["c"][...] = logits
    count = 1_600
    ids = [
        int(engine.generate(learner, np.array(read), sampler, np.array([u]), learner.state)[0][0])
        for u in (np.arange(count) + 0.5) / count
    ]
    assert ids == sorted(ids)
    return np.bincount(ids, minlength=len(logits)) / count


def shares(*weights):
    """Return weights as shares of their sum."""
    return pytest.approx(np.array(weights) / sum(weights), abs=1 / 1_600)


@pytest.mark.parametrize(
    ("sampler", "weights"),
    [
        (Sampler(), (4, 1, 8, 2, 1)),
        (Sampler(0.5), (16, 1, 64, 4, 1)),
        (Sampler(0.0), (0, 0, 1, 0, 0)),
        (Sampler(top_k=2), (4, 0, 8, 0, 0)),
        (Sampler(top_k=4), (4, 1, 8, 2, 0)),  # of two equal ones, the lower id
        (Sampler(top_k=9), (4, 1, 8, 2, 1)),
        (Sampler(top_p=0.5), (0, 0, 8, 0, 0)),
        (Sampler(top_p=0.51), (4, 0, 8, 0, 0)),
        (Sampler(top_p=0.9), (4, 1, 8, 2, 0)),
        (Sampler(top_p=1e-9), (0, 0, 1, 0, 0)),
        (Sampler(top_p=0.7, top_k=2), (4, 0, 8, 0, 0)),  # 0.7 of what top-k left, not of all
        (Sampler(top_p=0.6, top_k=2), (0, 0, 8, 0, 0)),
        (Sampler(min_p=0.24), (4, 0, 8, 2, 0)),
        (Sampler(0.5, min_p=0.24), (16, 0, 64, 0, 0)),  # of the weights after the temperature
        (Sampler(min_p=0.3, top_k=4, top_p=0.99), (4, 0, 8, 0, 0)),
    ],
)
def test_a_character_is_drawn_from_what_the_sampler_keeps(sampler, weights):
    assert drawn(sampler) == shares(*weights)


@pytest.mark.parametrize(
    ("read", "window", "logits"),
    [
        ([0, 2], 64, (1.0, -1.0, 2.0, 2.0)),
        ([2, 2, 2], 64, (2.0, -1.0, 2.0, 2.0)),  # once, however often it was read
        ([0, 1], 64, (1.0, -2.0, 4.0, 2.0)),
        ([0, 1, 2], 1, (2.0, -1.0, 2.0, 2.0)),
        ([0, 1], 0, (2.0, -1.0, 4.0, 2.0)),
    ],
)
def test_the_repetition_penalty_divides_positive_logits_and_multiplies_negative_ones(
    read, window, logits
):
    sampler = Sampler(repetition_penalty=2.0, repetition_window=window)
    before = np.array([2.0, -1.0, 4.0, 2.0])
    assert drawn(sampler, read, before) == shares(*np.exp(logits))


def test_temperature_zero_takes_the_likeliest_after_the_penalty_and_the_lowest_of_equals():
    equal = np.array([1.0, 3.0, 3.0, 2.0])
    assert drawn(Sampler(0.0), [0], equal).tolist() == [0, 1, 0, 0]
    penalty = Sampler(0.0, repetition_penalty=4.0)
    assert drawn(penalty, [1], equal).tolist() == [0, 0, 1, 0]


def test_a_uniform_that_rounds_up_to_the_total_takes_the_last_id_that_is_kept():
    learner, engine = make_learner(), ReferenceEngine()
    last = np.array([1 - 2.0**-53])
    kept = np.argsort(engine.step(learner, np.array([2]), learner.state)[0][0])[-3:]
    ids, _ = engine.generate(learner, np.array([2]), Sampler(top_k=3), last, learner.state)
    assert ids[0] == max(kept)
