"""The processes of a study write every result, and a run that ends its process is found and given up."""

import json
import subprocess
import sys
from queue import Queue

import pytest

from charloom.studies import open_study, study, worker_process
from charloom.studies.batches import BatchDone
from charloom.studies.result_journal import ResultJournal
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.worker_pool import Worker
from small_studies import planned_study, small_spec, train_here

# A process that imports this module ends while it trains a run with the seed 7.
DEADLY = """
import os
import charloom.studies.run_trainer as module
train = module.train_in_memory_only
def deadly(key, config, *rest):
    if config.seed == 7:
        os._exit(9)
    return train(key, config, *rest)
module.train_in_memory_only = deadly
"""


def test_a_run_that_ends_its_process_is_given_up_and_no_other_one(tmp_path, monkeypatch):
    # Up to five worker processes load charloom one after another, each for about a second.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    spec = small_spec(tmp_path, seeds=60, grid={})
    # So that the process has many results that are not yet written when it ends.
    monkeypatch.setattr("charloom.studies.worker_pool.batch_size", lambda *_: 20)
    study(spec, tmp_path / "study", workers=1)
    made = open_study(tmp_path / "study")
    states = {run.settings["seed"]: made.results()[run.key].state for run in made.plan}
    assert [seed for seed, state in states.items() if state == FAILED] == [7]
    assert len(states) == 60
    assert len(list(made.files.each_result())) == 60


def test_a_worker_process_imports_only_what_short_runs_need():
    code = "import sys, charloom.studies.worker_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "charloom.studies.one_run" in loaded
    large = ("charloom.api.training", "charloom.gradient_check", "charloom.studies.dask_pool")
    assert loaded.isdisjoint({*large, "importlib.metadata", "optuna", "matplotlib"})


def test_a_process_that_did_everything_does_not_read_its_journal_again(tmp_path, monkeypatch):
    made, events = planned_study(tmp_path), Queue()
    worker = Worker(made.files, 0, events)
    worker.give(made.plan[:1])
    assert events.get()[1].finished == 1
    worker.kill()
    done, left = worker.leftovers()
    assert (done.finished, left) == (1, [])
    worker.batches.popleft()
    monkeypatch.setattr("charloom.studies.worker_pool.read_file", lambda _: pytest.fail("read"))
    assert worker.leftovers() == (BatchDone(0, 0, 0.0), [])


def test_results_are_written_together_and_all_at_the_end(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.touch()
    now = [100.0]
    monkeypatch.setattr("charloom.studies.result_journal.time.monotonic", lambda: now[0])

    def keys():
        return [json.loads(line)["key"] for line in path.read_bytes().splitlines()]

    with ResultJournal(path) as journal:
        journal.add(RunResult("a", FINISHED))
        assert keys() == []
        now[0] += 0.3
        journal.add(RunResult("b", FINISHED))
        assert keys() == ["a", "b"]
        journal.add(RunResult("c", FINISHED))
        assert not journal.is_due
        now[0] += 0.3  # within the next run, which is long
        assert journal.is_due
        journal.write()
        assert keys() == ["a", "b", "c"]
        journal.add(RunResult("d", FINISHED))
    assert keys() == ["a", "b", "c", "d"]


def test_results_do_not_wait_for_a_long_run(tmp_path, monkeypatch):
    made = planned_study(tmp_path)
    monkeypatch.setattr("charloom.studies.result_journal.WAITING_SECONDS", 1e9)
    path, written = tmp_path / "a.jsonl", []

    class Asking:
        """A trainer whose second run asks whether it must end, as training does about ten times a second."""

        def config(self, run):
            return None

        def train(self, run, halt, config):
            if len(written) == 1:
                monkeypatch.setattr("charloom.studies.result_journal.WAITING_SECONDS", 0)
            halt()
            written.append(len(path.read_bytes().splitlines()))
            return RunResult(run.key, FINISHED)

    path.touch()
    with ResultJournal(path) as journal:
        worker_process.train_batch(Asking(), made.plan[:2], journal, lambda: None)
    assert written == [0, 1]


def test_an_error_in_a_batch_does_not_lose_the_results_before_it(tmp_path, monkeypatch):
    made = planned_study(tmp_path)
    monkeypatch.setattr("charloom.studies.result_journal.WAITING_SECONDS", 1e9)
    last = made.plan[3].key

    def broken(key, *_):
        if key == last:
            raise KeyboardInterrupt
        return RunResult(key, FINISHED)

    monkeypatch.setattr("charloom.studies.run_trainer.train_in_memory_only", broken)
    with pytest.raises(KeyboardInterrupt):
        train_here(made)
    assert set(made.results()) == {run.key for run in made.plan[:3]}


def test_a_process_that_ends_without_a_result_leaves_no_journal(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0], halt=lambda: "SIGTERM")
    assert made.files.journals() == []
    train_here(made, [0])
    assert len(made.files.journals()) == 1
    # A worker process loads charloom, which takes a second; it is interrupted before that.
    steps = list(made.train(1, lambda: "SIGINT"))
    assert steps[-1].done_now == 0
    assert len(made.files.journals()) == 1
