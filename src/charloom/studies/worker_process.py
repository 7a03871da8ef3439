"""The main program of a worker process of a study: trains one run after another, and appends their results.

It is started as `python -m charloom.studies.worker_process DIRECTORY JOURNAL PARENT`, and ends when the process
with the number PARENT ends. Each line of its standard input has the numbers of runs in the plan, each with its key.
When they are done, it writes a line with how many finished and failed and how long they took. If it cannot continue, for
example because the disk is full, it writes a line with the reason and ends.
"""

import gc
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from charloom.errors import CharloomError, StudyError
from charloom.parent_process import end_with_parent, take_stdout
from charloom.studies.batches import BatchDone
from charloom.studies.plan import PlannedRun
from charloom.studies.result_journal import ResultJournal
from charloom.studies.results import FINISHED
from charloom.studies.run_trainer import HaltCheck, RunTrainer
from charloom.studies.study_files import StudyFiles
from charloom.training.stop_signals import Halt


def work(
    files: StudyFiles, journal: Path, jobs: Iterable[str], answers: IO[str], halt: HaltCheck
) -> None:
    """Train the runs whose numbers and keys are in the lines `jobs`, until they end or `halt` gives a reason.

    Raises:
        StudyError: another command has changed the plan.
        TextError: a text has changed, or cannot be read.
        WriteError: a file cannot be written.
    """
    trainer = RunTrainer(files, files.header())
    plan = WorkerPlan(files)
    # The objects so far live as long as the process. Without this, each run pays for checking them again.
    gc.collect()
    gc.freeze()
    with ResultJournal(journal) as results:
        for line in jobs:
            done = train_batch(trainer, plan.runs(line), results, halt)
            if done is None:
                return
            answers.write(json.dumps(asdict(done)) + "\n")
            answers.flush()
            if halt() is not None:
                return


def train_batch(
    trainer: RunTrainer, runs: Sequence[PlannedRun], results: ResultJournal, halt: HaltCheck
) -> BatchDone | None:
    """Train a batch of runs, and write their results; return None if `halt` interrupted one of them."""
    finished = failed = 0
    busy = 0.0

    def halt_and_write() -> str | None:
        """Return what `halt` returns. Training asks about ten times a second, so results do not wait for a long run."""
        if results.is_due:
            with suppress(CharloomError):  # the next writing reports it
                results.write()
        return halt()

    # Between two runs, the code that makes a config would have to be loaded into the processor's cache again.
    configs = [trainer.config(run) for run in runs]
    for run, config in zip(runs, configs, strict=True):
        started = time.perf_counter()
        result = trainer.train(run, halt_and_write, config=config)
        if result is None and halt() is not None:
            return None
        if result is None:  # another process trains it
            continue
        busy += time.perf_counter() - started
        results.add(result)
        finished += result.state == FINISHED
        failed += result.state != FINISHED
    results.write()
    return BatchDone(finished, failed, busy)


class WorkerPlan:
    """The plan of a study in a worker process, which parses only the lines of the runs that it trains.

    Args:
        files: the study directory.
    """

    def __init__(self, files: StudyFiles) -> None:
        self._files, self._lines = files, files.plan_lines()
        # The runs that repeat the best settings of a search have the numbers after those of the trials.
        self._first = files.parsed_runs(self._lines[:1])[0].number if self._lines else 0

    def runs(self, job: str) -> list[PlannedRun]:
        """Return the runs whose numbers and keys are in the line `job`.

        Raises:
            DamagedError: the line of a run is damaged.
            StudyError: a run is another one than the process that gave it means.
        """
        words = job.split()
        places = [int(number) - self._first for number in words[::2]]
        known = [place for place in places if 0 <= place < len(self._lines)]
        runs = self._files.parsed_runs([self._lines[place] for place in known])
        if words != [word for run in runs for word in (str(run.number), run.key)]:
            raise StudyError(
                "another command has changed the study; run this one again when the other has ended."
            )
        return runs


def main() -> None:
    """Train the runs whose numbers come on the standard input."""
    end_with_parent(int(sys.argv[3]))
    answers = take_stdout()
    with Halt(lambda _: None) as halt:
        try:
            work(StudyFiles(Path(sys.argv[1])), Path(sys.argv[2]), sys.stdin, answers, halt)
        except CharloomError as error:
            answers.write(json.dumps({"stop": error.message}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
