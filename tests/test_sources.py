"""Texts are found in files, directories, patterns and pipes, in a stated order; other files are named."""

import io
import os
import sys
import threading

import pytest

from charloom.errors import TextError
from charloom.text import sources
from charloom.text.sources import CHECKED_BYTES, find_sources

PICTURE = b"\x89PNG\r\n\x1a\n\0\0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to a folder with texts and other files, and return it."""
    for name, data in {
        "books/b.txt": b"second",
        "books/a.txt": b"first",
        "books/a/deep.md": "tief: ä".encode(),
        "books/.hidden.txt": b"hidden",
        "books/.git/config": b"hidden",
        "books/picture.png": PICTURE,
        "books/latin.txt": b"caf\xe9",
        "books/empty.txt": b"",
        "books/run/config.json": b"{}",
        "books/run/checkpoints/latest": b"40",
        "single.txt": b"one",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(paths, any_bytes=False):
    """Return the paths of the sources, relative to the current folder."""
    found = find_sources(paths, any_bytes)
    return [os.path.relpath(source.place) for one in found for source in one.pieces]


def content(source):
    """Return the bytes of a source. Assert that it can be read twice."""
    read = []
    for _ in range(2):
        with source.opened() as file:
            read.append(file.read())
    assert read[0] == read[1]
    return read[0]


def test_a_directory_gives_its_texts_in_the_order_of_their_paths(folder):
    assert places(["books"]) == ["books/a/deep.md", "books/a.txt", "books/b.txt"]


def test_skipped_files_are_reported(folder):
    (found,) = find_sources(["books"], any_bytes=False)
    assert found.name == "books"
    assert found.note == (
        "books: 3 files, read in the order of their paths from books/a/deep.md on; skipped 3 files "
        "without text in UTF-8: books/empty.txt, books/latin.txt, books/picture.png"
    )


def test_a_byte_model_reads_every_file(folder):
    assert "books/picture.png" in places(["books"], any_bytes=True)
    assert "books/empty.txt" not in places(["books"], any_bytes=True)


def test_patterns_find_files_in_subdirectories(folder):
    assert places(["books/*.txt"]) == ["books/a.txt", "books/b.txt"]
    assert places(["**/*.md"]) == ["books/a/deep.md"]
    assert places([str(folder / "b*" / "a.*")]) == ["books/a.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_read_as_a_file(folder):
    (folder / "[ab].txt").write_bytes(b"brackets")
    assert places(["[ab].txt"]) == ["[ab].txt"]


def test_a_directory_skips_files_already_read_but_a_file_can_be_named_twice(folder):
    assert places(["books/a.txt", "books"]) == ["books/a.txt", "books/a/deep.md", "books/b.txt"]
    assert places(["single.txt", "single.txt"]) == ["single.txt", "single.txt"]


def test_links_to_directories_are_not_followed(folder):
    (folder / "books" / "loop").symlink_to(folder / "books")
    assert len(places(["books"])) == 3


def test_a_character_cut_at_the_end_of_the_checked_bytes_is_not_binary(folder):
    (folder / "long").mkdir()
    (folder / "long" / "text").write_bytes(b"a" * (CHECKED_BYTES - 1) + "é".encode())
    assert places(["long"]) == ["long/text"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("nothing/*.txt", "no file found"),
        ("empty", "no file found"),
        ("books/*.png", "no text in UTF-8 among"),
    ],
)
def test_a_directory_without_texts_is_reported(folder, paths, message):
    (folder / "empty").mkdir()
    with pytest.raises(TextError, match=message):
        find_sources([paths], any_bytes=False)


def test_a_text_that_is_named_twice_is_read_twice_and_reported(folder):
    (folder / "one").mkdir()
    (folder / "one" / "text").write_text("abc")
    twice = find_sources(["one/text", "one/text"], any_bytes=False)
    assert [len(found.pieces) for found in twice] == [1, 1]
    assert [found.note for found in twice] == [
        "",
        "one/text was given more than once, and is read each time",
    ]
    found = find_sources(["one/text", "one"], any_bytes=False)
    assert [len(one.pieces) for one in found] == [1, 0]


def test_a_file_has_its_path_and_its_stamp(folder):
    ((source,),) = [one.pieces for one in find_sources(["single.txt"], any_bytes=False)]
    assert source.place == str(folder / "single.txt")
    assert source.size == 3
    before = source.stamp
    (folder / "single.txt").write_bytes(b"longer")
    assert source.stamp != before
    assert content(source) == b"longer"


def test_standard_input_is_stored_in_memory(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    ((source,),) = [one.pieces for one in find_sources(["-"], any_bytes=False)]
    assert (source.name, source.place, source.stamp) == ("stdin", "", None)
    assert content(source) == b"piped"


def test_large_standard_input_is_stored_on_the_disk(monkeypatch):
    monkeypatch.setattr(sources, "IN_MEMORY", 4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"longer than that")))
    ((source,),) = [one.pieces for one in find_sources(["-"], any_bytes=False)]
    assert content(source) == b"longer than that"
    held = source.content
    del source
    assert held.closed


def test_missing_standard_input_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextError, match="this process has none"):
        find_sources(["-"], any_bytes=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_text_from_a_pipe_is_stored(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"piped",))
    writer.start()
    ((source,),) = [one.pieces for one in find_sources([tmp_path / "pipe"], any_bytes=False)]
    writer.join()
    assert source.place == ""
    assert content(source) == b"piped"


def test_the_error_names_the_file_that_cannot_be_read(folder, monkeypatch):
    def refuse(self, *args, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(TextError, match=r"books/a/deep\.md' cannot be read: Permission denied"):
        find_sources(["books"], any_bytes=False)
