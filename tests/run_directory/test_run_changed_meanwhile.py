"""A run that another process writes between its inspection and its reopening is not resumed."""

import shutil

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.errors import RunInUseError
from charloom.store import RunWriter, inspect_run, plan_to_resume
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
