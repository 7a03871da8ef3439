"""The main program of a worker process of a study: trains one run after another, and appends their results.

It is started as `python -m charloom.studies.worker_process DIRECTORY JOURNAL PARENT`, and ends when the process
with the number PARENT ends. Each line of its standard input
has the numbers of runs in the plan. When they are done, it writes a line with how many finished and failed and how
long they took.
"""

import gc
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from charloom.parent_process import end_with_parent
from charloom.store.journal import Journal
from charloom.studies.results import FINISHED
from charloom.studies.run_trainer import HaltCheck, RunTrainer
from charloom.studies.study_files import StudyFiles
from charloom.training.stop_signals import Halt


def work(
    files: StudyFiles, journal: Path, jobs: Iterable[str], answers: IO[str], halt: HaltCheck
) -> None:
    """Train the runs whose numbers are in the lines `jobs`, until they end or `halt` gives a reason."""
    trainer = RunTrainer(files, files.header())
    plan = {run.number: run for run in files.plan()}
    # The objects so far live as long as the process. Without this, each run pays for checking them again.
    gc.collect()
    gc.freeze()
    with Journal(journal) as results:
        for line in jobs:
            finished = broken = 0
            busy = 0.0
            for number in map(int, line.split()):
                started = time.perf_counter()
                result = trainer.train(plan[number], halt)
                if result is None:
                    results.sync()
                    return
                busy += time.perf_counter() - started
                results.append(result.to_dict())
                results.flush()
                finished += result.state == FINISHED
                broken += result.state != FINISHED
            answers.write(json.dumps({"finished": finished, "failed": broken, "busy": busy}) + "\n")
            answers.flush()
            if halt() is not None:
                break
        results.sync()


def main() -> None:
    """Train the runs whose numbers come on the standard input."""
    end_with_parent(int(sys.argv[3]))
    with Halt(lambda _: None) as halt:
        work(StudyFiles(Path(sys.argv[1])), Path(sys.argv[2]), sys.stdin, sys.stdout, halt)


if __name__ == "__main__":
    main()
