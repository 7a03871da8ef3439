"""Only one process writes a run directory at a time."""

import json
import os
import time

import pytest

from charloom.api import training as api_training
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DamagedError, RunExistsError, RunInUseError
from charloom.model import new_learner
from charloom.store import RunWriter, run_lock
from charloom.store import run_writer as run_module
from charloom.training import train_run
from reliability.calls import Calls
from reliability.run_training import reopen
from small_runs import create, resume, small_config, small_corpus


@pytest.mark.parametrize("second", ["train", "resume"])
def test_a_run_that_is_being_created_is_in_use(tmp_path, monkeypatch, second):
    """Checks at each call that changes a file, from the lock to the first record."""
    run, corpus = tmp_path / "run", small_corpus()
    held, messages = [], []
    acquire, other = run_module.acquire, new_learner(small_config(), corpus.vocabulary)
    ways = {
        "train": lambda: RunWriter.create(run, other, corpus),
        "resume": lambda: api_training.reopen(run),
    }

    def acquired(path):
        held.append(acquire(path))
        return held[-1]

    def come(_):
        if not held or (messages and messages[-1] is None):
            return
        messages.append(None)  # while the second one looks, nobody else comes
        with pytest.raises(RunInUseError, match="is in use") as caught:
            ways[second]()
        messages[-1] = str(caught.value)

    monkeypatch.setattr(run_lock, "GLANCE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "acquire", acquired)
    with Calls(run, before=come):
        writer, learner, corpus = create(run)
        with writer:
            next(train_run(writer, learner, corpus, ReferenceEngine()))
            held.clear()
    assert len(messages) > 30
    assert reopen(run)[0].close() is None


def test_a_users_file_named_lock_is_not_changed(tmp_path):
    (tmp_path / "lock").write_text("mine")
    (tmp_path / "key").write_text("mine too")
    with pytest.raises(RunExistsError, match="contains other files"):
        create(tmp_path)
    assert (tmp_path / "lock").read_text() == "mine"


def test_checking_a_lock_does_not_stop_another_process(tmp_path, monkeypatch):
    run = tmp_path / "run"
    create(run)[0].close()
    looking = run_module.acquire(run)
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        looking.release()

    monkeypatch.setattr(time, "sleep", sleep)
    reopen(run)[0].close()
    assert len(waited) == 1


def test_a_run_in_use_is_refused_and_names_the_process(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    with writer:
        with pytest.raises(RunInUseError, match="another process"):
            reopen(run)
        items = train_run(writer, learner, corpus, ReferenceEngine())
        next(items)
        with pytest.raises(RunInUseError, match=f"process {os.getpid()} trains it"):
            reopen(run)
        with pytest.raises(RunInUseError, match=f"process {os.getpid()} trains it"):
            create(run)
        status = json.loads((run / "status.json").read_bytes())
        for stale in ({"heartbeat": time.time() - 60}, {"state": "finished"}, {"pid": "9"}):
            (run / "status.json").write_text(json.dumps(status | stale))
            with pytest.raises(RunInUseError, match="another process"):
                reopen(run)
        items.close()
    assert writer.closed
    reopen(run)[0].close()


def test_resuming_that_fails_releases_the_lock(halted):
    with pytest.raises(ConfigError):
        reopen(halted, updates=1)
    (halted / "checkpoints" / "best").write_bytes(b"../../etc\n")
    for _ in range(2):
        with pytest.raises(DamagedError, match="best"):
            reopen(halted)
    (halted / "checkpoints" / "best").unlink()
    resume(halted)
