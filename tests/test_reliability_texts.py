"""Any bytes are trained on or refused with their offset. The checker catches a wrong reader."""

import re

import pytest

from charloom.text import Vocabulary, block_reader
from reliability import SHORT, texts


def test_any_bytes_are_trained_on_or_refused_with_their_offset():
    figures = texts.check(SHORT)
    assert figures["texts_trained_on"] + figures["texts_refused_with_a_sentence"] == 2 * len(
        texts.TEXTS
    )
    assert figures["examples_equal_after_encoding_and_decoding"] >= 1_000


def test_an_offset_that_is_one_off_is_noticed(monkeypatch):
    honest = block_reader._nul
    monkeypatch.setattr(block_reader, "_nul", lambda offset, name: honest(offset + 1, name))
    with pytest.raises(AssertionError, match="does not say 'offset 6'"):
        texts.check(SHORT)


def test_a_decoder_that_changes_line_ends_is_noticed(monkeypatch):
    honest = Vocabulary.decode
    # As files opened with newline=None do; a text with a CR is met much earlier than one with CRLF.
    monkeypatch.setattr(
        Vocabulary, "decode", lambda self, ids: re.sub("\r\n?", "\n", honest(self, ids))
    )
    with pytest.raises(AssertionError, match="another text"):
        texts.round_trips(20_000)


def test_a_reader_with_many_copies_of_a_text_in_memory_is_noticed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(texts, "MEMORY", 1 << 20)
    with pytest.raises(AssertionError, match="of memory"):
        texts.one_line(1 << 20)
