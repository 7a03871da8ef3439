"""Texts are read byte for byte from files and installed packages; wrong files are refused."""

import hashlib
import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import charloom
from charloom.errors import (
    ConfigError,
    EncodingError,
    MissingPartError,
    TextError,
    UnknownCharacterError,
)
from charloom.text import (
    BUILTIN_TEXTS,
    Corpus,
    UnknownPolicy,
    Vocabulary,
    block_reader,
    corpus,
    id_cache,
)
from charloom.text.block_reader import BOM
from charloom.text.id_file import IdFile


def write(folder, data, name="text.txt"):
    """Write these bytes to a file, and return its path."""
    path = folder / name
    path.write_bytes(data)
    return path


def text_of(corpus):
    """Return the text of a corpus as a string."""
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


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path):
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


def test_the_name_of_a_text_of_many_files_is_short(tmp_path):
    paths = [write(tmp_path, b"ab", name) for name in "12345"]
    assert Corpus.open(paths).name == "1 + 2 + 3 + 2 more"


def test_the_files_of_a_directory_are_reported_and_opened_again(tmp_path):
    write(tmp_path, b"ab", "1")
    write(tmp_path, b"cd", "2")
    corpus = Corpus.open([tmp_path])
    write(tmp_path, b"ef", "3")
    assert text_of(corpus) == "abcd"
    assert corpus.notes[0].startswith(f"{tmp_path}: 2 files, read in the order of their paths")
    assert Corpus.open(corpus.sources).fingerprint == corpus.fingerprint


# Bytes, pipes, and what a vocabulary lacks


def test_bytes_are_read_as_they_are(tmp_path):
    data = b"\xef\xbb\xbfna\xc3\xafve\0\xff"
    corpus = Corpus.open([write(tmp_path, data)], tokens="bytes")
    assert corpus.vocabulary.tokens == "bytes"
    assert corpus.vocabulary.to_bytes(corpus.ids) == data
    assert corpus.fingerprint == hashlib.sha256(data).hexdigest()
    assert Corpus.open([tmp_path / "text.txt"], corpus.vocabulary).ids.tolist() == (
        corpus.ids.tolist()
    )


def test_a_text_that_came_through_a_pipe_can_be_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfpiped")))
    corpus = Corpus.open([write(tmp_path, b"a file "), "-"])
    assert (text_of(corpus), corpus.sources) == ("a file piped", ())
    kept = write(tmp_path, b"".join(corpus.kept_bytes()), "kept")
    again = Corpus.from_kept(kept, corpus.name, corpus.vocabulary)
    assert again.fingerprint == corpus.fingerprint
    assert again.ids.tolist() == corpus.ids.tolist()
    assert again.sources == ()


@given(st.text(min_size=1), st.sampled_from(["characters", "bytes"]))
def test_any_string_can_be_stored(tmp_path_factory, text, tokens):
    vocabulary = Vocabulary(
        [*map(chr, range(256)), *(text if tokens == "characters" else "")], tokens
    )
    corpus = Corpus.from_text(text, vocabulary=vocabulary)
    kept = tmp_path_factory.getbasetemp() / "kept"
    kept.write_bytes(b"".join(corpus.kept_bytes()))
    again = Corpus.from_kept(kept, "text", vocabulary)
    assert again.fingerprint == corpus.fingerprint
    assert again.ids.tolist() == corpus.ids.tolist()


def test_unknown_characters_can_be_skipped_or_replaced_and_are_reported(tmp_path):
    path, vocabulary = write(tmp_path, "né à né".encode()), Vocabulary("en ")
    skipped = Corpus.open([path], vocabulary, policy=UnknownPolicy("skip"))
    assert text_of(skipped) == "n  n"
    assert skipped.unknown.counts == (("é", 2), ("à", 1))
    assert skipped.notes == (skipped.unknown.sentence,)
    replaced = Corpus.open([path], vocabulary, policy=UnknownPolicy("replace", "e"))
    assert text_of(replaced) == "ne e ne"
    assert "replaced by 'e'" in replaced.notes[0]
    assert skipped.fingerprint == replaced.fingerprint == Corpus.open([path]).fingerprint
    with pytest.raises(
        ConfigError, match=r"it must be one of the [\d,]+ characters that the model knows"
    ):
        Corpus.open([path], vocabulary, policy=UnknownPolicy("replace", "é"))


