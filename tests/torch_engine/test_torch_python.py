"""The Python functions `train` and `resume` divide the streams among processes, and leave none behind.

The tests start processes, each of which imports PyTorch, so they take some seconds.
"""

import json
import sys
from pathlib import Path

import pytest

import charloom
from compared_engines import TORCH
from waiting import until

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

from charloom.engines.torch.process_group import current_group
from charloom.errors import ConfigError
from charloom.process_rank import PROCESSES, ProcessRank

TEXT = "the quick brown fox jumps over the lazy dog. " * 60
SETTINGS = {
    "hidden_size": 6, "batch_size": 5, "seq_length": 8, "dtype": "float64", "learning_rate": 0.01, "dropout": 0.2,
    "sample_length": 5, "passage_length": 5, "ngram_order": 2, "threads": 1, "judge_every": 0, "report_every": 1,
}  # fmt: skip


def losses(run: Path) -> list[float]:
    """Return the losses of the records of a run."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def described_engines(run: Path) -> list[str]:
    """Return the engine that each start of a run names."""
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["engine"] for event in map(json.loads, lines) if "engine" in event]


def no_child() -> bool:
    """Return True if this process has no child that trains."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = [pid for task in tasks for pid in task.read_text().split()]
    return not any(b"charloom" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children)


@pytest.mark.filterwarnings("ignore:.*numbers may differ slightly")
def test_a_run_trains_and_resumes_on_several_processes_as_on_one(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)
    ours, theirs, text = tmp_path / "ours", tmp_path / "theirs", tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    model = charloom.train(text, ours, updates=20, processes=2, **SETTINGS)
    assert current_group() is None
    assert PROCESSES.get() == 1
    if sys.platform == "linux":
        until(no_child, 60)
    assert len(model.sample(length=5)) == 5  # the model works after the processes have ended
    charloom.resume(ours, updates=40, processes=3)
    charloom.train(text, theirs, updates=20, engine="torch", **SETTINGS)
    charloom.resume(theirs, updates=40)
    assert losses(ours) == pytest.approx(losses(theirs), rel=1e-9)
    first, second = described_engines(ours)[0], described_engines(ours)[-1]
    assert "2 processes" in first
    assert "3 processes" in second


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"processes": 0}, "processes is 0"),
        ({"processes": 2, "engine": "native"}, "engine is native, which trains in one process"),
        ({"processes": 6}, "batch_size is 5, so 6 processes cannot have a stream each"),
    ],
)
def test_processes_that_cannot_train_are_refused_before_a_run_is_made(tmp_path, changes, sentence):
    with pytest.raises(charloom.CharloomError, match=sentence):
        charloom.train(string=TEXT, run=tmp_path / "run", updates=3, **{**SETTINGS, **changes})
    assert not (tmp_path / "run").exists()
    assert current_group() is None


def test_a_script_that_torchrun_started_cannot_start_processes(tmp_path, monkeypatch):
    for name, value in ProcessRank(0, 2, 0, 2, "127.0.0.1", 1).to_environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun has already started 2"):
        charloom.train(string=TEXT, updates=3, processes=2, **SETTINGS)
