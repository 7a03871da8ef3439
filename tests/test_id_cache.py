"""The cache of ids returns the same bits, and computes ids again if a cache file is wrong."""

import hashlib
import json
import os
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from charloom.errors import TextError
from charloom.text import Vocabulary, id_cache
from charloom.text.block_reader import Scan

STAMPS = [("/books/a.txt", 5, 10**18, 7)]
SCAN = Scan("ab" * 32, np.array([97, 98]), np.array([3, 2]))
VOCABULARY = Vocabulary("ab")
IDS = np.array([0, 1, 0, 1, 0], dtype=np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return an empty cache."""
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def ids_of(blocks, vocabulary=VOCABULARY, treatment=(), count=5):
    """Return the ids of the text. They are computed from `blocks` if they are not in the cache."""
    return id_cache.ids_of(SCAN.fingerprint, vocabulary, treatment, count, blocks)


def nothing():
    """Fail if blocks are requested."""
    raise AssertionError("the ids were made again")
    yield


def files(folder):
    """Return every file of the cache."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_ids_are_computed_once_and_then_read_from_the_cache(folder):
    assert ids_of([IDS[:2], IDS[2:]])[:].tolist() == IDS.tolist()
    again = ids_of(nothing())
    assert again[:].tolist() == IDS.tolist()
    assert again.dtype == again[:].dtype == VOCABULARY.id_dtype


def test_the_file_is_as_specified(folder):
    ids_of([IDS])
    about = (
        f'{{"count":5,"fingerprint":"{SCAN.fingerprint}","format":2,"tokens":"characters",'
        '"treatment":[],"vocabulary":[97,98]}'
    )
    key = hashlib.sha256(about.encode()).hexdigest()
    data = (folder / "ids" / f"{key}.ids").read_bytes()
    checksum = f"{zlib.crc32(IDS.tobytes()):08x}"
    header = f"charloom ids 2\n{key}\n|u1\n5\n{checksum}\n"
    assert data == header.encode().ljust(4096) + IDS.tobytes()


def test_wide_ids_are_little_endian(folder):
    vocabulary = Vocabulary(chr(256 + k) for k in range(300))
    wide = ids_of([np.array([1, 256, 299])], vocabulary, count=3)
    assert wide[:].tolist() == [1, 256, 299]
    (path,) = files(folder)
    assert path.read_bytes()[4096:] == b"\x01\0\0\x01\x2b\x01"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"C" + data[1:],
        lambda _: b"",
        lambda data: data[:-2] + b"\0" + data[-1:],
    ],
    ids=["short", "long", "header", "empty", "an id"],
)
def test_a_damaged_cache_file_is_written_again(damage, folder):
    ids_of([IDS])
    (path,) = files(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert ids_of([IDS])[:].tolist() == IDS.tolist()


@pytest.mark.parametrize(
    "other", [{"vocabulary": Vocabulary("abc")}, {"treatment": ("skip", "")}, {"count": 4}]
)
def test_another_vocabulary_or_policy_has_its_own_ids(other):
    ids_of([IDS])
    blocks = [IDS[: other.get("count", 5)]]
    ids_of(blocks, **other)
    assert ids_of(nothing())[:].tolist() == IDS.tolist()


@pytest.mark.parametrize("blocks", [[IDS, IDS], [IDS[:3]]])
def test_a_wrong_number_of_ids_is_refused_and_leaves_no_file(blocks, folder):
    with pytest.raises(TextError, match="changed while it was read"):
        ids_of(blocks)
    assert files(folder) == []


def test_temporary_files_of_a_killed_writer_are_removed_after_a_day(folder):
    (folder / "ids").mkdir(parents=True)
    for name, age in {"old": 2 * 86_400, "new": 60}.items():
        path = folder / "ids" / f"{id_cache.TEMPORARY}{name}"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    ids_of([IDS])
    left = [path.name for path in files(folder) if path.name.startswith(id_cache.TEMPORARY)]
    assert left == [f"{id_cache.TEMPORARY}new"]


def test_a_scan_is_found_only_for_files_with_the_same_stamps():
    id_cache.remember_scan(STAMPS, "characters", SCAN)
    found = id_cache.known_scan(STAMPS, "characters")
    assert found.fingerprint == SCAN.fingerprint
    assert found.values.tolist() == [97, 98]
    assert found.counts.tolist() == [3, 2]
    assert id_cache.known_scan(STAMPS, "bytes") is None
    for place, value in enumerate(("/books/b.txt", 6, 10**18 + 1, 8)):
        other = list(STAMPS[0])
        other[place] = value
        assert id_cache.known_scan([tuple(other)], "characters") is None


def test_the_scan_of_files_that_were_just_written_is_not_reused():
    fresh = ("/books/a.txt", 5, time.time_ns(), 7)
    for stamps in ([fresh], [*STAMPS, None]):
        id_cache.remember_scan(stamps, "characters", SCAN)
        assert id_cache.known_scan(stamps, "characters") is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"values": [98, 97]},
        {"values": [97]},
        {"values": []},
        {"values": [97, 0x110000]},
        {"values": [-1, 97]},
        {"counts": [3, 0]},
        {"counts": "many"},
        {"counts": [[3], [2]]},
        {"counts": [3, 1e400]},
        {"fingerprint": 5},
        None,
    ],
)
def test_a_damaged_scan_is_ignored(change, folder):
    id_cache.remember_scan(STAMPS, "characters", SCAN)
    (path,) = files(folder)
    sound = json.loads(path.read_bytes())
    del sound["sha256"]
    forged = sound | (change or {})
    sealed = json.dumps(forged, sort_keys=True, separators=(",", ":"))  # also of an infinity
    forged["sha256"] = hashlib.sha256(sealed.encode("ascii")).hexdigest()
    path.write_text("{" if change is None else json.dumps(forged))
    assert id_cache.known_scan(STAMPS, "characters") is None


@pytest.mark.parametrize(
    "change", [{"counts": [3, 3]}, {"fingerprint": "ac" * 32}, {"sha256": None}, {"more": 0}]
)
def test_a_changed_but_valid_scan_is_ignored(change, folder):
    id_cache.remember_scan(STAMPS, "characters", SCAN)
    (path,) = files(folder)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    assert id_cache.known_scan(STAMPS, "characters") is None


def test_the_cache_is_in_the_systems_cache_folder(monkeypatch):
    assert id_cache.folder().name == "cache"
    monkeypatch.delenv(id_cache.VARIABLE)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert id_cache.folder() == Path("/fast/charloom")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert id_cache.folder() == Path("/home/ada/.cache/charloom")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert id_cache.folder() == Path("/home/ada/Library/Caches/charloom")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert id_cache.folder() == Path("/local/charloom/cache")
