"""Estimates how long it takes to count the n-grams of a text, from the time that its beginning takes."""

from functools import partial
from typing import Final

import numpy as np

from charloom.api.time_estimates import seconds_of
from charloom.config import Config
from charloom.engines import Engine
from charloom.text import Corpus, windows_of
from charloom.training.ngram_counting import counted_segments

FIRST_CHARACTERS: Final = 2_048
# The trial ends when it has counted this fraction of the text.
LARGEST_FRACTION: Final = 1 / 8


def least_counting_seconds(
    corpus: Corpus, config: Config, engine: Engine, trial_seconds: float
) -> float:
    """Return how many seconds it takes at least to count the n-grams of a text.

    Counts longer and longer beginnings of the text, until one takes `trial_seconds`. A long text can take three
    times as long as its beginning per character, because it is counted again if its n-grams are too large.
    """
    symbols = len(corpus.vocabulary)
    in_all = counted_segments(windows_of(config, corpus.ids))[-1][1]
    characters = min(FIRST_CHARACTERS, in_all)
    while True:
        ids, segment = corpus.ids[:characters], np.array([[0, characters]])
        count = partial(engine.count_ngrams, config, symbols, ids, segment)
        seconds = seconds_of(partial(count, boundary=corpus.vocabulary.boundary))
        if seconds >= trial_seconds or characters > LARGEST_FRACTION * in_all:
            return seconds * in_all / characters
        characters *= 2
