"""Small networks and comparisons for the tests of the native engine."""

import numpy as np

from charloom import _native
from charloom.engines.reference import ReferenceEngine
from charloom.model import Learner, new_learner
from charloom.recipes import configure
from charloom.text import Vocabulary

REFERENCE = ReferenceEngine()
SETS = _native.instruction_sets()
ONE_STREAM = np.zeros(1, dtype=np.int64)


def make_learner(H=100, K=80, T=25, dtype="float64", sigma=0.1, **settings) -> Learner:
    config = configure(hidden_size=H, seq_length=T, dtype=dtype, sigma=sigma, **settings)
    learner = new_learner(config, Vocabulary(chr(0x100 + k) for k in range(K)))
    rng = np.random.default_rng(H + K + T)
    learner.state["h"][:] = rng.uniform(-1, 1, size=(1, 1, H))
    for name in ("layers.0.b", "c"):
        learner.parameters[name][:] = rng.normal(0, sigma, size=learner.parameters[name].shape)
    return learner


def make_tokens(learner: Learner, count: int) -> np.ndarray:
    K = len(learner.vocabulary)
    skewed = np.random.default_rng(1).random(count) ** 2.5
    return (K * skewed).astype(learner.vocabulary.id_dtype)
