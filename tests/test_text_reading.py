"""Texts are read the same with any block size and in any number of threads.

Each wrong byte is refused with its offset.
"""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import EncodingError, TextError
from charloom.text import Vocabulary, block_reader
from charloom.text.block_reader import (
    Reading,
    encode,
    fingerprint,
    first_left_out,
    scan,
    text_bytes,
)
from charloom.text.sources import Source
from charloom.text.unknown_policy import REFUSE, SKIP

BOM = b"\xef\xbb\xbf"


def source(data, raw=False):
    """Return a source with these bytes."""
    return Source("it", "", raw, content=io.BytesIO(data))


def read(*pieces, tokens="characters", raw=False, threads=1):
    """Scan and encode these pieces. Return the scan, the vocabulary and all ids as one array."""
    sources = [source(piece, raw) for piece in pieces]
    reading = Reading(threads)
    found = scan(sources, tokens, reading)
    vocabulary = Vocabulary([*map(chr, found.values), "a", "b"], tokens)
    table = vocabulary.encoding_plan(found.values, found.counts, REFUSE).table
    ids = np.concatenate(list(encode(sources, tokens, table, False, found.fingerprint, reading)))
    assert len(ids) == found.counts.sum()
    assert fingerprint(sources, tokens) == found.fingerprint
    return found, vocabulary, ids


def text_of(data, **options):
    """Return the text of one piece."""
    _, vocabulary, ids = read(data, **options)
    return vocabulary.decode(ids)


@pytest.fixture(params=[1, 2, 3, 5, 1 << 20])
def block(request, monkeypatch):
    """Set the size of a block in bytes, which is smaller than some characters."""
    monkeypatch.setattr(block_reader, "BLOCK", request.param)
    return request.param


@pytest.fixture(params=[1, 3])
def threads(request):
    """Return a number of threads in which texts are read."""
    return request.param


TEXTS = ["plain", "Zwölf", "漢字かな", "a😀é𝄞", "x\r\ny\rz\n", "e\u0301", "a\ufeffb", "\U0010ffff!"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_the_same_however_it_is_cut_into_blocks(text, block, threads):
    found, vocabulary, ids = read(text.encode(), threads=threads)
    assert vocabulary.decode(ids) == text
    assert found.fingerprint == hashlib.sha256(text.encode()).hexdigest()
    counted = dict(zip(map(chr, found.values), found.counts.tolist(), strict=True))
    assert counted == {character: text.count(character) for character in sorted(set(text))}


@pytest.mark.parametrize("size", [2, 4, 5])
def test_a_reader_that_cuts_characters_is_noticed(size, threads, monkeypatch):
    monkeypatch.setattr(block_reader, "BLOCK", size)
    monkeypatch.setattr(block_reader, "_last_boundary", len)
    with pytest.raises(EncodingError, match="is not UTF-8"):
        read("漢字かな".encode(), threads=threads)


def test_a_reader_that_changes_a_line_end_at_the_edge_of_a_block_is_noticed(threads, monkeypatch):
    honest = block_reader._symbols

    def symbols(block, tokens):
        end = b"\n" if block.data.endswith(b"\r") else b""  # as if \r alone were a line end
        return honest(block._replace(data=block.data + end), tokens)

    monkeypatch.setattr(block_reader, "BLOCK", 2)
    assert text_of(b"x\r\ny\r\n", threads=threads) == "x\r\ny\r\n"
    monkeypatch.setattr(block_reader, "_symbols", symbols)
    assert text_of(b"x\r\ny\r\n", threads=threads) == "x\r\n\ny\r\n"


def test_byte_order_marks_at_the_beginning_of_a_piece_are_not_text(block, threads):
    found, vocabulary, ids = read(BOM + b"ab", BOM + "é".encode(), threads=threads)
    assert vocabulary.decode(ids) == "abé"
    assert found.fingerprint == hashlib.sha256("abé".encode()).hexdigest()


def test_only_the_first_byte_order_mark_of_a_piece_is_removed(block):
    assert text_of(BOM + BOM + b"a") == "\ufeffa"


def test_a_raw_piece_is_read_unchanged(block):
    text = "\ufeffa\0b\ud800"
    assert text_of(text.encode("utf-8", "surrogatepass"), raw=True) == text


def test_bytes_are_read_as_they_are(block):
    data = BOM + b"\0\xff\xc3" + "é".encode()
    found, vocabulary, ids = read(data, tokens="bytes")
    assert vocabulary.to_bytes(ids) == data
    assert found.fingerprint == hashlib.sha256(data).hexdigest()


def test_the_texts_own_bytes_can_be_kept(block):
    sources = [source(BOM + "aé".encode()), source(b"b")]
    assert b"".join(text_bytes(sources, "characters")) == "aéb".encode()


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"caf\xe9 au lait", 3),
        (b"\xff", 0),
        ("grün".encode() + b"\xc3", 5),
        (BOM + b"ab\xf0", 5),
        (b"ab\xed\xa0\x80", 2),
        ("ä".encode() + b"\x80\x80\x80\x80\x80", 2),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(data, offset, block, threads):
    with pytest.raises(EncodingError, match=f"0x{data[offset]:02x} at offset {offset} ") as caught:
        scan([source(data)], "characters", Reading(threads))
    assert caught.value.offset == offset


