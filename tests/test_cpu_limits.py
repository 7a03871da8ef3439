"""The number of processors and the environment for one thread are defined once."""

import os
import re
from pathlib import Path

import pytest

from charloom import cpu_limits

ROOT = Path(__file__).parent.parent
DEFINITIONS = re.compile(
    r"os\.cpu_count\(|len\(os\.sched_getaffinity|OPENBLAS_NUM_THREADS|OMP_NUM_THREADS"
)


def repetitions(root):
    """Return the Python files that define again what charloom/cpu_limits.py defines."""
    return [
        path.relative_to(root).as_posix()
        for folder in ("src", "tests", "benchmarks", "reliability", "scripts", "examples")
        for path in sorted((root / folder).rglob("*.py"))
        if path.name not in ("cpu_limits.py", "test_cpu_limits.py")
        and DEFINITIONS.search(path.read_text(encoding="utf-8"))
    ]


def test_no_other_file_counts_processors_or_lists_the_variables():
    assert repetitions(ROOT) == []


@pytest.mark.parametrize(
    "line", ["os.cpu_count() or 1", "len(os.sched_getaffinity(0))", '{"OMP_NUM_THREADS": "1"}']
)
def test_a_planted_repetition_is_seen(tmp_path, line):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "a.py").write_text(line, encoding="utf-8")
    assert repetitions(tmp_path) == ["benchmarks/a.py"]


def test_processors_are_counted_for_the_process_and_not_for_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cpu_limits.processors() == 3


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_a_system_without_affinities_counts_the_machines_processors(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cpu_limits.processors() == expected


def test_variables_that_the_user_set_are_not_changed(monkeypatch):
    for name in cpu_limits.ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    cpu_limits.keep_numpy_to_one_thread()
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
