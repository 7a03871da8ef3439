"""A run that another process writes between its inspection and its reopening is not resumed."""

import shutil

import pytest

from charloom.api import training
from charloom.api.run_changes import RunChanges
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, RunInUseError, TextError
from charloom.store import RunWriter, hold_existing_lock, inspect_run, plan_to_resume, resume_plan
from charloom.store.run_lock import acquire
from charloom.training import train_run
from file_contents import tree
from reliability.run_training import reopen
from small_runs import after, resume


def trained_further(run):
    resume(run, halt=after(3))


def opened_and_closed(run):
    writer, learner, corpus = reopen(run)
    with writer:
        next(train_run(writer, learner, corpus, ReferenceEngine()))


def replaced(run):
    shutil.move(run, run.with_name("moved"))
    shutil.copytree(run.with_name("moved"), run)


@pytest.mark.parametrize("change", [trained_further, opened_and_closed, replaced])
def test_a_run_that_changed_since_its_inspection_is_not_reopened(halted, change):
    plan = plan_to_resume(inspect_run(halted))
    change(halted)
    before = tree(halted)
    with pytest.raises(RunInUseError, match=r"another process changed .* Try again"):
        RunWriter.reopen(plan)
    assert tree(halted) == before
    reopen(halted)[0].close()  # no lock is held, and a new inspection is of the run as it is


def test_a_run_that_changed_while_it_was_planned_is_not_called_damaged(halted):
    inspection = inspect_run(halted)
    trained_further(halted)
    shutil.rmtree(halted / "checkpoints" / str(inspection.latest), ignore_errors=True)
    (halted / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(RunInUseError, match=r"another process changed"):
        plan_to_resume(inspection)


def test_an_inspection_writes_nothing_and_holds_no_lock(halted):
    before = tree(halted)
    inspection = inspect_run(halted)
    assert tree(halted) == before
    with reopen(halted)[0], pytest.raises(RunInUseError, match="is in use"):
        RunWriter.reopen(plan_to_resume(inspection))


def refused_within(monkeypatch, module, name, run):
    """Replace a function of a module: it checks that another process cannot open the run, then works."""
    work, refusals = getattr(module, name), []

    def slow(*args, **named):
        with pytest.raises(RunInUseError, match="is in use"):
            acquire(run)
        refusals.append(name)
        return work(*args, **named)

    monkeypatch.setattr(module, name, slow)
    return refusals


def test_another_process_is_refused_while_the_text_is_read(halted, monkeypatch):
    # Reading a long text takes longer than the 2 s within which another process must be refused.
    refusals = refused_within(monkeypatch, resume_plan, "open_text", halted)
    with training.reopen(halted) as reopened:
        assert refusals == ["open_text"]
        with pytest.raises(RunInUseError, match="is in use"):
            acquire(halted)
        assert not reopened.writer.closed
    acquire(halted).release()


def test_another_process_is_refused_while_the_speed_is_measured(halted, monkeypatch):
    refusals = refused_within(monkeypatch, training, "end_after", halted)
    training.reopen(halted, RunChanges(minutes=0.01)).writer.close()
    assert refusals == ["end_after"]
    acquire(halted).release()


def test_a_run_that_cannot_be_resumed_is_not_locked_afterwards(halted):
    other = halted.with_name("other.txt")
    other.write_text("another text")
    before = tree(halted)
    with pytest.raises(TextError, match="is not the text"):
        training.reopen(halted, RunChanges(text=other))
    with pytest.raises(ConfigError, match="give more epochs or updates"):
        training.reopen(halted, RunChanges(updates=1))
    assert tree(halted) == before
    acquire(halted).release()


def test_a_run_that_changes_before_it_is_locked_is_refused_before_its_text_is_read(
    halted, monkeypatch
):
    inspect, readings = training.inspect_run, []

    def inspect_too_early(run):
        inspection = inspect(run)
        trained_further(run)
        monkeypatch.setattr(resume_plan, "open_text", lambda *_: readings.append("text"))
        return inspection

    monkeypatch.setattr(training, "inspect_run", inspect_too_early)
    with pytest.raises(RunInUseError, match="another process changed"):
        training.reopen(halted)
    assert readings == []
    acquire(halted).release()


def test_a_run_without_a_lock_file_gets_one_only_from_its_writer(halted):
    (halted / "lock").unlink()
    with hold_existing_lock(halted) as lock:
        assert lock is None
    assert not (halted / "lock").exists()
    training.reopen(halted).writer.close()
    assert (halted / "lock").exists()
