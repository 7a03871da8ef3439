"""Rotation: old checkpoints go, and never one that is needed.

A state machine (hypothesis) drives the writer of a run through sequences of training, saving, a
crash at some call of a save, an interruption, a resumption, a clock that jumps by up to ten years,
and checkpoints whose times of change are any. After each step the newest checkpoint, the best and
the only one must be there and load.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from charloom.config import Config
from charloom.errors import CharloomError
from charloom.model import Learner, new_learner
from charloom.model.schedule import Schedule
from charloom.store import RunWriter, load_checkpoint
from charloom.store.layout import checkpoint_path, read_pointer, saved_updates
from charloom.store.run import NEWEST_KEPT
from charloom.text import Corpus
from reliability import LONG, SHORT, Figures
from reliability.calls import Call, Calls
from reliability.runs import folder, text

NUMBER = 7
PROMISE = (
    "Rotation never removes the newest checkpoint, the best or the only one, whatever crashes, "
    "and whatever the clock says."
)

SEQUENCES = {SHORT: 30, LONG: 2_000}
STEPS = {SHORT: 15, LONG: 20}
TEN_YEARS = 10 * 365 * 86_400
CONFIG: dict[str, Any] = {
    "hidden_size": 2, "seq_length": 10, "epochs": 1_000, "save_seconds": 1e-6,
}  # fmt: skip
CORPUS = Corpus.from_text(text(300), "words")


class Crash(BaseException):
    """The process is no more."""


class Rotation(RuleBasedStateMachine):
    """A run whose writer saves, crashes and comes again."""

    counts: dict[str, int]
    place: Path

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._shift = 0.0
        clock = time.time
        self._patch.setattr(time, "time", lambda: clock() + self._shift)
        self.counts["sequences"] += 1
        self.run = self.place / f"run{self.counts['sequences']}"
        self.learner: Learner = new_learner(Config(**CONFIG), CORPUS.vocabulary)
        self.writer: RunWriter | None = RunWriter.create(self.run, self.learner, CORPUS)
        self.saved = 0  # the update of the last save that returned
        self.saving = 0  # the update of the last save that began
        self.bests: dict[int, int | None] = {0: None}  # of each update saved, its best one

    @initialize(shift=st.integers(-TEN_YEARS, TEN_YEARS))
    def begin(self, shift: int) -> None:
        """The clock says anything."""
        self._shift = shift

    @rule(
        shift=st.integers(-TEN_YEARS, TEN_YEARS),
        times=st.lists(st.integers(-TEN_YEARS, TEN_YEARS), min_size=4, max_size=4),
    )
    def change_clock(self, shift: int, times: list[int]) -> None:
        """The clock jumps, and checkpoints seem to be of any time."""
        self._shift = shift
        for update, away in zip(saved_updates(self.run), times, strict=False):
            moment = 1_800_000_000 + away
            os.utime(checkpoint_path(self.run, update), (moment, moment))

    @precondition(lambda self: self.writer is not None)
    @rule(updates=st.integers(1, 12), better=st.sampled_from((False, False, False, True)))
    def save(self, updates: int, better: bool) -> None:
        """Some training, and a save that returns."""
        assert self.writer is not None
        self._train(updates, better)
        self.writer.save(self.learner)
        self._saved()
        updates_left = saved_updates(self.run)
        assert len(updates_left) <= NEWEST_KEPT + 1, f"{updates_left}: nothing is ever removed"

    @precondition(lambda self: self.writer is not None)
    @rule(updates=st.integers(1, 12), better=st.booleans(), at=st.integers(1, 70))
    def crash(self, updates: int, better: bool, at: int) -> None:
        """Some training, and the process ends at some call of a save: it changes nothing more."""
        assert self.writer is not None
        self._train(updates, better)
        left = at

        def end(call: Call) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash

        with suppress(Crash), Calls(self.run, before=end):
            self.writer.save(self.learner)
            self._saved()
        self.counts["crashes"] += 1
        self._gone()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def interrupt(self) -> None:
        """The process ends after its last save."""
        assert self.writer is not None
        self.writer.close()
        self.writer = None

    @precondition(lambda self: self.writer is None)
    @rule()
    def resume(self) -> None:
        """Another process goes on."""
        try:
            self.writer, self.learner, _ = RunWriter.resume(self.run)
        except CharloomError as error:
            raise AssertionError(f"the run cannot be resumed: {error}") from error
        self.counts["resumptions"] += 1
        update = self.learner.update
        assert update in (self.saved, self.saving), (
            f"{self.saved} was saved, and the run goes on from {update}"
        )
        assert not self.writer.warnings, self.writer.warnings
        assert self.learner.best_update == self.bests[update], "another best than was saved"
        self.saved = self.saving = update
        self.bests = {update: self.bests[update]}

    @invariant()
    def the_newest_the_best_and_the_only_one_are_there(self) -> None:
        """What `latest` and `best` name is there, whole, and what was saved last."""
        updates = saved_updates(self.run)
        assert updates, "the only checkpoint is gone"
        latest = read_pointer(self.run, "latest")
        assert latest in (self.saved, self.saving), f"{self.saved} was saved; latest is {latest}"
        best = self.bests[latest]
        for name, update in (("newest", latest), ("best", best)):
            if update is None:
                continue
            try:
                found = load_checkpoint(checkpoint_path(self.run, update)).learner
            except CharloomError as error:
                raise AssertionError(f"the {name} checkpoint is gone: {error}") from error
            assert found.update == update
            assert (found.parameters["c"] == update).all()

    def teardown(self) -> None:
        """The process ends, and the clock is right again."""
        self._gone()
        self._patch.undo()

    def _train(self, updates: int, better: bool) -> None:
        """Some updates, and a record that is the best so far or not; a save will begin."""
        assert self.writer is not None
        learner = self.learner
        per_epoch = Schedule.of(learner.config, len(CORPUS)).windows.per_epoch
        learner.update += updates
        done = learner.update % per_epoch or per_epoch
        learner.position, learner.epoch = 10 * done, learner.update // per_epoch
        learner.smooth_loss = 5.0
        learner.parameters["c"][:] = learner.update
        self.writer.metrics.append({"seconds": 1.0, "update": learner.update})
        if better or learner.best_update is None:
            learner.best_loss = (learner.best_loss or 5.0) * 0.99
            learner.best_update = learner.update
            self.writer.keep_best(learner)
        self.saving = learner.update
        self.bests[self.saving] = learner.best_update
        self.counts["saves"] += 1

    def _saved(self) -> None:
        self.saved = self.learner.update

    def _gone(self) -> None:
        """The system takes back what a process held."""
        if self.writer is not None:
            self.writer._journals.close()
            self.writer._lock.release()
        self.writer = None


def check(scale: str, number: int = 0) -> Figures:
    """2,000 sequences in the long version."""
    counts = {"sequences": 0, "saves": 0, "crashes": 0, "resumptions": 0}
    with folder(in_memory=True) as place:
        machine = type("Rotation", (Rotation,), {"counts": counts, "place": place})
        chosen = settings(
            max_examples=SEQUENCES[scale],
            stateful_step_count=STEPS[scale],
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        seeded = seed(number)(machine)
        run_state_machine_as_test(seeded, settings=chosen)
    return {**counts, "steps_each_at_most": STEPS[scale], "seed": number}