def test_nul_bytes_are_refused_with_their_offset(block, threads):
    with pytest.raises(EncodingError, match="NUL byte at offset 4") as caught:
        scan([source(b"text\0\0")], "characters", Reading(threads))
    assert caught.value.offset == 4


def test_the_first_of_several_errors_is_reported(block, threads):
    pieces = [source(b"ab\xffcd\0ef\xff"), source(b"")]
    with pytest.raises(EncodingError, match="0xff at offset 2 "):
        scan(pieces, "characters", Reading(threads))


def test_the_listener_learns_the_size_of_each_block(block, threads):
    sizes = []
    reading = Reading(threads, sizes.append)
    found = scan([source("aé漢".encode()), source(b"bc")], "characters", reading)
    assert sum(sizes) == 8
    assert fingerprint([source("aé漢bc".encode())], "characters", sizes.append) == found.fingerprint
    assert sum(sizes) == 16


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32"])
def test_utf16_and_utf32_are_recognised(codec):
    with pytest.raises(EncodingError, match="UTF-16"):
        scan([source("wide text".encode(codec))], "characters")


@pytest.mark.parametrize("data", [b"", BOM])
def test_an_empty_piece_is_refused(data, block):
    with pytest.raises(TextError, match="it is empty"):
        scan([source(b"text"), source(data)], "characters")


@given(st.binary(max_size=40))
def test_any_bytes_are_read_exactly_or_refused(data):
    try:
        text = text_of(data)
    except TextError:
        assert b"\0" in data or not data.removeprefix(BOM) or not decodes(data)
    else:
        assert text.encode() == data.removeprefix(BOM)


def decodes(data):
    """Return True if Python decodes these bytes as UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_characters_without_an_id_are_left_out(block):
    vocabulary = Vocabulary("abé")
    pieces = [source("xaéy".encode()), source(b"zb")]
    found = scan(pieces, "characters")
    encoding_plan = vocabulary.encoding_plan(found.values, found.counts, SKIP)
    ids = np.concatenate(
        list(encode(pieces, "characters", encoding_plan.table, True, found.fingerprint))
    )
    assert vocabulary.decode(ids) == "aéb"
    assert encoding_plan.unknown.total == 3


def test_the_first_character_without_an_id_is_found_across_pieces(block):
    pieces = [source("abé".encode()), source(b"bxb")]
    table = Vocabulary("abé").encoding_plan(*np.zeros((2, 0), dtype=int), REFUSE).table
    assert first_left_out(pieces, "characters", table) == (ord("x"), 4)
    with pytest.raises(TextError, match="changed while it was read"):
        first_left_out(pieces[:1], "characters", table)
