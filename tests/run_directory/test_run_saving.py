"""Tests of saving checkpoints in a run directory."""

import itertools
import shutil
from contextlib import suppress

from charloom.engines.reference import ReferenceEngine
from charloom.errors import WriteError
from charloom.store import load_checkpoint, read_run
from charloom.training import train_run
from file_contents import temporaries, tree
from full_disk import FullDisk
from reliability.run_comparison import lasting
from run_files import checkpoints
from small_runs import create, resume, train


def test_the_newest_two_checkpoints_and_the_best_are_kept(tmp_path):
    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9, smoothing=0.0)
    all_names = set()
    with writer:
        for _ in train_run(writer, learner, corpus, ReferenceEngine()):
            names = checkpoints(tmp_path / "run") - {"latest", "best"}
            view = read_run(tmp_path / "run")
            newest = sorted(map(int, names))[-2:]
            assert {str(view.latest)} <= names
            assert {int(name) for name in names} <= {*newest, view.best}
            all_names.add(len(names))
    assert all_names == {1, 2, 3}


def test_saving_the_same_update_again_writes_nothing(tmp_path):
    writer, learner, _ = create(tmp_path / "run")
    with writer:
        before = tree(tmp_path / "run")
        assert writer.save(learner) == tmp_path / "run" / "checkpoints" / "0"
        assert tree(tmp_path / "run") == before


def test_a_full_disk_at_any_step_of_a_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", smoothing=0.0)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with writer:
        refused = 0
        for step in itertools.count(1):
            while learner.best_update in (None, learner.update) or writer._best is None:
                next(items)  # on to where the best is another one than this one
            update, before = learner.update, writer.saved_update
            disk.arm(step)
            with suppress(WriteError):
                writer.save(learner)
            if not disk.disarm():
                break
            assert not temporaries(tmp_path)
            latest = read_run(tmp_path / "run").latest
            assert latest in (before, update)
            load_checkpoint(tmp_path / "run" / "checkpoints" / str(latest))
            if step % 4 == 0:  # each would take the time of a whole run
                shutil.copytree(tmp_path / "run", tmp_path / f"copy{step}")
            if latest == before:
                refused += 1
            else:
                # `latest` is replaced: start again from a state where there is much to save
                writer.close()
                shutil.rmtree(tmp_path / "run")
                writer, learner, corpus = create(tmp_path / "run", smoothing=0.0)
                items = train_run(writer, learner, corpus, ReferenceEngine())
        assert refused > 25
        assert list(items)[-1].state == "finished"
        writer.close()
    train(tmp_path / "whole", smoothing=0.0)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    for copy in tmp_path.glob("copy*"):
        resume(copy)
        assert lasting(copy) == lasting(tmp_path / "whole"), copy
