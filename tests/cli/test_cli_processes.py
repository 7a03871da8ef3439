"""charloom train --processes, and charloom under torchrun: signals, killed processes, resuming.

The tests start processes, each of which imports PyTorch, so they take some seconds.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from compared_engines import TORCH

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("the tests find processes in /proc", allow_module_level=True)

from charloom.live_processes import is_alive
from charloom.process_rank import ProcessRank, stream_slices
from command_line import charloom_
from waiting import until

LONG = 120.0  # seconds; on a busy machine it takes long to import PyTorch several times
SETTINGS = (
    "--hidden-size 6 --batch-size 5 --seq-length 8 --dtype float64 --learning-rate 0.01 "
    "--updates 1000000 --report-every 1 --sample-length 5 --passage-length 5 --judge-every "
    "0 --save-every 1 --keep-saved newest"
)
TORCHRUN = ["torch.distributed.run", "--nproc-per-node", "3", "-m", "--", "charloom"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog. " * 60, encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@contextmanager
def started(tmp_path, *words):
    """Start Python with `-m` and words as a process whose temporary files are in a folder of their own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def children(process) -> list[int]:
    """Return the processes that a process started, the oldest first."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return sorted(int(pid) for task in tasks for pid in task.read_text().split())


def has_checkpoint(run) -> bool:
    """Return True if the run has a checkpoint of at least two updates."""
    latest = run / "checkpoints" / "latest"
    return latest.exists() and int(latest.read_text().split()[0]) > 1


def begun(process, run, followers: int) -> list[int]:
    """Wait until a run has a checkpoint; return the processes that its command started."""
    until(lambda: has_checkpoint(run) or process.poll() is not None, LONG)
    assert process.poll() is None, process.stdout.read()
    found = children(process)
    assert len(found) == followers
    return found


def ended(process, others, tmp_path) -> str:
    """Return the output of a process that ends; no other process and no temporary file may be left.

    torchrun itself leaves an empty folder for its logs, unless it ends without an error.
    """
    output, _ = process.communicate(timeout=LONG)
    until(lambda: not any(map(is_alive, others)), LONG)
    left = [path.name for path in (tmp_path / "temporary").iterdir()]
    assert [name for name in left if not name.startswith("torchelastic_")] == []
    return output


def last_event(run) -> dict:
    return json.loads((run / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])


def resumed(run, size: int) -> str:
    """Continue a run for three updates with a number of processes, and return the output."""
    updates = int((run / "checkpoints" / "latest").read_text().split()[0]) + 3
    words = ["charloom", "resume", str(run), "--updates", str(updates), "--processes", str(size)]
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stderr
    assert last_event(run)["event"] == "finished"
    return done.stderr


def test_after_a_follower_was_killed_the_run_resumes_with_another_number_of_processes(
    tmp_path, text, run
):
    words = ["charloom", "train", text, "--run", run, *SETTINGS.split(), "--processes", "3"]
    with started(tmp_path, *words) as process:
        others = begun(process, run, 2)
        os.kill(others[-1], signal.SIGKILL)
        output = ended(process, others, tmp_path)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert "training process 2 ended unexpectedly by signal 9" in output
    assert "Traceback" not in output
    warning = resumed(run, 2)
    assert "3 processes" in warning
    assert "its numbers may differ slightly" in warning


def test_a_killed_first_process_leaves_no_other_behind(tmp_path, text, run):
    words = ["charloom", "train", text, "--run", run, *SETTINGS.split(), "--processes", "3"]
    with started(tmp_path, *words) as process:
        others = begun(process, run, 2)
        process.kill()
        ended(process, others, tmp_path)
    resumed(run, 1)


def test_control_stops_all_processes(tmp_path, text, run):
    words = ["charloom", "train", text, "--run", run, *SETTINGS.split(), "--processes", "2"]
    with started(tmp_path, *words) as process:
        others = begun(process, run, 1)
        assert charloom_("control", run, "stop").exit_code == 0
        ended(process, others, tmp_path)
    assert process.returncode == 0
    assert last_event(run)["event"] == "stopped"


def test_sigterm_under_torchrun_saves(tmp_path, text, run):
    with started(tmp_path, *TORCHRUN, "train", text, "--run", run, *SETTINGS.split()) as process:
        others = begun(process, run, 3)
        process.terminate()
        output = ended(process, others, tmp_path)
    event = last_event(run)
    assert (event["event"], event["reason"]) == ("interrupted", "SIGTERM"), output
    assert event["update"] == int((run / "checkpoints" / "latest").read_text().split()[0])
    resumed(run, 2)


@pytest.mark.parametrize("victim", [0, 2], ids=["the first", "another"])
def test_a_killed_process_under_torchrun_ends_all(tmp_path, text, run, victim):
    with started(tmp_path, *TORCHRUN, "train", text, "--run", run, *SETTINGS.split()) as process:
        others = begun(process, run, 3)
        os.kill(others[victim], signal.SIGKILL)
        output = ended(process, others, tmp_path)
    assert process.returncode != 0
    assert "charloom: the connection to another training process broke" in output


def found_rate(run) -> float:
    """Return the learning rate of a run, which its search found."""
    search = json.loads((run / "learning_rates.json").read_text(encoding="utf-8"))
    assert (
        json.loads((run / "config.json").read_text(encoding="utf-8"))["config"]["learning_rate"]
        == search["learning_rate"]
    )
    return search["learning_rate"]


def test_several_processes_find_the_learning_rate_that_one_finds(tmp_path, text, run):
    """Some of the trials diverge, and each has a network of its own in all processes."""
    rates = []
    options = "--hidden-size 6 --batch-size 5 --seq-length 8 --dtype float64 --updates 24 --ngram-order 2 --sample-length 5 --passage-length 5"
    for name, more in (("alone", "--engine torch --threads 1"), ("two", "--processes 2")):
        words = [*options.split(), *more.split(), "--find-learning-rate"]
        done = subprocess.run(
            [sys.executable, "-m", "charloom", "train", str(text), "--run", f"{run}-{name}", *words],
            capture_output=True, text=True, timeout=LONG, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        rates.append(found_rate(Path(f"{run}-{name}")))
        assert last_event(Path(f"{run}-{name}"))["event"] == "finished"
    assert rates[0] == rates[1]


def test_another_engine_is_refused_by_name(text, run):
    result = charloom_("train", text, "--run", run, "--engine native --processes 2")
    assert result.exit_code == 2
    assert "--engine is native" in result.stderr
    assert "--engine torch" in result.stderr
    assert not run.exists()


def test_processes_cannot_be_started_by_torchrun_and_by_charloom(text, run, monkeypatch):
    for name, value in ProcessRank(0, 2, 0, 2, "127.0.0.1", 1).to_environment().items():
        monkeypatch.setenv(name, value)
    result = charloom_("train", text, "--run", run, "--processes 2")
    assert result.exit_code == 2
    assert "torchrun has already started 2" in result.stderr


def test_streams_are_divided_as_evenly_as_possible():
    for streams in range(1, 20):
        for size in range(1, streams + 1):
            parts = [range(streams)[part] for part in stream_slices(streams, size)]
            assert [stream for part in parts for stream in part] == list(range(streams))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_without_the_variables_of_torchrun_trains_alone():
    assert ProcessRank.from_environment({}) is None
    place = ProcessRank(1, 4, 1, 2, "node1", 29500, True, 3)
    assert ProcessRank.from_environment(place.to_environment()) == place
