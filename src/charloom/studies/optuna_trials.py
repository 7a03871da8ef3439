"""The trials of a search in Optuna's storage: which settings are next, and how each trial ended.

Every process of a search, on any machine, reads the same storage. Each operation may be repeated, because the storage
may not answer although it did what it was asked to do.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import TrialState

from charloom.studies.random_settings import Choice, Range
from charloom.studies.results import FAILED, FINISHED, PRUNED, RunResult
from charloom.studies.search_spec import SearchSpec
from charloom.studies.trial_owners import Owner, is_given_up
from charloom.studies.trial_storage import Patience, open_storage

OWNER, BEAT, RESULT = "owner", "beat", "result"  # what a trial stores
STATES: Final = {FINISHED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
WAITING_SECONDS: Final = 0.5  # time between two looks while other processes run the last trials


@dataclass(frozen=True)
class TrialCounts:
    """How many trials of a search have ended."""

    finished: int = 0
    pruned: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return self.finished + self.pruned + self.failed


@dataclass(frozen=True)
class OpenTrial:
    """A trial that this process runs.

    Attributes:
        number: its number in the search.
        settings: the drawn settings.
        known: the result of an earlier trial with the same settings; None if there is none.
        trial_id: its id in the storage.
        trial: Optuna's object.
    """

    number: int
    settings: dict[str, Any]
    known: RunResult | None
    trial_id: int
    trial: Any


class OptunaTrials:
    """The trials of a search.

    Args:
        spec: the search.
        name: its name in the storage.
        folder: the study's directory.
        steps: the updates between two validation losses, and those of a whole run, for the pruner.
        patience: repeats operations while the storage does not answer.
        opening: repeats the first operation; None means `patience`.
    """

    def __init__(
        self,
        spec: SearchSpec,
        name: str,
        folder: Path,
        steps: tuple[int, int],
        patience: Patience,
        opening: Patience | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec, self._patience = spec, patience

        def opened() -> Any:
            storage = open_storage(spec.storage, folder)
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=True,
                direction="minimize",
                pruner=pruner_of(spec, *steps),
            )
            return storage, study, storage.get_study_id_from_name(name)

        self._storage, self._study, self._id = (opening or patience)(opened)

    def all(self) -> list[Any]:
        """Return all trials, as Optuna describes them, without those that were given up."""
        trials = self._patience(lambda: self._study.get_trials(deepcopy=False))
        return [one for one in trials if one.state != TrialState.FAIL or RESULT in one.user_attrs]

    def results(self) -> list[RunResult]:
        """Return the results of all trials that have ended, in their order."""
        return [result_of(one) for one in self.all() if one.state.is_finished()]

    def counts(self) -> TrialCounts:
        """Return how many trials have ended."""
        states = [one.state for one in self.all()]
        return TrialCounts(*(states.count(STATES[name]) for name in (FINISHED, PRUNED, FAILED)))

    def begin(self, owner: Owner, halt: Callable[[], str | None]) -> OpenTrial | None:
        """Begin the next trial; return None if all trials have ended, or if `halt` gives a reason.

        Wait while other processes run the last trials, and take over those whose process has ended.
        """
        while halt() is None:
            self.give_up(lambda one: is_given_up(one[OWNER], one[BEAT]))
            trials = self.all()
            if sum(one.state.is_finished() for one in trials) >= self._spec.trials:
                return None
            if len(trials) >= self._spec.trials:
                time.sleep(WAITING_SECONDS)
                continue
            trial_id, number = self._new(owner)
            # Several processes may have begun a trial at the same moment. The first ones count.
            if sum(one.number < number for one in self.all()) < self._spec.trials:
                return self._drawn(trial_id, number)
            self._tell(number, TrialState.FAIL)
        return None

    def beat(self, trial: OpenTrial) -> None:
        """Store that this process still runs a trial."""
        self._patience(lambda: self._storage.set_trial_user_attr(trial.trial_id, BEAT, time.time()))

    def report(self, trial: OpenTrial, update: int, bits: float) -> bool:
        """Store a validation loss of a trial, and return True if the trial must end: it is pruned, or was given up."""

        def reported() -> bool:
            try:
                trial.trial.report(bits, update)
            except optuna.exceptions.UpdateFinishedTrialError:
                return True
            return bool(trial.trial.should_prune())

        return self._patience(reported)

    def end(self, trial: OpenTrial, result: RunResult | None) -> bool:
        """Store how a trial ended; None gives it up, so that another trial takes its place.

        Return False if the result does not count, because another process has given the trial up.
        """
        if result is not None:
            return self._end(trial.trial_id, trial.number, result)
        self._tell(trial.number, TrialState.FAIL)
        return False

    def fail(
        self, owner: Owner, result: Callable[[int, dict[str, Any]], RunResult]
    ) -> RunResult | None:
        """End the trial of a process that has ended unexpectedly; return its result, or None if it had no trial.

        Args:
            owner: the process.
            result: makes the result from the number and the drawn settings of the trial.
        """
        for one in self._running():
            if one.user_attrs[OWNER] == owner and RESULT not in one.user_attrs:
                made = result(one.number, dict(one.params))
                self._end(one._trial_id, one.number, made)
                return made
        return None

    def give_up(self, chosen: Callable[[dict[str, Any]], bool]) -> None:
        """Give up the running trials for which `chosen` returns True; it gets what they have stored."""
        for one in self._running():
            if not chosen(one.user_attrs):
                continue
            if RESULT in one.user_attrs:  # its process ended after it had stored the result
                self._tell_result(one.number, result_of(one))
            else:
                self._tell(one.number, TrialState.FAIL)

    def _running(self) -> list[Any]:
        """Return the trials that have not ended."""
        return [one for one in self.all() if one.state == TrialState.RUNNING]

    def _new(self, owner: Owner) -> tuple[int, int]:
        """Create a trial with an owner; return its id and its number."""

        def created() -> tuple[int, int]:
            # If an answer of the storage was lost, the trial exists already.
            for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if one.user_attrs.get(OWNER) == owner:
                    return one._trial_id, one.number
            template = optuna.trial.create_trial(
                state=TrialState.RUNNING, user_attrs={OWNER: owner, BEAT: time.time()}
            )
            trial_id = self._storage.create_new_trial(self._id, template)
            return trial_id, self._storage.get_trial_number_from_id(trial_id)

        return self._patience(created)

    def _drawn(self, trial_id: int, number: int) -> OpenTrial:
        """Draw the settings of a trial. They depend on its number and on the trials that have ended."""

        def drawn() -> OpenTrial:
            self._study.sampler = sampler_of(self._spec, number)
            trial = optuna.trial.Trial(self._study, trial_id)
            settings = {name: suggested(trial, name, draw) for name, draw in self._spec.draws}
            same = (
                one
                for one in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                if one.params == trial.params
            )
            before = next(same, None)
            return OpenTrial(number, settings, before and result_of(before), trial_id, trial)

        return self._patience(drawn)

    def _end(self, trial_id: int, number: int, result: RunResult) -> bool:
        """Store the result of a trial, and then that it has ended; return False if it had ended before."""
        line = {**result.to_dict(), "warnings": list(result.warnings)}
        if not self._patience(lambda: self._set_unless_ended(trial_id, RESULT, line)):
            return False
        self._tell_result(number, result)
        return True

    def _tell_result(self, number: int, result: RunResult) -> None:
        """Store the state of a trial whose result is stored."""
        bits = result.bits if result.state == FINISHED else None
        self._tell(number, STATES[result.state], bits)

    def _set_unless_ended(self, trial_id: int, name: str, value: Any) -> bool:
        """Store a value with a trial; return False if another process has ended the trial."""
        try:
            self._storage.set_trial_user_attr(trial_id, name, value)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def _tell(self, number: int, state: Any, bits: float | None = None) -> None:
        """Store the state of a trial, unless another process has ended it."""

        def store() -> None:
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self._study.tell(number, bits, state=state, skip_if_finished=True)

        self._patience(store)


def result_of(trial: Any) -> RunResult:
    """Return the result of a trial that has ended."""
    return RunResult.from_dict({**trial.user_attrs[RESULT], "trial": trial.number})


def suggested(trial: Any, name: str, draw: Range | Choice) -> Any:
    """Return the value of a setting that Optuna suggests."""
    if isinstance(draw, Choice):
        return trial.suggest_categorical(name, draw.values)
    whole = isinstance(draw.low, int) and isinstance(draw.high, int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, draw.low, draw.high, log=draw.scale == "log")


def sampler_of(spec: SearchSpec, number: int) -> Any:
    """Return the sampler of the trial `number`, whose random numbers depend only on the seed and the number."""
    seed = int.from_bytes(hashlib.sha256(b"%d %d" % (spec.seed, number)).digest()[:4])
    made = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    return made[spec.sampler](seed=seed)


def pruner_of(spec: SearchSpec, interval: int, updates: int) -> Any:
    """Return the pruner of a search with `interval` updates between two validation losses of `updates`."""
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner()
    if spec.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=interval, max_resource=updates)
    return optuna.pruners.NopPruner()
