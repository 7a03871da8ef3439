"""A file of the study says how many workers train its runs, until they have ended or were killed."""

import json
import os
import time

import pytest

from charloom.errors import WriteError
from charloom.studies import worker_counts
from charloom.studies.worker_counts import AGAIN_SECONDS, COUNTED_SECONDS, WorkerCount
from charloom.studies.worker_counts import living_workers as living


def file_in(study):
    """Return the only file of a study with a number of workers."""
    (path,) = (study / "workers").glob("*.json")
    return path


def change(path, **fields):
    """Change fields of a file with a number of workers."""
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_the_number_of_workers_is_known_until_they_have_ended(tmp_path):
    with WorkerCount(tmp_path, lambda: 4):
        assert living(tmp_path, time.time()) == 4
        with WorkerCount(tmp_path, lambda: 3):  # another process trains other runs
            assert living(tmp_path, time.time()) == 7
    assert living(tmp_path, time.time()) == 0
    assert list((tmp_path / "workers").iterdir()) == []


def test_an_error_removes_the_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), WorkerCount(tmp_path, lambda: 4):
        raise KeyboardInterrupt
    assert living(tmp_path, time.time()) == 0


@pytest.mark.parametrize("fields", [{"pid": 2**31 - 2}, {"birth": 1}, {"pid": "1"}])
def test_a_process_that_was_killed_does_not_count_nor_one_with_its_number(tmp_path, fields):
    with WorkerCount(tmp_path, lambda: 4):
        change(file_in(tmp_path), **fields)
        assert living(tmp_path, time.time()) == 0


@pytest.mark.parametrize("fields", [{"host": "elsewhere"}, {"birth": None}])
def test_a_process_that_cannot_be_asked_counts_while_it_writes(tmp_path, monkeypatch, fields):
    monkeypatch.setattr("charloom.studies.trial_owners.process_start_time", lambda _: None)
    with WorkerCount(tmp_path, lambda: 4):
        change(file_in(tmp_path), **fields)
        now = file_in(tmp_path).stat().st_mtime
        assert living(tmp_path, now + COUNTED_SECONDS - 1) == 4
        assert living(tmp_path, now + COUNTED_SECONDS + 1) == 0


def test_the_file_is_written_again_when_the_number_changes_or_time_has_passed(
    tmp_path, monkeypatch
):
    workers, now = [4], [100.0]
    monkeypatch.setattr(worker_counts.time, "monotonic", lambda: now[0])
    with WorkerCount(tmp_path, lambda: workers[0]) as count:
        halt = count.beating(lambda: "SIGINT")
        os.utime(file_in(tmp_path), (1, 1))
        assert halt() == "SIGINT"
        assert file_in(tmp_path).stat().st_mtime == 1
        now[0] += AGAIN_SECONDS
        halt()
        assert file_in(tmp_path).stat().st_mtime > 1
        workers[0] = 3
        halt()
        assert living(tmp_path, time.time()) == 3


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "[" * 100_000, '{"workers":1}', "x" * 10_000],
)
def test_a_damaged_file_counts_no_worker_and_the_next_study_removes_it(tmp_path, content):
    (tmp_path / "workers").mkdir()
    path = tmp_path / "workers" / "a.json"
    path.write_text(content)
    assert living(tmp_path, time.time()) == 0
    with WorkerCount(tmp_path, lambda: 1):
        assert not path.exists()
        change(file_in(tmp_path), workers=-1)
        assert living(tmp_path, time.time()) == 0


def test_a_full_disk_does_not_end_the_study(tmp_path, monkeypatch):
    def full(*_, **__):
        raise WriteError("the disk is full")

    monkeypatch.setattr(worker_counts, "replace_file", full)
    with WorkerCount(tmp_path, lambda: 4) as count:
        assert count.beating(lambda: None)() is None
        assert living(tmp_path, time.time()) == 0
