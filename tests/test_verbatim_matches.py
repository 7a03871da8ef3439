"""The stretches that texts have in common with another text are those that comparing every pair of places finds."""

import numpy as np
import pytest

from charloom import verbatim_matches
from charloom.verbatim_matches import LONGEST, SearchedText, longest_matches, occurring, place_of


def compared_one_by_one(text, searched, segments):
    """Return for each place of `text` the longest stretch that a segment of `searched` contains."""
    lengths = []
    for at in range(len(text)):
        longest = 0
        for start, end in segments:
            for place in range(start, end):
                n = 0
                while (
                    at + n < len(text) and place + n < end and text[at + n] == searched[place + n]
                ):
                    n += 1
                longest = max(longest, n)
        lengths.append(longest)
    return lengths


def drawn(seed, symbols, *sizes):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, symbols, size).astype(np.uint8) for size in sizes]


@pytest.mark.parametrize("block", [7, 1 << 20])
@pytest.mark.parametrize("symbols", [1, 2, 4])
def test_lengths_are_those_of_comparing_every_pair_of_places(symbols, block, monkeypatch):
    monkeypatch.setattr(verbatim_matches, "BLOCK", block)
    for seed in range(8):
        searched, *texts = drawn(seed, symbols, 90, 0, 1, 30, 25)
        segments = [(0, 29), (40, 90)]
        found = longest_matches(texts, SearchedText(searched, segments, symbols))
        for text, lengths in zip(texts, found, strict=True):
            assert lengths.tolist() == compared_one_by_one(text, searched, segments)


def test_the_oracle_sees_a_stretch_across_two_segments():
    (searched,) = drawn(0, 200, 40)
    whole = compared_one_by_one(searched[10:30], searched, [(0, 40)])
    assert whole[0] == 20
    divided = longest_matches([searched[10:30]], SearchedText(searched, [(0, 20), (20, 40)], 200))
    assert divided[0].tolist() == compared_one_by_one(
        searched[10:30], searched, [(0, 20), (20, 40)]
    )
    assert divided[0][0] == 10


def test_stretches_are_measured_up_to_the_longest():
    (searched,) = drawn(1, 100, 3 * LONGEST)
    (lengths,) = longest_matches([searched[5:]], SearchedText(searched, [(0, len(searched))], 100))
    assert lengths[0] == LONGEST
    assert lengths[-7:].tolist() == [7, 6, 5, 4, 3, 2, 1]


def test_each_pass_is_reported():
    searched, text = drawn(2, 3, 60, 20)
    passes = []
    longest_matches([text], SearchedText(searched, [(0, 60)], 3), passes.append)
    assert passes == list(range(1, len(passes) + 1))
    assert passes


def test_the_first_place_of_a_stretch_is_found_also_where_two_blocks_meet(monkeypatch):
    monkeypatch.setattr(verbatim_matches, "BLOCK", 10)
    (searched,) = drawn(3, 250, 50)
    text = SearchedText(searched, [(0, 50)], 250)
    assert place_of(searched[7:16], text) == 7
    assert place_of(searched[41:50], text) == 41
    assert place_of(searched[::-1], text) is None


def test_a_stretch_with_the_hash_of_another_one_has_no_place(monkeypatch):
    # With equal values for all ids, all stretches of one length have one hash.
    searched = np.array([0, 1, 2, 3], np.uint8)
    text = SearchedText(searched, [(0, 4)], 4)
    monkeypatch.setitem(text.__dict__, "values", np.ones(4, np.uint64))
    assert place_of(np.array([2, 1], np.uint8), text) is None
    assert place_of(np.array([2, 3], np.uint8), text) == 2


def test_only_hashes_of_the_searched_text_occur():
    searched = np.arange(200, dtype=np.uint8)
    text = SearchedText(searched, [(0, 200)], 200)
    hashes = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    assert len(occurring(hashes, text, 3)) == 0
