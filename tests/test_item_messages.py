"""What is said about items before training: lists of lines, sorted lines, and repeated held-out items."""

import numpy as np
import pytest

from charloom.config import Config
from charloom.text import Corpus, item_ids
from charloom.text.collection import Collection
from charloom.text.item_duplicates import Duplicates, duplicates_across_parts
from charloom.text.line_shape import last_lines_if_sorted, looks_like_a_list
from charloom.training.item_messages import item_sentences

NAMES = sorted(
    f"{a}{b}{c}".capitalize() for a in ("ann", "bor", "cel", "dim", "eva") for b in "aeiou" for c in ("", "lin", "ra", "s", "to")
)  # fmt: skip
PROSE = "\n".join(
    ["It was the best of times, it was the worst of times, it was the age of wisdom."] * 30
)
POEM = "\n".join(["Tyger Tyger, burning bright,", "In the forests of the night;", "What immortal hand or eye,", "Could frame thy fearful symmetry?", ""] * 9)  # fmt: skip
BLANK_VERSE = "\n".join(["The woods are lovely, dark and deep,", "But I have promises to keep."] * 20)  # fmt: skip
CODE = "\n".join(["import os", "def f(x):", "    return x", "", "class A:", "    b = 1"] * 9)
TABLE = "\n".join(f"{n},{n + 1}" for n in range(60))


def shape(text):
    """Return what the lines of a stream look like."""
    found = Corpus.from_text(text)
    return looks_like_a_list(found.vocabulary, found.ids)


def test_a_list_of_short_lines_is_recognised():
    assert shape("\n".join(NAMES)) == len(NAMES)
    assert shape("\n".join(["CC(=O)O", "c1ccccc1", "CCO", "C#N"] * 9) + "\n") == 36
    assert shape("\n".join(NAMES * 200)) == pytest.approx(len(NAMES) * 200, rel=0.02)


@pytest.mark.parametrize("text", [PROSE, POEM, BLANK_VERSE, CODE, TABLE, "one line only", "a\nb"])
def test_prose_poems_code_and_tables_are_not_lists(text):
    assert shape(text) is None


def test_sorted_lines_are_noticed_and_others_are_not():
    words = [f"{a}{b}{c}{d}" for a in "abcdefgh" for b in "aeiou" for c in "lmnr" for d in "aeiou"]

    def last(lines):
        found = Corpus.from_text("\n".join(lines))
        return last_lines_if_sorted(found.vocabulary, found.ids)

    assert last(words).startswith("h")
    assert last([word.title() if n % 2 else word for n, word in enumerate(words)]) is not None
    mixed = [words[n] for n in np.random.default_rng(0).permutation(len(words))]
    assert last(mixed) is None
    assert last(["same"] * 800) is None
    assert last(PROSE.split(" ")) is None
    assert last(["x" * 5000, "y"]) is None


def test_suggestions_name_the_setting_and_are_only_for_streams():
    stream = Corpus.from_text("\n".join(NAMES * 5))
    said = list(item_sentences(Config(), stream))
    assert len(said) == 1
    assert "short lines: did you mean" in said[0]
    words = "\n".join(sorted(f"{a}{b}{c}" for a in "abcdefghij" for b in "aeiou" for c in "klmnop"))
    assert (
        "look sorted" in list(item_sentences(Config(validation=0.1), Corpus.from_text(words)))[-1]
    )
    items = Corpus.from_text(words, collection=Collection("lines"))
    assert list(item_sentences(Config(items="lines", validation=0.1), items)) == []


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_the_held_out_items_that_also_occur_in_training_are_counted(monkeypatch, block):
    monkeypatch.setattr(item_ids, "READ_IDS", block)
    given = [*NAMES, *NAMES[:40], "ab" * 900, "ba" * 900, "ab" * 900]
    found = Corpus.from_text("\n".join(given), collection=Collection("lines"))
    config = Config(items="lines", validation=0.2, test=0.1)
    cut, _ = found.ids.bounds(config)
    items = [found.vocabulary.decode(found.ids.item(n)) for n in range(found.items)]
    training = set(items[:cut])
    wanted = sum(item in training for item in items[cut:])
    assert wanted > 0
    assert duplicates_across_parts(config, found.ids) == Duplicates(len(items) - cut, wanted)
    (said,) = item_sentences(config, found)
    assert said.startswith(f"{wanted:,} of {len(items) - cut:,} held-out items also occur")


def test_items_with_the_same_letters_in_another_order_are_not_equal():
    found = Corpus.from_text("abc\nacb\nbca\ncab", collection=Collection("lines"))
    assert duplicates_across_parts(Config(items="lines", validation=0.4), found.ids).repeated == 0
