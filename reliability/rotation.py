"""Checks that the removal of old checkpoints never removes one that is needed.

A Hypothesis state machine trains, saves, rolls back, interrupts and resumes a run in random sequences. The
process can crash at any call of these steps or while the run is created. The clock jumps by up to ten years, and
checkpoints get random modification times. After each step the newest, the best and the only checkpoint must
exist and load, and so must the checkpoint that `best` names. After a save or a resumption without a crash, this
is the best checkpoint.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from charloom.store.checkpoint_rotation import NEWEST_KEPT
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import checkpoint_path, updates_in
from charloom.text import Corpus
from reliability import LONG, SHORT, Figures
from reliability.calls import Call, Calls
from reliability.run_training import folder, reopen, text

NUMBER = 7
PROMISE = (
    "The removal of old checkpoints never removes the newest, the best or the only "
    "checkpoint, after any crash and at any clock time."
)

SEQUENCES = {SHORT: 30, LONG: 2_000}
STEPS = {SHORT: 15, LONG: 20}
# Hypothesis leaves out some kinds of step in each sequence, and which ones depends on the modules
# that the process has loaded. So more sequences follow if a kind of step occurred less often.
FEWEST_STEPS, MOST_ROUNDS = 6, 5
TEN_YEARS = 10 * 365 * 86_400
CONFIG: dict[str, Any] = {
    "hidden_size": 2, "seq_length": 10, "epochs": 1_000, "save_seconds": 1e-6,
}  # fmt: skip
# Periods of training: the number of updates, and whether the last one is the best so far.
TRAINED = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from((False, False, False, True))),
    min_size=1,
    max_size=4,
)
CORPUS = Corpus.from_text(text(300), "words")


class Crash(BaseException):
    """Simulates that the process was killed."""


class Rotation(RuleBasedStateMachine):
    """A run whose writer saves, crashes and is opened again."""

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
        self.writer: RunWriter | None = None
        self.saved = 0  # the update of the last save that returned
        self.saving = 0  # the update of the last save that began
        self.bests: dict[int, int | None] = {0: None}  # the best update at each saved update
        self.settled = False  # True if nothing crashed since the last save, so `best` must be right

    @initialize(shift=st.integers(-TEN_YEARS, TEN_YEARS), at=st.integers(1, 120))
    def begin(self, shift: int, at: int) -> None:
        """Set the clock, and create the run, which may crash."""
        self._shift = shift
        with self._crashing(at):
            self.writer = RunWriter.create(self.run, self.learner, CORPUS)
        if self.writer is None and read_pointer(self.run, "latest") is None:
            self.writer = RunWriter.create(self.run, self.learner, CORPUS)

    @rule(
        shift=st.integers(-TEN_YEARS, TEN_YEARS),
        times=st.lists(st.integers(-TEN_YEARS, TEN_YEARS), min_size=4, max_size=4),
    )
    def change_clock(self, shift: int, times: list[int]) -> None:
        """Move the clock, and give the checkpoints other modification times."""
        self._shift = shift
        for update, away in zip(updates_in(self.run / "checkpoints"), times, strict=False):
            moment = 1_800_000_000 + away
            os.utime(checkpoint_path(self.run, update), (moment, moment))

    @precondition(lambda self: self.writer is not None)
    @rule(trained=TRAINED)
    def save(self, trained: list[tuple[int, bool]]) -> None:
        """Train and save several times."""
        assert self.writer is not None
        for updates, better in trained:
            self._train(updates, better)
            self.writer.save(self.learner)
            self._saved()
        updates_left = updates_in(self.run / "checkpoints")
        assert len(updates_left) <= NEWEST_KEPT + 1, f"{updates_left}: nothing is ever removed"

    @precondition(lambda self: self.writer is not None)
    @rule(
        trained=TRAINED,
        updates=st.integers(1, 12),
        better=st.booleans(),
        at=st.integers(1, 70),
    )
    def crash(self, trained: list[tuple[int, bool]], updates: int, better: bool, at: int) -> None:
        """Save several times, train, and crash at a call of another save."""
        assert self.writer is not None
        self.save(trained)
        self._train(updates, better)
        with self._crashing(at):
            self.writer.save(self.learner)
            self._saved()
        self._gone()

    @precondition(lambda self: self.writer is not None)
    @rule(at=st.integers(1, 30))
    def roll_back(self, at: int) -> None:
        """Roll back to the last save, which may crash."""
        assert self.writer is not None
        before = self.saved
        with self._crashing(at):
            self.learner = self.writer.roll_back()
            assert self.learner.update == before, "rolled back to another update than was saved"
            self.saving = before
            self.bests = {before: self.bests[before]}
            self.counts["rolled_back"] += 1
            return
        self._gone()

    @precondition(lambda self: self.writer is None)
    @rule(at=st.integers(1, 30))
    def crash_in_a_resumption(self, at: int) -> None:
        """Crash while another process opens the run."""
        with self._crashing(at):
            self.writer = reopen(self.run)[0]
        self._gone()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def interrupt(self) -> None:
        """End the process after its last save."""
        assert self.writer is not None
        self.writer.close()
        self.writer = None

    @precondition(lambda self: self.writer is None)
    @rule()
    def resume(self) -> None:
        """Resume the run in another process."""
        try:
            self.writer, self.learner, _ = reopen(self.run)
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
        self.settled = True

    @invariant()
    def the_newest_the_best_and_the_only_one_are_there(self) -> None:
        """Require that `latest` and `best` name intact checkpoints, and `latest` the last save."""
        updates = updates_in(self.run / "checkpoints")
        assert updates, "the only checkpoint is gone"
        latest = read_pointer(self.run, "latest")
        assert latest in (self.saved, self.saving), f"{self.saved} was saved; latest is {latest}"
        best = self.bests[latest]
        named = read_pointer(self.run, "best")
        if self.settled:
            assert named == best, f"`best` names {named}, and the best is {best}"
        for name, update in (("newest", latest), ("best", best), ("named best", named)):
            if update is None:
                continue
            try:
                found = load_checkpoint(checkpoint_path(self.run, update)).learner
            except CharloomError as error:
                raise AssertionError(f"the {name} checkpoint is gone: {error}") from error
            assert found.update == update
            assert (found.parameters["c"] == update).all()

    def teardown(self) -> None:
        """End the process, and reset the clock."""
        self._gone()
        self._patch.undo()

    def _train(self, updates: int, better: bool) -> None:
        """Make updates and a record, which is the best so far if `better`; the next save stores them."""
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
        self.settled = True

    @contextmanager
    def _crashing(self, at: int) -> Iterator[None]:
        """Crash at call number `at` inside the `with` block; no later call changes a file."""
        left = at

        def end(call: Call) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash

        calls = Calls(self.run, before=end)
        try:
            with calls:
                yield
        except Crash:
            for file in calls.opened:
                file.close()
            self.counts["crashes"] += 1
            self.settled = False

    def _gone(self) -> None:
        """Close the journals and release the lock, as the system does for a dead process."""
        if self.writer is not None:
            self.writer._journals.close()
            self.writer._lock.release()
        self.writer = None


def check(scale: str, number: int = 0) -> Figures:
    """Run 30 random sequences, or 2,000 in the long version, and more if a kind of step is rare."""
    counts = {"sequences": 0, "saves": 0, "crashes": 0, "resumptions": 0, "rolled_back": 0}
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
        for added in range(MOST_ROUNDS):
            if min(counts.values()) < FEWEST_STEPS:
                run_state_machine_as_test(seed(number + added)(machine), settings=chosen)
    return {**counts, "steps_each_at_most": STEPS[scale], "seed": number}
