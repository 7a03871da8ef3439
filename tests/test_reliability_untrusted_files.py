"""Untrusted files are only read as data, and the checker catches a loader that trusts one of them."""

import sys

import pytest

from charloom.store import checkpoint, checkpoint_directory, resume_plan
from charloom.text import block_reader
from reliability import SHORT, fuzz, untrusted_files


def test_untrusted_files_are_only_data():
    figures = untrusted_files.check(SHORT)
    assert figures["refused"] > figures["hostile_files"] > 100
    assert figures["random_loader_inputs"] + figures["random_text_inputs"] >= 3_000
    assert all(name in figures["random_loader_inputs_accepted"] for name in fuzz.SEEDS)


def error_of_process(place, faults):
    """Open all hostile files in a process with a planted fault, and return its error message."""
    import subprocess

    code = f"import reliability.untrusted_files as s\n{faults}\nimport json, pathlib\n" + (
        f"try:\n    s.main(pathlib.Path({str(place)!r}), {2 << 20})\n"
        "except AssertionError as error:\n    raise SystemExit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=fuzz.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        # A loader that unpickles every file.
        (
            "import pickle, charloom.store.tensor_reader as c; honest = c.header_of\n"
            "def header_of(data, what):\n"
            "    try: pickle.loads(data)\n"
            "    except Exception: pass\n"
            "    return honest(data, what)\n"
            "c.header_of = header_of",
            "a pickle",
        ),
        # A loader that lets a NaN through.
        (
            "import charloom.store.tensor_reader as c; c.all_finite = lambda array: True\n"
            "s.hostile_model_files = lambda size, all=s.hostile_model_files: [f for f in all(size) if 'weight' in f[0]]",
            "a weight that is nan: was taken for a model",
        ),
        # A reader of runs that follows links.
        (
            "import charloom.store.atomic_files as f, os; f.READING = os.O_RDONLY\n"
            "s.HOSTILE_RUNS = {name: build for name, build in s.HOSTILE_RUNS.items() if 'secret' in name}",
            "secret",
        ),
        # A writer that follows a link at the name of its temporary file.
        (
            "import charloom.store.atomic_files as f, os, pathlib\n"
            "def _write(path, data, durable):\n"
            "    with open(path, 'wb') as file: file.write(data if isinstance(data, bytes) else b'x')\n"
            "f._write = _write\n"
            "s.hostile_model_files = lambda size: ()\n"
            "s.HOSTILE_RUNS = {name: build for name, build in s.HOSTILE_RUNS.items() if 'names' in name}",
            "names that a writer will use",
        ),
    ],
    ids=["unpickles", "lets a NaN through", "follows links", "follows links to write"],
)
def test_a_planted_fault_is_noticed(tmp_path, faults, message):
    assert message in error_of_process(tmp_path, faults)


def test_a_loader_without_limits_is_noticed(tmp_path):
    faults = (
        "import charloom.store.model_file as m, charloom.store.tensor_reader as r\n"
        "m.require_modest = r.require_modest = lambda text, what: None\nr.MOST_METADATA = 1 << 40\n"
        "s.MEMORY_LIMIT = 20 << 20\n"
        "s.hostile_model_files = lambda size, all=s.hostile_model_files: [f for f in all(size) if 'objects' in f[0]]\ns.HOSTILE_RUNS = {}"
    )
    assert "of memory" in error_of_process(tmp_path, faults)


def test_the_fuzzer_finds_an_error_that_is_not_charlooms(monkeypatch):
    def parse_json(data, what):
        import json

        return json.loads(data)

    monkeypatch.setattr("charloom.store.json_format.parse_json", parse_json)
    with pytest.raises(AssertionError, match="loader, input"):
        fuzz.by_chance("loader", 3_000, 8)


def test_a_fuzzer_whose_inputs_are_never_accepted_is_noticed(monkeypatch):
    sealed = (bytes([0]) + fuzz.MODEL,)
    monkeypatch.setitem(fuzz.TARGETS, "loader", (fuzz.loader, sealed))
    with pytest.raises(AssertionError, match="hardly any input of as_model gets in"):
        fuzz.by_chance("loader", 300, 8)


def test_the_fuzzer_finds_a_loader_that_does_not_check_the_manifest(monkeypatch):
    def careless(header):
        return {name: (header.directory / name).read_bytes() for name in checkpoint_directory.FILES}

    monkeypatch.setattr(checkpoint, "read_verified", careless)
    with pytest.raises(AssertionError, match="a false MANIFEST was taken"):
        fuzz.by_chance("loader", 300, 8)


def test_the_fuzzer_finds_a_reader_that_accepts_an_infinite_learning_rate_factor(monkeypatch):
    monkeypatch.setattr(resume_plan, "is_number", lambda value: True)
    monkeypatch.setattr(resume_plan, "FACTOR_LIMIT", float("inf"))
    events = b'{"event":"learning_rate_factor","learning_rate_factor":1e999,"update":4}\n'
    monkeypatch.setitem(fuzz.TARGETS, "loader", (fuzz.loader, (bytes([9]) + events,)))
    with pytest.raises(AssertionError, match="loader, input"):
        fuzz.by_chance("loader", 50, 8)


def test_the_fuzzer_finds_a_reader_that_loses_a_character(monkeypatch):
    honest = block_reader._last_boundary
    monkeypatch.setattr(block_reader, "_last_boundary", lambda block: max(1, honest(block) - 1))
    with pytest.raises(AssertionError, match="text, input"):
        fuzz.by_chance("text", 600, 8)
