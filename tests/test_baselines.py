"""Tests of the baselines: right formulas, learned from the training part only, separate segments."""

import gzip
import itertools
import lzma
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from charloom import baselines
from charloom.baselines import discounts, first_of, last_of, measure_baselines, ngram_nats
from charloom.errors import TextError
from charloom.text import Vocabulary

WORDS = "the cat sat on a mat and then that other cat ate the rat at the bar"


def babble(count, seed):
    """Return a random sequence of words with some frequent and many rare n-grams."""
    return " ".join(random.Random(seed).choices(WORDS.split(), k=count))


VOCABULARY = Vocabulary("abcdefghijklmnopqrstuvwxyz ")
TRAINING = [VOCABULARY.encode(babble(150, 1)), VOCABULARY.encode(babble(60, 2))]
JUDGED = [VOCABULARY.encode(babble(20, 3) + " quiz the "), VOCABULARY.encode(babble(9, 4))]


class Dictionary:
    """An independent, slow implementation of modified Kneser-Ney smoothing with dictionaries."""

    def __init__(self, segments, order, size):
        self.order, self.size = order, size
        self.counts = defaultdict(Counter)  # by context, of each character
        for n in range(1, order + 1):
            counts = {}
            for segment in segments:
                for end in range(n, len(segment) + 1):
                    gram = tuple(segment[end - n : end].tolist())
                    if n == order:
                        counts[gram] = counts.get(gram, 0) + 1
                    elif end > n:
                        counts.setdefault(gram, set()).add(int(segment[end - n - 1]))
            for gram, what in counts.items():
                self.counts[gram[:-1]][gram[-1]] = what if n == order else len(what)
        self.discounts = {}
        for n in range(1, order + 1):
            every = [c for h, row in self.counts.items() if len(h) == n - 1 for c in row.values()]
            self.discounts[n] = dict(enumerate((0, *discounts(np.array(every)))))

    def probability(self, context, character):
        """Return the probability of a character after a context of at most order - 1 characters."""
        below = self.probability(context[1:], character) if context else 1 / self.size
        row = self.counts.get(context)
        if not row:
            return below
        discount = self.discounts[len(context) + 1]
        spared = sum(discount[min(c, 3)] for c in row.values())
        own = row.get(character, 0)
        return (own - discount[min(own, 3)] + spared * below) / sum(row.values())

    def nats(self, segments):
        """Return the nats of each character except the first of each segment."""
        return [
            -math.log(
                self.probability(
                    tuple(segment[max(0, t - self.order + 1) : t].tolist()), int(segment[t])
                )
            )
            for segment in segments
            for t in range(1, len(segment))
        ]


@pytest.fixture(scope="module")
def dictionaries():
    """Return the independent implementation for each order."""
    return [Dictionary(TRAINING, order, len(VOCABULARY)) for order in range(1, 9)]


def test_every_order_agrees_with_the_independent_implementation(dictionaries):
    found = ngram_nats(TRAINING, JUDGED, len(VOCABULARY))
    assert found.shape == (8, sum(len(segment) - 1 for segment in JUDGED))
    for row, dictionary in zip(found, dictionaries, strict=True):
        assert row == pytest.approx(dictionary.nats(JUDGED), rel=1e-12)


@pytest.mark.parametrize("planted", ["discounts", "interpolate"])
def test_the_independent_implementation_catches_a_planted_error(monkeypatch, dictionaries, planted):
    right = getattr(baselines, planted)
    wrong = {
        "discounts": lambda counts: tuple(0.999 * d for d in right(counts)),
        "interpolate": lambda *given: right(*given[:4], np.ones_like(given[4]), given[5]),
    }
    monkeypatch.setattr(baselines, planted, wrong[planted])
    row = ngram_nats(TRAINING, JUDGED, len(VOCABULARY))[3]
    assert row != pytest.approx(dictionaries[3].nats(JUDGED), rel=1e-12)


@pytest.mark.parametrize("order", [1, 3, 6])
@pytest.mark.parametrize("context", ["the ca", "zzzzzz", "t", ""])
def test_the_probabilities_after_any_context_sum_to_one(order, context):
    """Sums the probabilities of all continuations of a context."""
    texts = [VOCABULARY.encode(" " + context + c) for c in VOCABULARY.characters]
    nats = ngram_nats(TRAINING, texts, len(VOCABULARY), order)[-1]
    last = nats.reshape(len(VOCABULARY), -1)[:, -1]
    assert np.exp(-last).sum() == pytest.approx(1, rel=1e-12)


