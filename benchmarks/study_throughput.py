"""Measures how fast a study trains its runs, compared with runs alone, and how much time its bookkeeping takes.

The rate of *single runs* is that of a process that trains the runs of the study one after another in memory, and
keeps only their results. As many such processes as the study has workers run at the same time, because cores that share
their caches and their clock rate are slower together. It has neither the start of a process nor the study's files.

The rate of a *study* is the number of its runs by the time of one call of `charloom.study`: it plans the runs, starts the
worker processes, trains, writes and reads the results, and makes the table.

*Bookkeeping* is the share of processor time that a study needs beside training: all of the first process (plan, batches,
progress, table), and what a worker does between two runs (settings, keys, results). The start of the worker processes
is separate, because it does not depend on the number of runs.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import charloom
from charloom.cpu_limits import ONE_THREAD
from charloom.model.memory_limit import available_memory
from charloom.studies import Study, begin_study, open_study, summarize
from charloom.studies.one_run import train_in_memory_only
from charloom.studies.result_journal import ResultJournal
from charloom.studies.run_trainer import RunTrainer
from charloom.studies.worker_pool import COMMAND
from charloom.studies.worker_process import train_batch

SINGLE_SECONDS: Final = 5.0  # how long single runs are measured, before and after the study
PAIRS: Final = 20  # comparisons of a batch with the same runs alone
BATCH: Final = 100  # runs in each of them


def throughput(spec: Path, directory: Path, workers: int) -> dict[str, Any]:
    """Return the rate of a study, of single runs before and after it, its bookkeeping, and the time of its table."""
    single = [single_runs(spec, directory, workers)]
    own, children = time.process_time(), children_time()
    began = time.perf_counter()
    charloom.study(spec, directory, workers=workers)
    seconds = time.perf_counter() - began
    own, children = time.process_time() - own, children_time() - children
    single.append(single_runs(spec, directory, workers))
    study = open_study(directory)
    began = time.perf_counter()
    summarize(open_study(directory))
    listing = time.perf_counter() - began
    runs = len(study.plan)
    start = start_time(study)
    between = time_between_runs(spec, directory.with_name("between"))
    training = statistics.mean(processor for _, processor in single)
    return {
        "runs": runs,
        "seconds": round(seconds, 2),
        "runs_per_second": round(runs / seconds, 1),
        "single_runs_per_second": [round(rate, 1) for rate, _ in single],
        "workers": workers,
        "share_of_all_cores": round(
            runs / seconds / workers / statistics.mean(rate for rate, _ in single), 4
        ),
        "processor_seconds": round(own + children, 2),
        "share_of_processor_time": round(runs * training / (own + children), 4),
        "bookkeeping": round((own + runs * between) / (own + children), 4),
        "first_process_seconds": round(own, 3),
        "between_runs_microseconds": round(1e6 * between, 1),
        "start_of_a_worker_seconds": round(start, 3),
        "table_seconds": round(listing, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def children_time() -> float:
    """Return the processor time in seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def single_runs(spec: Path, directory: Path, workers: int) -> tuple[float, float]:
    """Return how many single runs per second a process trains beside others, and the processor time of a run."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.study_throughput import single_loop; "
        f"print(*single_loop(Path({str(spec)!r}), Path(sys.argv[1])))"
    )
    root = Path(__file__).parent.parent
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"{directory}-{n}"],
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), **ONE_THREAD},
        )
        for n in range(workers)
    ]
    figures = [map(float, process.communicate()[0].split()) for process in started]
    rates, processor = zip(*figures, strict=True)
    return statistics.mean(rates), statistics.mean(processor)


def single_loop(spec: Path, directory: Path) -> tuple[float, float]:
    """Train runs of a study one after another for some seconds; return the runs per second, and the processor time of one."""
    single = SingleRuns(begin_study(spec, directory))
    single.train(0)
    done, began, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < SINGLE_SECONDS:
        single.train(done)
        done += BATCH
    shutil.rmtree(directory)
    return done / (time.perf_counter() - began), (time.process_time() - processor) / done


class SingleRuns:
    """Trains runs of a study in memory, and writes nothing.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self._study, self._memory = study, available_memory()
        self.trainer = RunTrainer(study.files, study.header)
        self._corpus = self.trainer.corpus(0)

    def train(self, first: int) -> float:
        """Train a batch of runs, and return the processor time of the training."""
        runs = self.batch(first)
        configs = [run.config(self._study.header.recipe) for run in runs]
        began = time.process_time()
        for config in configs:
            train_in_memory_only("", config, self._corpus, lambda: None, memory=self._memory)
        return time.process_time() - began

    def batch(self, first: int) -> list[Any]:
        """Return the runs from number `first` on, and the first runs again if there are no more."""
        plan = self._study.plan
        return [plan[(first + n) % len(plan)] for n in range(BATCH)]


def time_between_runs(spec: Path, directory: Path) -> float:
    """Return the processor time in seconds that a worker needs between two runs.

    Compares batches as a worker trains them with the same runs alone, in turn and in one process.
    """
    study = begin_study(spec, directory)
    single, differences = SingleRuns(study), []
    with ResultJournal(study.files.new_journal(0)) as journal:
        for pair in range(PAIRS):
            times = {}
            for kind in ("alone", "batch") if pair % 2 else ("batch", "alone"):
                if kind == "alone":
                    times[kind] = single.train(pair * BATCH)
                    continue
                began = time.process_time()
                train_batch(single.trainer, single.batch(pair * BATCH), journal, lambda: None)
                times[kind] = time.process_time() - began
            differences.append((times["batch"] - times["alone"]) / BATCH)
    return statistics.median(differences)


def start_time(study: Study) -> float:
    """Return the processor time in seconds of a worker process that trains nothing."""
    before = children_time()
    journal = study.files.new_journal(0)
    arguments = [str(study.path), str(journal), str(os.getpid()), "start"]
    subprocess.run(
        [*COMMAND, "charloom.studies.worker_process", *arguments],
        stdin=subprocess.DEVNULL,
        check=True,
        env={**os.environ, **ONE_THREAD},
    )
    return children_time() - before
