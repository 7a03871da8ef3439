"""The evaluation of a collection predicts each item as if it were alone, however the collection is cut into pieces."""

import numpy as np
import pytest

import charloom
from charloom import evaluation, scoring
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.evaluation import evaluate
from charloom.model import new_learner, zero_state
from charloom.random import uniforms
from charloom.scoring import characters_read, cut_into_pieces, from_beginnings, score_segments
from charloom.text import Corpus
from charloom.text.collection import Collection


@pytest.fixture(scope="module")
def collection():
    """Return a collection in which one item is longer than the warm-up of a piece of a stream."""
    words = ["abc", "ca", "b" * 7, "acb" * 300, "bb", "cab" * 5] * 3
    return Corpus.from_text("\n".join(words), collection=Collection("lines"))


@pytest.fixture(scope="module")
def learner(collection):
    config = Config(cell="lstm", hidden_size=5, sigma=0.9, dtype="float64", ngram_order=0)
    return new_learner(config, collection.vocabulary)


def nats_alone(learner, ids):
    """Return the nats of all items, each read alone."""
    found = []
    for number in range(ids.items):
        item = np.concatenate([[ids.boundary], ids.item(number), [ids.boundary]])
        losses, _ = ReferenceEngine().score(learner, item[:, None], zero_state(learner.config))
        found.append(losses[:, 0])
    return np.concatenate(found)


@pytest.mark.parametrize("pieces", [1, 2, 7, 64])
def test_the_number_of_pieces_does_not_matter(learner, collection, pieces, monkeypatch):
    ids = collection.ids
    monkeypatch.setattr(scoring, "WARM_UP", 3)  # a small network forgets what it read 512 ids ago
    nats = score_segments(ReferenceEngine(), learner, ids, [(0, len(ids))], pieces)
    np.testing.assert_array_equal(nats, nats_alone(learner, ids))


def test_the_warm_up_of_streams_would_not_do(learner, collection, monkeypatch):
    """Without the pieces of items, the long items would be read from their middle."""
    ids, whole = collection.ids, [(0, len(collection.ids))]
    monkeypatch.setattr(scoring, "WARM_UP", 3)
    monkeypatch.setattr(scoring, "from_beginnings", lambda ids, pieces: pieces)
    nats = score_segments(ReferenceEngine(), learner, ids, whole, 7)
    assert np.abs(nats - nats_alone(learner, ids)).max() > 1e-6


def test_each_piece_begins_at_a_boundary_and_reads_no_more_than_it_needs(collection):
    ids = collection.ids
    pieces = cut_into_pieces([(0, len(ids))], 20)
    moved = from_beginnings(ids, pieces)
    for before, piece in zip(pieces, moved, strict=True):
        assert (piece.counts, piece.end, piece.warm) == (before.counts, before.end, False)
        assert np.flatnonzero(ids[piece.reads : piece.counts] == ids.boundary).tolist() == [0]
    assert characters_read(moved) == len(moved) * max(p.end - 1 - p.reads for p in moved)


def test_the_losses_from_each_start_are_not_measured_for_items():
    model = charloom.train(
        string="\n".join(["abc", "ab", "cab"] * 400), items="lines", recipe="classic", hidden_size=4, updates=20
    )  # fmt: skip
    assert model.learner.start_losses is None


def test_an_evaluation_gives_nats_per_item_and_an_interval_over_items(learner, collection):
    ids = collection.ids
    found = evaluate(learner, ReferenceEngine(), ids)
    alone = nats_alone(learner, ids)
    assert (found.items, found.items_in_all, found.characters) == (18, 18, len(alone))
    assert found.nats_per_item == pytest.approx(alone.sum() / 18, rel=1e-12)
    sizes = np.array([len(ids.item(n)) + 1 for n in range(ids.items)])
    sums = np.add.reduceat(alone, np.cumsum(sizes) - sizes)
    means = []
    for n in range(1_000):
        drawn = (uniforms(0, "bootstrap", 18, time=n) * 18).astype(int)
        means.append(sums[drawn].sum() / sizes[drawn].sum() / np.log(2))
    assert found.interval == pytest.approx(np.quantile(means, (0.025, 0.975)), rel=1e-9)


def test_many_items_are_resampled_in_groups(monkeypatch):
    sizes = np.array([2, 3, 1, 4, 2, 2, 3, 1, 1, 5, 2, 2, 1])
    nats = np.linspace(1, 2, sizes.sum())
    monkeypatch.setattr(evaluation, "MOST_GROUPS", 12)
    monkeypatch.setattr(evaluation, "interval_of_groups", lambda sums, sizes, seed: (sums, sizes))
    sums, found = evaluation.interval_over_items(nats, sizes, 0)
    assert (len(found), found.sum()) == (12, sizes.sum())
    assert sums.sum() == pytest.approx(nats.sum())


def test_a_part_of_a_collection_is_named_by_its_items():
    model = charloom.train(
        string="\n".join(["abc", "ab", "cab", "ba"] * 30), items="lines", recipe="classic", hidden_size=4, updates=5,
        validation=0.2,
    )  # fmt: skip
    found = model.evaluate()
    assert found.part == f"validation: {found.items} of 120 items"
    assert 20 <= found.items <= 28
    assert "items" in str(found)
