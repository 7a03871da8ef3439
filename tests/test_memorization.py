"""`memorized` measures what a model copies from its training text, and beside it what held-out text repeats."""

from itertools import pairwise

import numpy as np
import pytest

import charloom
from charloom.api import memorization
from charloom.api.memorization import VerbatimShare, spread
from charloom.errors import ConfigError, TextError

LETTERS = "abcdefghijklmnopqrstuvwxyz \n"


@pytest.fixture(scope="module")
def text():
    drawn = np.random.default_rng(0).integers(0, len(LETTERS), 4_000)
    return "".join(LETTERS[n] for n in drawn)


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memorized")
    (folder / "text.txt").write_text(text, encoding="utf-8")
    charloom.train(
        folder / "text.txt", run=folder / "run", hidden_size=4, seq_length=10, updates=3, validation=0.25
    )  # fmt: skip
    return folder / "run"


def writes(monkeypatch, *texts):
    """Make every model write the given texts."""
    monkeypatch.setattr(
        memorization, "texts_of",
        lambda model, options, samples: [model.learner.vocabulary.encode(text) for text in texts],
    )  # fmt: skip


def test_a_planted_copy_is_found_with_its_place(run, text, monkeypatch):
    writes(monkeypatch, "qqqqqqqqqq" + text[1_234:1_334] + "qqqqqqqq", text[50:60])
    found = charloom.memorized(run, samples=2)
    longest = found.stretches[0]
    assert longest.characters == found.written.longest >= 100
    assert text[longest.place : longest.place + longest.characters] == longest.text
    assert longest.sample == 0
    assert longest.place + 10 - longest.at == 1_234
    assert found.stretches[1].sample in (0, 1)
    assert found.searched == 3_000


def test_a_copy_of_the_validation_part_is_no_copy_of_the_training_part(run, text, monkeypatch):
    writes(monkeypatch, text[3_100:3_200])
    found = charloom.memorized(run, samples=1, length=100)
    assert found.written.longest < 10
    assert found.held_out.characters == 100


def test_shares_are_counted_over_the_stretches_that_fit():
    share = VerbatimShare.of([np.array([3, 2, 1, 0]), np.array([1])])
    assert share.shares == (4 / 5, 2 / 3, 1 / 2, 0)
    assert (share.longest, share.median, share.characters) == (3, 1, 5)
    assert share.share(2) == 2 / 3
    assert share.share(99) == 0


def test_held_out_pieces_do_not_overlap_and_are_as_long_as_the_written_texts(run, text):
    model = charloom.load(run)
    _, held_out = memorization.searched_parts(model, None)
    pieces = spread(held_out, 4, 100)
    texts = [model.learner.vocabulary.decode(piece) for piece in pieces]
    places = [text.index(piece) for piece in texts]
    assert all(len(piece) == 100 for piece in texts)
    assert all(later - place >= 100 for place, later in pairwise(places))
    assert places[0] == 3_000
    assert len(spread(held_out, 20, 100)) == 10
    assert [len(piece) for piece in spread(held_out, 3, 5_000)] == [1_000]


def test_another_text_is_searched_whole_and_without_held_out_text(run, tmp_path, monkeypatch):
    (tmp_path / "other.txt").write_text("Ä the cat sat on the mat", encoding="utf-8")
    writes(monkeypatch, "the cat sat")
    found = charloom.memorized(run, tmp_path / "other.txt", samples=1)
    assert found.held_out is None
    assert found.written.longest == 11
    assert "held-out" not in str(found)


def test_what_a_model_writes_is_the_same_with_the_same_seed(run):
    first, again = (charloom.memorized(run, samples=2, length=40, seed=3) for _ in range(2))
    assert first == again
    assert first.written != charloom.memorized(run, samples=2, length=40, seed=4).written
    assert first.written.characters == 80


def test_mistakes_are_explained(run, tmp_path, text):
    with pytest.raises(ConfigError, match="samples"):
        charloom.memorized(run, samples=0)
    model = charloom.load(run)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(TextError, match="is not known; give a text"):
        charloom.memorized(tmp_path / "m.safetensors")


def test_a_model_without_a_validation_part_has_only_its_own_column(tmp_path, text):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    model = charloom.train(
        tmp_path / "text.txt", run=tmp_path / "run", recipe="classic", hidden_size=4, updates=2
    )
    found = charloom.memorized(model, samples=1, length=30)
    assert found.held_out is None
    assert "no validation part" in str(found)
