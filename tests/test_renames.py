"""On Windows, a rename waits for readers that have the file open; elsewhere it is done once."""

import pytest

from charloom.store import atomic_files
from charloom.store.atomic_files import rename_when_closed, replace_file


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(atomic_files, "WINDOWS", True)
    monkeypatch.setattr(atomic_files, "RENAME_SECONDS", 0.0)


def refusing(times):
    """Return a function that refuses its first calls, and the list of its arguments."""
    calls = []

    def rename(target):
        calls.append(target)
        if len(calls) <= times:
            raise PermissionError(13, "the file is used by another process")

    return rename, calls


@pytest.mark.usefixtures("windows")
def test_a_rename_is_tried_again_while_a_reader_has_the_file_open(tmp_path):
    rename, calls = refusing(3)
    rename_when_closed(rename, tmp_path)
    assert calls == 4 * [tmp_path]


@pytest.mark.usefixtures("windows")
def test_a_file_that_stays_open_is_an_error(tmp_path):
    rename, calls = refusing(1_000)
    with pytest.raises(PermissionError):
        rename_when_closed(rename, tmp_path)
    assert len(calls) == atomic_files.RENAMES


@pytest.mark.usefixtures("windows")
def test_a_file_is_replaced_on_windows(tmp_path):
    path = tmp_path / "status.json"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_elsewhere_an_error_is_raised_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(atomic_files, "WINDOWS", False)
    rename, calls = refusing(1)
    with pytest.raises(PermissionError):
        rename_when_closed(rename, tmp_path)
    assert len(calls) == 1
