"""Training never writes into another run that took the place of a moved one."""

import shutil

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.errors import WriteError
from charloom.store import read_status
from charloom.training import Warned, run_saving, train_run
from reliability.run_comparison import lasting
from small_runs import create, train
from training_clocks import Waiting
from training_items import eventful, items_of


@pytest.mark.parametrize("name", ["", "metrics.jsonl"])
def test_training_continues_when_a_moved_run_is_put_back(tmp_path, monkeypatch, name):
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run, away = tmp_path / "run", tmp_path / "away"

    def back():
        assert not (run / name).exists()
        away.rename(run / name)

    writer, learner, corpus = create(run, save_seconds=1e-9)
    Waiting(monkeypatch, 10.0, back)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with writer:
        events = eventful(items, {21: lambda: (run / name).rename(away)})
    gone = "cannot be written: it was moved or removed. Move it back. A copy does not help"
    assert any(f"{run / name} {gone}" in warning.message for warning in items_of(Warned, events))
    train(tmp_path / "whole", save_seconds=1e-9)
    assert lasting(run) == lasting(tmp_path / "whole")


def test_training_never_writes_into_another_run_at_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(run_saving, "PATIENT_SECONDS", ())
    monkeypatch.setattr(run_saving, "STATUS_SECONDS", 0.0)
    run, other = tmp_path / "run", {}

    def another():
        shutil.rmtree(run)
        train(run, seed=1)
        other.update(lasting(run))

    writer, learner, corpus = create(run)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with (
        writer,
        pytest.raises(WriteError, match=r"the training after update 0 .* is lost: .* moved"),
    ):
        eventful(items, {21: another})
    assert other
    assert lasting(run) == other
    assert read_status(run).state == "finished"


def test_a_rollback_does_not_change_another_run_at_its_path(tmp_path):
    run = tmp_path / "run"
    writer, _, _ = create(run)
    with writer:
        run.rename(tmp_path / "away")
        train(run)
        other = lasting(run)
        with pytest.raises(WriteError, match="was moved or removed"):
            writer.roll_back()
    assert lasting(run) == other
