"""Texts from files and from installed packages, byte for byte, and every bad file refused."""

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import EncodingError, MissingPartError, TextError, UnknownCharacterError
from charloom.text import BUILTIN_TEXTS, Corpus, Vocabulary
from charloom.text.corpus import decode_text


def write(folder, data, name="text.txt"):
    """A file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def text_of(corpus):
    """The corpus as a string."""
    return corpus.vocabulary.decode(corpus.ids)


def test_a_file_becomes_ids_with_name_source_and_fingerprint(tmp_path):
    data = "Zwei Wörter.\n".encode()
    corpus = Corpus.open([write(tmp_path, data)])
    assert text_of(corpus) == data.decode()
    assert len(corpus) == 13
    assert corpus.name == "text.txt"
    assert corpus.sources == (str(tmp_path / "text.txt"),)
    assert corpus.fingerprint == hashlib.sha256(data).hexdigest()
    assert not corpus.ids.flags.writeable


def test_newlines_stay_as_they_are(tmp_path):
    data = b"one\r\ntwo\nthree\rfour"
    assert text_of(Corpus.open([write(tmp_path, data)])).encode() == data


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    plain = Corpus.open([write(tmp_path, b"abc", "plain")])
    marked = Corpus.open([write(tmp_path, b"\xef\xbb\xbfabc", "marked")])
    assert text_of(marked) == "abc"
    assert marked.fingerprint == plain.fingerprint


def test_files_are_read_one_after_another(tmp_path):
    paths = [write(tmp_path, b"\xef\xbb\xbfab", "1"), write(tmp_path, b"\xef\xbb\xbfcd", "2")]
    corpus = Corpus.open(paths)
    assert text_of(corpus) == "abcd"
    assert corpus.name == "1 + 2"
    assert corpus.sources == tuple(map(str, paths))


def test_sources_open_the_same_text_again_from_another_folder(tmp_path, monkeypatch):
    write(tmp_path, b"some text")
    monkeypatch.chdir(tmp_path)
    corpus = Corpus.open(["text.txt"])
    monkeypatch.chdir("/")
    assert Corpus.open(corpus.sources).fingerprint == corpus.fingerprint


def test_a_given_vocabulary_is_kept_and_must_know_the_text(tmp_path):
    vocabulary = Vocabulary("abcdef")
    corpus = Corpus.open([write(tmp_path, b"fade")], vocabulary)
    assert corpus.vocabulary is vocabulary
    assert corpus.ids.tolist() == [5, 0, 3, 4]
    with pytest.raises(UnknownCharacterError, match="character 2 is 'o'"):
        Corpus.open([write(tmp_path, b"bob")], vocabulary)


def test_a_text_of_one_repeated_character_can_be_scored_by_a_known_vocabulary():
    assert Corpus.from_text("aaa", vocabulary=Vocabulary("ab")).ids.tolist() == [0, 0, 0]


# Built-in texts


def test_the_python_documentation_is_always_there():
    corpus = Corpus.open(["python-docs"])
    assert len(corpus) > 300_000
    assert len(corpus.vocabulary) > 80
    assert corpus.name == "python-docs"
    assert corpus.sources == ("builtin:python-docs",)
    assert Corpus.open(corpus.sources).fingerprint == corpus.fingerprint


def test_the_new_testament_is_the_end_of_the_bible():
    """Reading the whole Bible twice takes half a second."""
    pytest.importorskip("pythonbible", reason="the extra corpora is not installed")
    bible, testament = Corpus.open(["kjv"]), Corpus.open(["kjv-nt"])
    assert len(bible) == 4_181_902
    assert len(testament) == 956_068
    assert text_of(bible).endswith(text_of(testament))
    assert text_of(testament).startswith("The book of the generation of Jesus Christ")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pythonbible", None)
    with pytest.raises(MissingPartError, match=r"pip install 'charloom\[corpora\]'"):
        Corpus.open(["kjv"])


def test_a_file_with_the_name_of_a_built_in_text_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, b"mine", "python-docs")
    assert text_of(Corpus.open(["python-docs"])) == "mine"


def test_every_built_in_text_says_what_it_is_and_needs():
    for text in BUILTIN_TEXTS.values():
        assert text.description
        assert text.needs


# Bad input


def test_a_missing_file_is_named_with_the_built_in_texts():
    with pytest.raises(TextError, match=r"nowhere\.txt: no such file; .*\(python-docs, kjv"):
        Corpus.open(["nowhere.txt"])


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(TextError, match="is a directory; give the path of a text file"):
        Corpus.open([tmp_path])


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"], ids=["empty", "only a mark"])
def test_an_empty_file_is_refused(tmp_path, data):
    with pytest.raises(TextError, match=r"text\.txt is empty"):
        Corpus.open([write(tmp_path, data)])


def test_no_source_at_all_is_refused():
    with pytest.raises(TextError, match="no text was given"):
        Corpus.open([])


def test_an_empty_string_is_refused():
    with pytest.raises(TextError, match="text is empty"):
        Corpus.from_text("")


def test_one_distinct_character_is_refused(tmp_path):
    with pytest.raises(TextError, match="only 'a'"):
        Corpus.open([write(tmp_path, b"aaaa")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    path = write(tmp_path, b"secret")
    path.chmod(0)
    with pytest.raises(TextError, match="cannot be read: Permission denied"):
        Corpus.open([path])


@pytest.mark.parametrize("path", ["a" * 5_000, "nul\0byte"])
def test_a_path_that_no_system_takes_is_refused(path):
    with pytest.raises(TextError, match="cannot be read"):
        Corpus.open([path])


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"caf\xe9 au lait", 3),
        (b"\xff", 0),
        ("grün".encode() + b"\xc3", 5),
        (b"\xef\xbb\xbfab\xf0", 5),
        (b"ab\xed\xa0\x80", 2),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(tmp_path, data, offset):
    with pytest.raises(EncodingError, match=f"0x{data[offset]:02x} at offset {offset} ") as caught:
        Corpus.open([write(tmp_path, data)])
    assert caught.value.offset == offset


def test_nul_bytes_are_refused_with_their_offset():
    with pytest.raises(EncodingError, match="NUL byte at offset 4") as caught:
        decode_text(b"text\0\0", "it")
    assert caught.value.offset == 4


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32"])
def test_utf16_and_utf32_are_recognised(codec):
    with pytest.raises(EncodingError, match="UTF-16"):
        decode_text("wide text".encode(codec), "it")


@given(st.binary(max_size=40))
def test_any_bytes_are_read_exactly_or_refused(data):
    try:
        text = decode_text(data, "it")
    except TextError:
        return
    assert text.encode() == data.removeprefix(b"\xef\xbb\xbf")