def test_a_text_of_only_unknown_characters_is_refused_when_they_are_skipped(tmp_path):
    with pytest.raises(TextError, match=r"nothing is left of text\.txt"):
        Corpus.open([write(tmp_path, b"abc")], Vocabulary("xy"), policy=UnknownPolicy("skip"))


def test_a_text_that_changes_between_its_two_readings_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path, b"abcabc")

    def scan_and_change(sources, *options):
        found = block_reader.scan(sources, *options)
        path.write_bytes(b"abcabcabc")
        return found

    monkeypatch.setattr(corpus, "scan", scan_and_change)
    with pytest.raises(TextError, match="changed while it was read"):
        Corpus.open([path])


# Large texts


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Return an older text that counts as large, with an empty cache."""
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    path = write(tmp_path, b"\xef\xbb\xbf" + "größer als nichts\n".encode() * 5)
    os.utime(path, ns=(10**18, 10**18))
    return path


def forbid(monkeypatch, name):
    """Make this part of the reading fail when it is used."""

    def refuse(*args):
        raise AssertionError("the text was read again")

    monkeypatch.setattr(block_reader, name, refuse)


def test_the_ids_of_a_large_text_are_stored_in_a_file(large, tmp_path):
    corpus = Corpus.open([large])
    assert text_of(corpus) == "größer als nichts\n" * 5
    assert isinstance(corpus.ids, IdFile)
    assert len(list((tmp_path / "cache" / "ids").iterdir())) == 1


def test_an_unchanged_large_text_is_opened_without_being_read_again(large, monkeypatch):
    first = Corpus.open([large])
    forbid(monkeypatch, "_pieces")
    again = Corpus.open([large])
    assert (again.fingerprint, again.vocabulary) == (first.fingerprint, first.vocabulary)
    assert again.ids[:].tolist() == first.ids[:].tolist()


def test_a_large_text_that_was_changed_is_read_again(large):
    Corpus.open([large])
    large.write_text("something else entirely")
    assert text_of(Corpus.open([large])) == "something else entirely"


def test_verifying_finds_a_change_that_kept_time_and_size(large):
    first = Corpus.open([large])
    large.write_bytes(large.read_bytes().replace(b"nichts", b"NICHTS", 1))
    os.utime(large, ns=(10**18, 10**18))
    assert Corpus.open([large]).fingerprint == first.fingerprint  # what verifying is for
    checked = Corpus.open([large], verify=True)
    assert checked.fingerprint != first.fingerprint
    assert "NICHTS" in text_of(checked)


def test_a_large_text_that_was_verified_is_not_decoded_again(large, monkeypatch):
    first = Corpus.open([large])
    forbid(monkeypatch, "_symbols")
    assert Corpus.open([large], verify=True).fingerprint == first.fingerprint


def test_each_policy_for_unknown_characters_has_its_own_ids(large):
    vocabulary = Vocabulary("abchilnst e")
    ids = [
        Corpus.open([large], vocabulary, policy=UnknownPolicy(unknown, "a")).ids[:].tolist()
        for unknown in ("skip", "replace", "skip")
    ]
    assert len(ids[0]) < len(ids[1])
    assert ids[0] == ids[2]
    with pytest.raises(
        UnknownCharacterError, match=r"character 1 is 'g'.*The text has \d+ unknown characters"
    ):
        Corpus.open([large], vocabulary)


def test_without_a_writable_cache_the_ids_are_kept_in_memory(large, tmp_path, monkeypatch):
    monkeypatch.setenv(id_cache.VARIABLE, str(write(tmp_path, b"a file", "in the way")))
    corpus = Corpus.open([large])
    assert text_of(corpus) == "größer als nichts\n" * 5
    assert "are kept in memory because" in corpus.notes[0]
    assert "to use another folder, set CHARLOOM_CACHE" in corpus.notes[0]


def test_a_large_text_through_a_pipe_has_its_ids_in_a_file_too(large, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"as long as a pipe")))
    assert text_of(Corpus.open(["-"])) == "as long as a pipe"


# Built-in texts


def test_the_python_documentation_is_always_available():
    corpus = Corpus.open(["python-docs"])
    assert len(corpus) > 300_000
    assert len(corpus.vocabulary) > 80
    assert corpus.name == "python-docs"
    assert corpus.sources == ("builtin:python-docs",)
    assert Corpus.open(corpus.sources).fingerprint == corpus.fingerprint


def test_the_new_testament_is_the_end_of_the_bible():
    """Takes half a second, because it reads the whole Bible twice."""
    pytest.importorskip("pythonbible", reason="the extra corpora is not installed")
    bible, testament = Corpus.open(["kjv"]), Corpus.open(["kjv-nt"])
    assert len(bible) == 4_181_902
    assert len(testament) == 956_068
    assert text_of(bible).endswith(text_of(testament))
    assert text_of(testament).startswith("The book of the generation of Jesus Christ")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pythonbible", None)
    with pytest.raises(
        MissingPartError, match=r"in the clone of charloom: pip install '\.\[corpora\]'"
    ):
        Corpus.open(["kjv"])


def test_a_file_with_the_name_of_a_built_in_text_has_priority(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, b"mine", "python-docs")
    assert text_of(Corpus.open(["python-docs"])) == "mine"


def test_every_built_in_text_has_a_description_and_its_requirements():
    for text in BUILTIN_TEXTS.values():
        assert text.description
        assert text.needs


# Bad input


def test_a_missing_file_is_named_with_the_built_in_texts():
    with pytest.raises(TextError, match=r"nowhere\.txt: no such file; .*\(python-docs, kjv"):
        Corpus.open(["nowhere.txt"])


def test_a_directory_without_a_text_is_refused(tmp_path):
    with pytest.raises(TextError, match="no file found"):
        Corpus.open([tmp_path])


def test_bytes_that_are_not_utf8_are_refused_and_named(tmp_path):
    path = write(tmp_path, b"caf\xe9")
    with pytest.raises(EncodingError, match=r"text\.txt is not UTF-8: byte 0xe9 at offset 3"):
        Corpus.open([path])
    assert len(Corpus.open([path], tokens="bytes")) == 4


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


@pytest.mark.parametrize(
    ("path", "reason"),
    [("a" * 5_000, "no such file. If this is the text itself"), ("nul\0byte", "cannot be read")],
)
def test_a_path_that_no_system_accepts_is_refused(path, reason):
    with pytest.raises(TextError, match=reason):
        Corpus.open([path])


# A whole training


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_a_run_on_a_text_from_a_pipe_resumes_identically(tmp_path, monkeypatch, tokens):
    data = BOM + "Größe zählt nicht.\n".encode() * 5
    settings = {"recipe": "classic", "hidden_size": 4, "seq_length": 5, "engine": "reference"}
    for run, updates in {"whole": 8, "parts": 4}.items():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        charloom.train("-", tmp_path / run, updates=updates, tokens=tokens, **settings)
    assert (tmp_path / "parts" / "text.txt").read_bytes() == data[0 if tokens == "bytes" else 3 :]
    charloom.resume(tmp_path / "parts", updates=8)
    whole, parts = (charloom.load(tmp_path / run, engine="reference") for run in ("whole", "parts"))
    for name, array in whole.parameters.items():
        assert parts.parameters[name].tobytes() == array.tobytes()


def test_a_moved_text_given_through_a_pipe_is_stored(tmp_path, monkeypatch):
    path = write(tmp_path, b"abcabcabdacb" * 5)
    settings = {"recipe": "classic", "hidden_size": 4, "seq_length": 5, "engine": "reference"}
    charloom.train(path, tmp_path / "run", updates=2, **settings)
    data = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    charloom.resume(tmp_path / "run", text="-", updates=3)
    assert charloom.resume(tmp_path / "run", updates=4).learner.update == 4


def test_one_path_may_be_given_without_a_list(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("to be or not to be", encoding="utf-8")
    for one in (path, str(path)):
        assert Corpus.open(one).fingerprint == Corpus.open([path]).fingerprint
