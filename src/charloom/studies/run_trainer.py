"""Trains runs of a study one after another, and keeps the texts in memory between them."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from charloom.config import Config
from charloom.errors import RunInUseError, StudyError, TextError, WriteError
from charloom.messages import argument
from charloom.model.memory_limit import available_memory
from charloom.studies.one_run import (
    PruneCheck,
    failed,
    never,
    train_in_directory,
    train_in_memory_only,
)
from charloom.studies.plan import PlannedRun, common_part, run_key, with_seed
from charloom.studies.results import RunResult
from charloom.studies.spec import Settings
from charloom.studies.study_files import StudyFiles, StudyHeader
from charloom.studies.study_texts import changed_message, unchanged_text
from charloom.text import Corpus

HaltCheck = Callable[[], str | None]


class Prepared(NamedTuple):
    """What runs that differ only in their seeds share.

    Attributes:
        text: the index of their text.
        settings: the settings that the study sets, without the seed.
        config: all settings, with the seed of one of the runs.
        common: the bytes on which their keys depend, without the seed.
    """

    text: int
    settings: Settings
    config: Config
    common: bytes


class RunTrainer:
    """Trains runs of a study, and keeps its texts in memory between them.

    Args:
        files: the study directory.
        header: the contents of its study.json.
        corpora: texts that are in memory already, by their index.
    """

    def __init__(
        self, files: StudyFiles, header: StudyHeader, corpora: Mapping[int, Corpus] | None = None
    ) -> None:
        self._files, self._header = files, header
        self._corpora: dict[int, Corpus] = dict(corpora or {})
        self._memory = available_memory()
        self._prepared: Prepared | None = None

    def corpus(self, number: int) -> Corpus:
        """Return a text of the study.

        Raises:
            TextError: the text has changed since the study was planned.
        """
        if number not in self._corpora:
            corpus = unchanged_text(self._header, number)
            if corpus is None:
                raise TextError(changed_message(self._header, number))
            self._corpora[number] = corpus
        return self._corpora[number]

    def train(
        self,
        run: PlannedRun,
        halt: HaltCheck,
        prune: PruneCheck = never,
        config: Config | None = None,
    ) -> RunResult | None:
        """Train a run, and return its result; None if `halt` interrupted it, or if another process trains it.

        An error is a result, except one that would end all other runs too.

        Args:
            run: the run.
            halt: returns the reason to interrupt the run, or None.
            prune: called with each validation loss of a run without a directory; if it returns True, the run ends.
            config: the result of `config`, if the caller has it.

        Raises:
            StudyError: the plan does not fit the texts, because a change of the study was interrupted.
            TextError: the text of the run has changed, or cannot be read.
            WriteError: a file cannot be written.
        """
        started = time.perf_counter()
        corpus = self.corpus(run.text)
        config = config or self.config(run)
        try:
            if run.directory:
                path = self._files.run_path(run)
                return train_in_directory(run.key, config, corpus, halt, path)
            weights = self._files.weights_path(run) if self._header.weights else None
            return train_in_memory_only(run.key, config, corpus, halt, weights, prune, self._memory)
        except RunInUseError:
            return None
        except WriteError:
            raise
        except Exception as error:
            # Also a fault of charloom itself must not end the other runs.
            return failed(run.key, error, time.perf_counter() - started)

    def config(self, run: PlannedRun) -> Config:
        """Return all settings of a run, after checking that they have its key.

        Most of this is done once for runs that differ only in their seeds, which follow each other in the plan.

        Raises:
            StudyError: the plan does not fit the texts, because a change of the study was interrupted.
            TextError: the text of the run has changed, or cannot be read.
        """
        settings = {name: value for name, value in run.settings.items() if name != "seed"}
        if self._prepared is None or self._prepared[:2] != (run.text, settings):
            config = run.config(self._header.recipe)
            common = common_part(config, self.corpus(run.text).fingerprint)
            self._prepared = Prepared(run.text, settings, config, common)
        config = with_seed(self._prepared.config, run.settings["seed"])
        if run_key(self._prepared.common, config.seed) != run.key:
            raise StudyError(
                f"the plan of the study does not fit its texts; a change was interrupted. Give the specification with "
                f"{argument('change', True)} again."
            )
        return config
