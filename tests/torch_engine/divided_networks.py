"""Small networks that several processes train together, and the same ones in one process, for tests."""

from functools import cache

import numpy as np

from charloom.config import Config
from charloom.engines import Plan, open_engine
from charloom.model import Learner, copy_learner, new_learner
from charloom.text import Vocabulary
from charloom.training.ngram_counting import count_missing
from engine_comparison import distance

CLOSEST = 1e-9  # after 200 updates in float64: the sums have another order
UPDATES = 200
IDS = np.random.default_rng(3).integers(0, 7, 4000).astype(np.uint8)
COMMON = {"hidden_size": 6, "seq_length": 4, "batch_size": 5, "dtype": "float64", "layers": 2}
KINDS = {
    "plain": {"cell": "rnn", "clip": 0.5, "clip_by": "norm"},
    "lstm with dropout": {"cell": "lstm", "dropout": 0.3, "optimizer": "adamw", "averaging": 0.2},
    "gru with n-grams and pairs": {"cell": "gru", "ngram_order": 3, "input_pairs": 12},
    "lstm of items with n-grams and pairs": {"cell": "lstm", "ngram_order": 3, "input_pairs": 12},
}


def learner_of(kind: str) -> Learner:
    """Return a network before its first update, with its n-grams and pairs."""
    items = "items" in kind  # the id 6 is the boundary then
    vocabulary = Vocabulary("abcdef" if items else "abcdefg", items=items)
    learner = new_learner(Config(**COMMON, **KINDS[kind]), vocabulary)
    count_missing(learner, IDS, open_engine("reference"))
    return learner


def starts(learner: Learner) -> np.ndarray:
    return np.arange(learner.config.batch_size, dtype=np.int64) * 790


def scattered(learner: Learner, updates: int) -> Plan:
    """Return a plan with windows anywhere in the text, and resets of the state."""
    random = np.random.default_rng(5)
    places = random.integers(0, 3900, (updates, learner.config.batch_size))
    return Plan(np.full(updates, 0.02), places, resets=random.random(updates) < 0.2)


def trained(learner: Learner, engine) -> tuple[list[float], Learner]:
    """Return the losses of 200 updates and the network after them. The last ones have scattered windows."""
    learner, losses = copy_learner(learner), []
    for updates in (1, 99, 50):
        trace = engine.train(learner, IDS, Plan(np.full(updates, 0.02), starts(learner)))
        losses += trace.losses.tolist()
    losses += engine.train(learner, IDS, scattered(learner, 50)).losses.tolist()
    return losses, learner


@cache
def trained_alone(kind: str) -> tuple[list[float], Learner]:
    """Return what one process computes."""
    return trained(learner_of(kind), open_engine("torch", 1, "cpu"))


def farthest(ours: Learner, theirs: Learner) -> float:
    """Return how far the weights, slots and states of two networks are apart."""
    pairs = [(ours.parameters, theirs.parameters), (ours.state, theirs.state)]
    pairs += [(ours.slots[name], theirs.slots[name]) for name in theirs.slots]
    return max(distance(a[name], b[name]) for a, b in pairs for name in b)


def apart(kind: str, engine) -> float:
    """Return how far several processes are from one, after 200 updates."""
    ours, theirs = trained(learner_of(kind), engine), trained_alone(kind)
    assert len(ours[0]) == UPDATES
    return max(distance(np.array(ours[0]), np.array(theirs[0])), farthest(ours[1], theirs[1]))
