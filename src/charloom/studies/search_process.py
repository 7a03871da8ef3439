"""The main program of a worker process of a search: asks Optuna for settings, trains a run with them, and tells how it went.

It is started as `python -m charloom.studies.search_process DIRECTORY JOURNAL PARENT WORKER`, and ends when the process
with the number PARENT ends. It writes a line after each trial, and when the storage does not answer.
"""

import gc
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Final, TypeVar

from charloom.errors import StudyError
from charloom.formatting import bits_per_character
from charloom.parent_process import end_with_parent
from charloom.store.journal import Journal
from charloom.studies.optuna_trials import OpenTrial, OptunaTrials
from charloom.studies.planned_search import PlannedSearch
from charloom.studies.results import RunResult
from charloom.studies.run_trainer import HaltCheck, RunTrainer
from charloom.studies.study_files import StudyFiles
from charloom.studies.trial_owners import BEAT_SECONDS, Owner, owner_of
from charloom.studies.trial_storage import Patience, SearchInterrupted
from charloom.training.stop_signals import Halt

Found = TypeVar("Found")

STORAGE_LOST: Final = 3  # exit code: the storage does not answer any more


class StorageLost(BaseException):
    """The storage does not answer any more. It is not an error of the run that is being trained."""


class TrialTrainer:
    """Trains the trials of a search.

    Args:
        search: the search.
        trainer: trains its runs.
        trials: the trials in Optuna's storage.
        halt: returns a reason to end, or None.
    """

    def __init__(
        self, search: PlannedSearch, trainer: RunTrainer, trials: OptunaTrials, halt: HaltCheck
    ) -> None:
        self._search, self._trainer, self._trials, self._halt = search, trainer, trials, halt
        self._beat = time.monotonic()

    def train(self, trial: OpenTrial) -> RunResult | None:
        """Train a trial, and return its result; None if it was interrupted.

        A trial with the settings of an earlier one that finished has its result.
        """
        run = self._search.run(trial.number, trial.settings)
        result = trial.known

        def halt() -> str | None:
            if time.monotonic() - self._beat > BEAT_SECONDS:
                self._beat = time.monotonic()
                kept(lambda: self._trials.beat(trial))
            return self._halt()

        def prune(update: int, nats: float) -> bool:
            return kept(lambda: self._trials.report(trial, update, bits_per_character(nats)))

        if result is None:
            result = self._trainer.train(run, halt, prune)
        if result is None:
            return None
        return trial_result(self._search, result, trial.number, run.settings)


def kept(operation: Callable[[], Found]) -> Found:
    """Return the result of an operation on the storage; turn its error into one that is not an error of the run."""
    try:
        return operation()
    except StudyError as error:
        raise StorageLost(error.message) from None


def trial_result(
    search: PlannedSearch, result: RunResult, number: int, settings: dict[str, object]
) -> RunResult:
    """Return a result with the number and the settings of its trial."""
    return replace(result, search=search.name, trial=number, settings=settings)


def work(
    files: StudyFiles,
    journal: Path,
    owner: Owner,
    answers: IO[str],
    halt: HaltCheck,
) -> None:
    """Train trials until there are enough, or `halt` gives a reason."""

    def say(message: str | None) -> None:
        answers.write(json.dumps({"message": message, **asdict(trials.counts())}) + "\n")
        answers.flush()

    def complain(message: str) -> None:
        answers.write(json.dumps({"message": message}) + "\n")
        answers.flush()

    header = files.header()
    search = header.search
    assert search is not None
    patience = Patience(complain, halt)
    steps = (search.interval, search.updates)
    trials = OptunaTrials(search.spec, search.name, files.path, steps, patience)
    trainer = TrialTrainer(search, RunTrainer(files, header), trials, halt)
    gc.collect()
    gc.freeze()
    with Journal(journal) as results:
        while (trial := trials.begin(owner, halt)) is not None:
            result = trainer.train(trial)
            # Optuna's storage first: what it has and the journal lacks is added later.
            counted = trials.end(trial, result)
            if result is None:
                break
            if counted:
                results.append(result.to_dict())
                results.flush()
            say(None)
        results.sync()


def main() -> None:
    """Train trials of the study in the directory that the first argument names."""
    directory, journal, parent, worker = sys.argv[1:]
    end_with_parent(int(parent))
    warnings.simplefilter("ignore")  # Optuna warns of experimental features
    files, owner = StudyFiles(Path(directory)), owner_of(int(parent), worker)
    with Halt(lambda _: None) as halt:
        try:
            work(files, Path(journal), owner, sys.stdout, halt)
        except SearchInterrupted:
            return
        except (StorageLost, StudyError) as error:
            print(error, file=sys.stderr)
            sys.exit(STORAGE_LOST)


if __name__ == "__main__":
    main()
