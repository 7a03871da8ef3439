"""Counts the n-grams of the training part of a text, and chooses its pairs of characters.

See spec/mathematics.md: N-grams; Pairs. Of a text in a file, only the ids that count are read. This module does
not know how an engine counts.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.input_pairs import most_frequent_pairs
from charloom.model.memory_limit import require_memory, unused_memory
from charloom.model.ngrams import ANY_MEMORY, MOST_COUNTED, NGrams
from charloom.text import Vocabulary, Windows, windows_of
from charloom.text.all_ids import AllIds
from charloom.text.item_ids import ItemIds
from charloom.text.windows import Segment


def count_missing(learner: Learner, ids: AllIds, engine: Engine) -> None:
    """Give a learner the n-grams and the pairs of characters that training needs; do nothing if it has them.

    The arguments and errors are those of `count_missing_ngrams` and `choose_missing_pairs`.
    """
    count_missing_ngrams(learner, ids, engine)
    choose_missing_pairs(learner, ids)


def count_missing_ngrams(learner: Learner, ids: AllIds, engine: Engine) -> None:
    """Give a learner the n-grams that training needs, if its config asks for n-grams.

    A new learner has the n-grams of an empty text, and a loaded learner lacks the columns for training. Does
    nothing if these columns were counted before, because a learner is trained on one text only.

    Args:
        learner: gets new `ngrams`.
        ids: the whole text, shape (characters,).
        engine: counts.

    Raises:
        ConfigError: counting needs more memory than this process may use.
        TextError: the text is too short to be divided as the config says, or cannot be read. Or the learner
            was trained with other n-grams.
    """
    if learner.ngrams is not None and not learner.ngrams.parts:
        counted = counted_ngrams(learner.config, learner.vocabulary, ids, engine)
        set_counted_ngrams(learner, counted)


def set_counted_ngrams(learner: Learner, ngrams: NGrams | None) -> None:
    """Give a learner the counted n-grams of its text; None changes nothing.

    Raises:
        TextError: the learner was trained with other n-grams.
    """
    if ngrams is None or learner.ngrams is None:
        return
    # The n-grams of an empty text have no entries: a learner with them is new.
    if learner.ngrams.follower_ids.size and not learner.ngrams.equal_model(ngrams):
        raise TextError(
            f"the model was trained with other n-grams than those of this text. If it is the same text, another "
            f"version of charloom counted them: continue with that version. Otherwise, train a new model with "
            f"{argument('from_model')}."
        )
    learner.ngrams = ngrams


def counted_ngrams(config: Config, vocabulary: Vocabulary, ids: AllIds, engine: Engine) -> NGrams:
    """Return the n-grams of the training part of a text, with the columns that training needs.

    Args:
        config: its `ngram_order` must be at least 1; the other settings divide the text into parts.
        vocabulary: gives the number of characters and the boundary of items.
        ids: the whole text, shape (characters of the text,).
        engine: counts.

    Raises:
        ConfigError: counting needs more memory than this process may use.
        TextError: the text is too short to be divided as the config says, or cannot be read.
    """
    text, segments = text_to_count(config, ids)
    require_memory(config, len(vocabulary))
    free = unused_memory()
    try:
        return engine.count_ngrams(
            config,
            len(vocabulary),
            text,
            segments,
            most_memory=int(min(free, ANY_MEMORY)),
            boundary=vocabulary.boundary,
        )
    except MemoryError:
        amount = (
            "" if math.isinf(free) else f" than the {free / 1e9:,.3g} GB that charloom can use here"
        )
        raise ConfigError(
            f"counting the n-grams of {len(text):,} characters needs more memory{amount}. Give "
            f"{argument('ngram_order', 0)}, a lower {argument('ngram_order')}, or a shorter text."
        ) from None


def text_to_count(config: Config, ids: AllIds) -> tuple[Ids, NDArray[np.int64]]:
    """Return the ids in which n-grams are counted, and the segments that count, int64 of shape (segments, 2).

    Of a stream, what lies between the segments, such as a validation part, is in the ids but does not count. Of a
    collection, each item is a segment with a boundary at both ends. The other arguments and the errors are those
    of `counted_ngrams`.
    """
    segments = counted_segments(windows_of(config, ids))
    if isinstance(ids, ItemIds):
        return ids.with_both_boundaries(segments[-1][1] - 1, MOST_COUNTED)
    return ids[: segments[-1][1]], np.array(segments, dtype=np.int64)


def choose_missing_pairs(learner: Learner, ids: AllIds) -> None:
    """Give a new learner its pairs of characters, if its config asks for pairs.

    They are the most frequent pairs of the characters that the n-grams count. Does nothing if the learner has
    pairs, because their learned inputs belong to them.

    Args:
        learner: gets new `pairs`.
        ids: the whole text, shape (characters,).

    Raises:
        TextError: the text is too short to be divided as the config says, or cannot be read.
    """
    if learner.pairs is None or learner.pairs.used:
        return
    segments = counted_segments(windows_of(learner.config, ids))
    rows, characters = len(learner.pairs.ids), learner.pairs.characters
    learner.pairs = most_frequent_pairs(
        lambda start, end: ids[start:end],
        segments,
        rows,
        characters,
        learner.vocabulary.boundary,
    )


def counted_segments(windows: Windows) -> list[Segment]:
    """Return the segments of the training part that count, ascending and without overlaps.

    With the split "streams", a segment can end with the first character of the next one. This character
    counts only there.
    """
    segments = windows.parts["train"]
    ends = [following[0] for _, following in pairwise(segments)] + [windows.length]
    bounds = [(a, min(b, end, MOST_COUNTED)) for (a, b), end in zip(segments, ends, strict=True)]
    return [(a, b) for a, b in bounds if a < b]
