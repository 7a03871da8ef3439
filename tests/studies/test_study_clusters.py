"""A study runs on a SLURM cluster and on a Dask cluster, and a search over PostgreSQL, all on this machine."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

import charloom
from benchmarks.postgres_server import programs
from benchmarks.search_postgres import is_complete
from benchmarks.slurm_cluster import SlurmCluster, missing_programs, run_array
from charloom.cli.slurm_script import array_job, part_of, plan_digest
from charloom.errors import ConfigError, StudyError
from charloom.studies import begin_study, open_study, study
from charloom.studies.batches import BatchDone
from charloom.studies.dask_pool import DaskPool
from charloom.studies.worker_counts import living_workers
from small_studies import planned_study, small_spec


def test_the_script_of_an_array_job_has_a_task_for_each_part(tmp_path):
    made = planned_study(tmp_path, seeds=5)
    script = array_job(made, 4, 2, minutes=30, partition="short")
    assert "#SBATCH --array=0-2\n" in script  # ten runs
    assert "#SBATCH --cpus-per-task=2\n" in script
    assert "#SBATCH --time=30\n" in script
    assert "#SBATCH --partition=short\n" in script
    assert f'study work {made.path} --part "$SLURM_ARRAY_TASK_ID" --size 4' in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert "--time" not in array_job(made, 4, 2)


def test_a_path_that_a_script_cannot_hold_is_refused(tmp_path):
    (tmp_path / "a b").mkdir()
    with pytest.raises(ConfigError, match="a SLURM script cannot hold"):
        array_job(planned_study(tmp_path / "a b"), 4, 2)


def test_the_parts_have_every_run_once(tmp_path):
    made = planned_study(tmp_path, seeds=5)
    assert [list(part_of(made, part, 4)) for part in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    with pytest.raises(ConfigError, match="has the parts 0 to 2 of 4 runs"):
        part_of(made, 3, 4)


def test_a_script_for_another_plan_trains_nothing(tmp_path):
    made = planned_study(tmp_path, seeds=5)
    plan = plan_digest(made)
    assert f" --plan {plan} " in array_job(made, 4, 2)
    assert len(part_of(made, 1, 4, plan)) == 4
    changed = begin_study(small_spec(tmp_path, seeds=[3, 4]), made.path, change=True)
    with pytest.raises(StudyError, match="has changed since the script of this job was written"):
        part_of(changed, 0, 4, plan)
    same = begin_study(small_spec(tmp_path, seeds=5), made.path, change=True)
    assert len(part_of(same, 1, 4, plan)) == 4


def test_a_time_limit_that_leaves_no_time_to_train_is_refused(tmp_path):
    made = planned_study(tmp_path)
    assert "#SBATCH --time=2\n" in array_job(made, 4, 2, minutes=2)
    with pytest.raises(ConfigError, match="give at least 2"):
        array_job(made, 4, 2, minutes=1)


@pytest.mark.skipif(bool(missing_programs()), reason="SLURM is not installed")
@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can start a SLURM node"
)
def test_a_real_slurm_cluster_runs_an_array(tmp_path_factory):
    # The controller, the node and the tasks of the array take some seconds to start.
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "book.txt").write_text(small_text(folder), encoding="utf-8")
    with SlurmCluster() as cluster:
        counted = run_array(cluster, folder, folder / "book.txt", runs=6, size=3)
    assert counted["tasks"] == 2
    assert counted["finished"] == counted["runs"] == 6
    assert counted["trained_twice"] == 0


def small_text(folder):
    """Return the text of a small study."""
    return Path(small_spec(folder)["text"]).read_text(encoding="utf-8")


def test_a_killed_worker_of_a_dask_cluster_loses_no_run(book):
    # The scheduler, four workers and the study load Dask and charloom, which takes seconds.
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    words = [sys.executable, "-m", "benchmarks.dask_study", str(book), "--runs", "40"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["finished"] == counted["runs"] == 40
    assert counted["trained_twice"] == 0
    assert counted["exit_code"] == 0


def test_runs_whose_results_a_worker_does_not_send_are_trained_again():
    pytest.importorskip("distributed", reason="the extra cluster is not installed")

    class Silent:
        status = "finished"

        def result(self, timeout=None):
            assert timeout is not None, "this would wait for ever"
            raise TimeoutError

    pool, future = DaskPool.__new__(DaskPool), Silent()
    pool._given, pool._waiting, pool._sent = {future: [1, 2]}, deque([3]), "texts"
    assert pool._take(future, None) == BatchDone(0, 0, 0.0)
    assert (list(pool._waiting), pool._given, pool._sent) == ([1, 2, 3], {}, None)


def test_a_scheduler_that_does_not_answer_is_explained(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    monkeypatch.setattr("charloom.studies.dask_pool.CONNECT_SECONDS", 1)
    with pytest.raises(StudyError, match="no Dask cluster with a worker answers"):
        study(small_spec(tmp_path), tmp_path / "study", on="tcp://127.0.0.1:1")


def test_without_dask_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(charloom.CharloomError, match=r"pip install .*cluster"):
        study(small_spec(tmp_path), tmp_path / "study", on="tcp://127.0.0.1:1")
    assert open_study(tmp_path / "study").results() == {}


@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
def test_a_search_over_postgresql_survives_a_restart_of_the_server(book):
    # The server, the search and its four processes take seconds to start.
    pytest.importorskip("optuna", reason="the extra search is not installed")
    words = [sys.executable, "-m", "benchmarks.search_postgres", str(book), "--trials", "20"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads(done.stdout)
    assert counted["in_the_storage"] == counted["in_the_journals"] == counted["trials"] == 20
    assert counted["finished"] + counted["pruned"] == 20
    assert counted["done_before_the_restart"] > 0


@pytest.mark.parametrize(
    "changed", ["in_the_storage", "in_the_journals", "twice_in_the_journals", "different"]
)
def test_a_lost_trial_of_a_search_over_postgresql_is_noticed(changed):
    names = ("trials", "in_the_storage", "in_the_journals")
    counted = dict.fromkeys(names, 20) | {"twice_in_the_journals": 0, "different": 0}
    assert is_complete(counted)
    assert not is_complete({**counted, changed: 19})
    assert not is_complete({})


def test_an_interruption_ends_the_runs_that_dask_workers_train(tmp_path):
    # A cluster of Dask starts and ends, which takes seconds.
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    made = planned_study(
        tmp_path,
        settings={"hidden_size": 4, "updates": 100_000_000},
        grid={},
        keep={"directories": "all"},
    )
    path = made.files.run_path(made.plan[0])
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        began = (path / "status.json").exists
        steps = list(made.train(1, lambda: "SIGINT" if began() else None, on=client))
        assert steps[-1].left == 2
        # The only thread of the cluster is free again.
        assert client.submit(pow, 2, 5).result(timeout=60) == 32
    assert json.loads((path / "status.json").read_text())["state"] == "interrupted"
    assert not made.files.run_path(made.plan[1]).exists()
    assert made.results() == {}


def test_a_study_on_dask_says_how_many_workers_the_cluster_has(tmp_path):
    # A cluster of Dask starts and ends, which takes seconds.
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    made, seen = planned_study(tmp_path), set()
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(3)
        for _ in made.train(1, lambda: seen.add(living_workers(made.path, time.time())), on=client):
            pass
    assert 3 in seen
    assert living_workers(made.path, time.time()) == 0
