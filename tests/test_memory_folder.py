"""Temporary files of the tests are in memory only if there is room and the user chose no other folder."""

import os
from types import SimpleNamespace

import pytest

import memory_folder

ROOMY = {"f_bavail": 2**20, "f_frsize": 4096, "f_flag": 0}


@pytest.mark.parametrize("name", ["PYTEST_DEBUG_TEMPROOT", "TMPDIR"])
@pytest.mark.parametrize(
    ("system", "environment", "chosen"),
    [
        (ROOMY, {}, True),
        (ROOMY, {"PYTEST_DEBUG_TEMPROOT": "/elsewhere", "TMPDIR": "/elsewhere"}, False),
        ({**ROOMY, "f_bavail": 2**14}, {}, False),
        ({**ROOMY, "f_flag": os.ST_NOEXEC}, {}, False),
    ],
    ids=["roomy", "the user named another", "small", "no programs"],
)
def test_temporary_files_are_in_memory_if_there_is_room(
    tmp_path, monkeypatch, system, environment, chosen, name
):
    environment = dict(environment)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**system))
    memory_folder.keep_temporary_files_in_memory(environment, tmp_path)
    assert (environment.get(name) == str(tmp_path)) == chosen


def test_without_a_memory_folder_the_systems_temporary_folder_is_used(tmp_path):
    environment = {}
    memory_folder.keep_temporary_files_in_memory(environment, tmp_path / "missing")
    assert environment == {}
