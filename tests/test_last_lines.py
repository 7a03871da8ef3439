"""Tests of reading the end of a file of lines: same lines as a full read, with any block size."""

import pytest

from charloom.errors import DamagedError
from charloom.store import journal_tail
from charloom.store.atomic_files import open_plain
from charloom.store.journal_tail import last_lines, length_of_lines, require_whole_lines

LINES = [b"a\n", b"\n", b"0123456789abcdef\n", b"bc\n", b"x" * 200 + b"\n", b"end\n"]


@pytest.fixture(params=[1, 2, 3, 7, 1 << 16])
def block(request, monkeypatch):
    """Set the block size in bytes."""
    monkeypatch.setattr(journal_tail, "BLOCK", request.param)


@pytest.mark.parametrize("count", range(len(LINES) + 1))
@pytest.mark.parametrize("torn", [b"", b"half a line"])
def test_lines_are_yielded_from_the_last_to_the_first(block, tmp_path, count, torn):
    whole = b"".join(LINES[:count])
    (tmp_path / "file").write_bytes(whole + torn)
    assert list(last_lines(tmp_path / "file")) == LINES[:count][::-1]
    assert length_of_lines(tmp_path / "file") == len(whole)
    require_length(tmp_path / "file", len(whole))


def require_length(path, length):
    """Raise DamagedError unless the first `length` bytes of a file are whole lines."""
    with open_plain(path) as file:
        require_whole_lines(file, path, length)


def test_a_missing_file_has_no_lines(tmp_path):
    assert list(last_lines(tmp_path / "file")) == []
    assert length_of_lines(tmp_path / "file") == 0
    require_length(tmp_path / "file", 0)
    with pytest.raises(DamagedError, match="is missing; it had 3 bytes"):
        require_length(tmp_path / "file", 3)


@pytest.mark.parametrize("keep", [1, 4, 9])
def test_a_length_that_does_not_end_with_a_whole_line_is_damage(tmp_path, keep):
    (tmp_path / "file").write_bytes(b"ab\ncd\n..")
    with pytest.raises(
        DamagedError,
        match=rf"has 8 bytes\. .* it had {keep} bytes?, and its last line was complete",
    ):
        require_length(tmp_path / "file", keep)
