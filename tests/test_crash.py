"""A training that is killed at any moment loses nothing (the long version: scripts/crash.py)."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from charloom.errors import DamagedError
from runs import train

SCRIPT = Path(__file__).parent.parent / "scripts" / "crash.py"


def load_script():
    """scripts/crash.py as a module."""
    spec = importlib.util.spec_from_file_location("crash", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


crash = load_script()


def test_killed_runs_go_on_from_whole_checkpoints_and_end_with_the_same_bytes(tmp_path):
    # Over two seconds: it starts about ten processes.
    tally = crash.crash(6, tmp_path, seed=1)
    assert tally.kills == 6
    assert tally.finished >= 1
    assert tally.resumed >= 1
    assert "6 kills" in str(tally)


def test_the_comparison_notices_a_planted_difference(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(whole)
    truth = crash.lasting(whole)
    latest = truth["latest"]
    for name, change in (
        (f"checkpoints/{latest}/model.safetensors", lambda data: data[:-1] + b"\x7f"),
        ("samples.jsonl", lambda data: data[:-2]),
        ("metrics.jsonl", lambda data: data.replace(b'"update":7}', b'"update":8}')),
        ("metrics.jsonl", lambda data: data.replace(b'"seconds": ', b'"seconds":', 1)),
        ("passage.txt", lambda data: data + b" "),
        ("checkpoints/best", lambda data: b"0" + data[-1:]),
    ):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        shutil.copytree(run / "checkpoints" / latest, run / "checkpoints" / "0", dirs_exist_ok=True)
        assert crash.differences(truth, crash.lasting(run)) == []
        (run / name).write_bytes(change((run / name).read_bytes()))
        assert crash.differences(truth, crash.lasting(run)) != []


def test_the_check_after_a_kill_notices_a_damaged_checkpoint_and_half_a_save(tmp_path):
    run = tmp_path / "run"
    assert crash.latest_update(run) is None
    train(run)
    latest = crash.latest_update(run)
    assert not crash.half_saved(run, latest)
    assert crash.half_saved(run, latest - 1)
    (run / "checkpoints" / ".tmp-1").mkdir()
    assert crash.half_saved(run, latest)
    path = run / "checkpoints" / str(latest) / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError):
        crash.latest_update(run)