def test_discounts_are_estimated_if_the_counts_allow_it():
    counts = np.repeat([1, 2, 3, 4, 5, 9], [50, 20, 10, 6, 4, 30])
    y = 50 / 90
    wanted = (1 - 2 * y * 20 / 50, 2 - 3 * y * 10 / 20, 3 - 4 * y * 6 / 10)
    assert discounts(counts) == pytest.approx(wanted, rel=1e-12)
    assert discounts(np.array([1, 1, 2, 7])) == (0.5, 1.0, 1.5)
    assert discounts(np.repeat([1, 2, 3, 4], [1, 1, 30, 1])) == (0.5, 1.0, 1.5)  # 2 of 2 and more


def test_longer_contexts_help_and_random_text_has_its_entropy():
    found = measure_baselines(TRAINING, JUDGED, VOCABULARY)
    assert found.ngrams[1] > found.ngrams[2] > found.ngrams[3]
    assert found.ngrams[found.best_order] == min(found.ngrams.values())
    nothing_in_common = measure_baselines(
        [VOCABULARY.encode("ab" * 500)], [VOCABULARY.encode("xyzxyz")], VOCABULARY
    )
    assert all(bits > math.log2(27) for bits in nothing_in_common.ngrams.values())


def test_compressors_run_with_and_without_the_training_part():
    training, judged = babble(3_000, 5), babble(300, 6)
    found = measure_baselines(
        [VOCABULARY.encode(training)], [VOCABULARY.encode(judged)], VOCABULARY
    )
    for name, compress in (
        ("xz", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        ("gzip", lambda data: gzip.compress(data, 9, mtime=0)),
    ):
        before, both = (training + judged[0]).encode(), (training + judged).encode()
        rates = found.compressors[name]
        wanted = 8 * (len(compress(both)) - len(compress(before))) / (len(judged) - 1)
        assert rates.bits == pytest.approx(wanted)
        assert rates.alone == pytest.approx(
            8 * len(compress(judged[1:].encode())) / (len(judged) - 1)
        )
        assert rates.bits < rates.alone


def test_compressors_get_the_bytes_of_the_text():
    """Each of these characters has three bytes. In a byte model, ids are the bytes."""
    text = "€₤₧" * 400
    characters = Vocabulary.from_text(text)
    ids = characters.encode(text)
    rate = measure_baselines([ids], [ids[:300]], characters).compressors["xz"].alone
    assert rate == pytest.approx(8 * len(lzma.compress(text[1:300].encode(), preset=9)) / 299)
    known = Vocabulary.from_text(text, "bytes")
    ids = known.encode(text)
    rate = measure_baselines([ids], [ids[:900]], known).compressors["xz"].alone
    assert rate == pytest.approx(8 * len(lzma.compress(text[:300].encode()[1:], preset=9)) / 899)


def test_long_texts_are_limited_to_the_characters_nearest_to_the_boundary(monkeypatch):
    monkeypatch.setattr(baselines, "LIMIT", 100)
    found = measure_baselines(TRAINING, JUDGED, VOCABULARY)
    assert (found.learnt, found.judged) == (100, 100 - len(first_of(JUDGED, 100)))
    taken = measure_baselines([TRAINING[1][-100:]], first_of(JUDGED, 100), VOCABULARY)
    assert found.ngrams == taken.ngrams


def test_first_of_and_last_of_select_characters_across_segments():
    segments = [np.arange(3), np.arange(3, 5), np.arange(5, 9)]
    for limit in range(12):
        assert list(itertools.chain(*first_of(segments, limit))) == list(range(9))[:limit]
        assert (
            list(itertools.chain(*last_of(segments, limit))) == list(range(9))[max(0, 9 - limit) :]
        )


@pytest.mark.parametrize(("training", "judged"), [("", "abc"), ("abc", "a"), ("abc", "")])
def test_parts_with_nothing_to_learn_or_to_predict_are_refused(training, judged):
    with pytest.raises(TextError, match="baselines need"):
        measure_baselines([VOCABULARY.encode(training)], [VOCABULARY.encode(judged)], VOCABULARY)
