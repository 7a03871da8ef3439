"""Trains a small run that overfits, for tests of what the report, the page and the commands show of it."""

import random

import small_runs
from charloom.text import Corpus


def train(path):
    """Train a run on random characters, so that nothing it learns helps on the validation part.

    The last validation losses are about a fifth above the lowest one, four times as far as the check asks.
    """
    draws = random.Random(1)
    text = "".join(draws.choice("abcdefgh ") for _ in range(400))
    corpus = Corpus.from_text(text, "noise")
    settings = {"hidden_size": 32, "seq_length": 8, "epochs": 30, "learning_rate": 0.1}
    small_runs.train(path, corpus, validation=0.2, report_every=30, **settings)
