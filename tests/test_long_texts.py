"""A text that is read in several threads has the same corpus, and an end in the middle leaves nothing wrong."""

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from charloom.errors import EncodingError, UnknownCharacterError
from charloom.reading_progress import reading_shown_by
from charloom.text import Corpus, UnknownPolicy, Vocabulary, block_reader, corpus, id_cache

TEXT = "Zwölf Boxkämpfer\r\njagen 漢字 😀 quer\n" * 50


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return a folder with an empty cache. Texts of ten bytes are long and large, in blocks of seven bytes."""
    monkeypatch.setattr(corpus, "LONG_TEXT", 10)
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setattr(corpus, "processors", lambda: 3)
    monkeypatch.setattr(block_reader, "BLOCK", 7)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def books(folder):
    """Return a directory with three texts."""
    (folder / "books").mkdir()
    for name, start in {"a": "", "b": "\ufeff", "c": "ß"}.items():
        (folder / "books" / name).write_bytes((start + TEXT).encode())
    return folder / "books"


def in_one_thread(monkeypatch, *arguments, **options):
    """Return the corpus that one thread reads, with a cache of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "processors", lambda: 1)
        patch.setenv(id_cache.VARIABLE, "other-cache")
        patch.setattr(corpus, "IN_MEMORY", 10**9)
        return Corpus.open(*arguments, **options)


def require_same(one, other):
    """Assert that two corpora are the same, bit by bit."""
    assert one.vocabulary == other.vocabulary
    assert (one.fingerprint, one.unknown, one.sources) == (
        other.fingerprint,
        other.unknown,
        other.sources,
    )
    assert np.asarray(one.ids).tobytes() == np.asarray(other.ids).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokens": "bytes"},
        {"vocabulary": Vocabulary(" abcdejr\n"), "policy": UnknownPolicy("skip")},
        {"vocabulary": Vocabulary(" abcdejr\n"), "policy": UnknownPolicy("replace", "a")},
    ],
    ids=["characters", "bytes", "skip", "replace"],
)
def test_a_directory_gives_the_same_corpus_in_any_number_of_threads(books, monkeypatch, options):
    several = Corpus.open([books], **options)
    require_same(several, in_one_thread(monkeypatch, [books], **options))
    require_same(Corpus.open([books], verify=True, **options), several)


def test_threads_that_exchange_two_blocks_are_noticed(books, monkeypatch):
    honest = block_reader.in_order

    def exchanged(*arguments):
        blocks = list(honest(*arguments))
        blocks[3], blocks[4] = blocks[4], blocks[3]
        yield from blocks

    one = in_one_thread(monkeypatch, [books])
    monkeypatch.setattr(block_reader, "in_order", exchanged)
    with pytest.raises(AssertionError):
        require_same(Corpus.open([books]), one)


def test_errors_are_those_of_one_thread(books, monkeypatch):
    (books / "b").write_bytes(TEXT.encode() + b"\xe6\xbc" + TEXT.encode() + b"\xff\0")
    with pytest.raises(EncodingError) as one:
        in_one_thread(monkeypatch, [books / "a", books / "b"])
    with pytest.raises(EncodingError) as several:
        Corpus.open([books / "a", books / "b"])
    assert several.value.offset == one.value.offset == len(TEXT.encode())
    assert str(several.value) == str(one.value)
    with pytest.raises(UnknownCharacterError, match=r"character 3 is 'ö'"):
        Corpus.open([books / "a"], Vocabulary("Zw"))


@pytest.mark.parametrize(
    ("size", "processors", "threads"), [(9, 8, 1), (10, 8, 8), (10, 1, 1), (10, 100, 8)]
)
def test_the_number_of_threads_follows_the_size_and_the_processors(
    size, processors, threads, monkeypatch
):
    monkeypatch.setattr(corpus, "processors", lambda: processors)
    assert corpus.threads_for(size) == threads


class Interrupting:
    """A display of reading that ends the work with an error after some bytes."""

    def __init__(self, error, after):
        self.error, self.left = error, after

    def __call__(self, size):
        self.size = size
        return self

    def __enter__(self):
        return self.count

    def __exit__(self, *error):
        pass

    def count(self, size):
        self.left -= size
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize("share", [0.25, 0.75], ids=["counting", "encoding"])
def test_an_interruption_leaves_no_file_and_no_thread(books, folder, share):
    size = sum(path.stat().st_size for path in books.iterdir())
    with (
        pytest.raises(KeyboardInterrupt),
        reading_shown_by(Interrupting(KeyboardInterrupt(), int(share * 2 * size))),
    ):
        Corpus.open([books])
    assert list((folder / "cache").glob("ids/*")) == []
    assert not [one for one in threading.enumerate() if one.name.startswith("charloom-reader")]


KILLED = """
import os, signal, sys
from contextlib import nullcontext
from charloom.reading_progress import reading_shown_by
from charloom.text import Corpus, block_reader, corpus
corpus.LONG_TEXT = corpus.IN_MEMORY = 10
corpus.processors = lambda: 3
block_reader.BLOCK = 7
read = 0
def count(size):
    global read
    read += size
    if read > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
with reading_shown_by(lambda size: nullcontext(count)):
    Corpus.open([sys.argv[1]])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("share", [0.25, 0.75], ids=["counting", "encoding"])
def test_after_a_killed_process_the_ids_are_right(books, monkeypatch, share):
    size = sum(path.stat().st_size for path in books.iterdir())
    words = [sys.executable, "-c", KILLED, str(books), str(int(share * 2 * size))]
    assert subprocess.run(words).returncode == -signal.SIGKILL
    require_same(Corpus.open([books]), in_one_thread(monkeypatch, [books]))
