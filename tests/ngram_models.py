"""Models with n-grams, in memory, for tests."""

import numpy as np

from charloom.api.model import Model
from charloom.config import Config
from charloom.engines import open_engine
from charloom.model import new_learner
from charloom.random import normals
from small_runs import small_corpus


def ngram_learner(corpus=None, **settings):
    """Return a model with random weights and the n-grams of the first half of a text."""
    corpus = corpus or small_corpus()
    defaults = {"hidden_size": 6, "sigma": 0.8, "dtype": "float64", "ngram_order": 5}
    config = Config(**{**defaults, **settings})
    learner = new_learner(config, corpus.vocabulary)
    numbers = normals(1, "init", config.hidden_size)
    learner.parameters["ngram.weight"][...] = numbers / 2
    counted = corpus.ids[: len(corpus) // 2]
    engine, segments = open_engine("reference"), np.array([[0, len(counted)]])
    learner.ngrams = engine.count_ngrams(config, len(corpus.vocabulary), counted, segments)
    return learner


def ngram_model(engine="auto", corpus=None, **settings):
    """Return a model with n-grams, which was trained on a text that is in memory."""
    corpus = corpus or small_corpus()
    return Model(ngram_learner(corpus, **settings), open_engine(engine), corpus=corpus)
