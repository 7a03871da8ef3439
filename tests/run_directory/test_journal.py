"""Tests of a journal, the JSON lines file that a run appends to."""

import os

import pytest

from charloom.errors import WriteError
from charloom.store.journal import Journal, read_lines
from file_contents import lines_of
from full_disk import FullDisk


def test_a_journals_length_includes_lines_in_memory(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.append({"b": 1, "a": "é"})
        journal.append_line(b'{"c":  2}')
        golden = b'{"a":"\\u00e9","b":1}\n{"c":  2}\n'
        assert journal.length == len(golden)
        assert (tmp_path / "j").read_bytes() == b""
        journal.sync()
        assert (tmp_path / "j").read_bytes() == golden
        assert journal.length == len(golden)
    assert read_lines(tmp_path / "j") == [{"a": "é", "b": 1}, {"c": 2}]
    assert read_lines(tmp_path / "none") == []


def test_a_full_disk_neither_loses_nor_duplicates_lines_of_a_journal(tmp_path, monkeypatch):
    disk, journal = FullDisk(monkeypatch), Journal(tmp_path / "j")
    real_write = os.write
    with journal:
        journal.append({"n": 1})
        journal.flush()
        journal.append({"n": 2})
        # The disk accepts a part of the line and then fails.
        monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data)[:3]))
        disk.arm(2, forever=True)
        with pytest.raises(WriteError, match="No space left"):
            journal.flush()
        assert (tmp_path / "j").read_bytes() == b'{"n":1}\n{"n'
        journal.append({"n": 3})
        disk.disarm()
        monkeypatch.setattr(os, "write", real_write)
        journal.flush()
    assert lines_of(tmp_path / "j") == [{"n": 1}, {"n": 2}, {"n": 3}]
