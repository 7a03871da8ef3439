"""Saves a training run and shows its status, even while the disk cannot be written.

This module does not know the training algorithm, and does not act on commands.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

from charloom.errors import ReadError, WriteError
from charloom.messages import command, for_any_face
from charloom.model import Learner
from charloom.store import RunWriter
from charloom.training.command_reader import CommandReader
from charloom.training.events import Saved, TrainingEvent, Warned

# Seconds until the first save. The time between saves doubles each time, up to the config's save_seconds.
FIRST_SAVE_SECONDS: Final = 5.0
# Seconds between two times at which the saver flushes the journals and writes the status.
STATUS_SECONDS: Final = 1.0
# Seconds to wait after the first, the second … failed attempt to write to the disk.
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
# Seconds to wait after each further failed attempt, when all RETRY_SECONDS are used up. If the user asked
# the run to end, there are no further attempts.
PATIENT_SECONDS: Final = (30.0,) * 19

DISK_ERRORS: Final = (ReadError, WriteError)  # errors of a disk that may work again later

T = TypeVar("T")


class RunSaver:
    """Saves the learner of a run, and writes its status and warnings.

    Args:
        writer: the writer of the run.
        learner: the run's learner.
        updates: number of updates of the whole run.
        commands: the object that says whether the user asks the run to end. If the user does, the saver
            waits less for the disk.
        save_seconds: largest number of seconds between two checkpoints.

    Attributes:
        safe: the learner to save: the run's learner or, during an evaluation or a sample, a learner with
            the state after the last complete update.
        failed_saves: number of failed saves in a row.
        failure: the message of the last failed save.
        updates: number of updates of the whole run.
    """

    def __init__(
        self,
        writer: RunWriter,
        learner: Learner,
        updates: int,
        commands: CommandReader,
        save_seconds: float,
    ) -> None:
        self.safe = learner
        self.failed_saves, self.failure = 0, ""
        self._writer = writer
        self.updates = updates
        self._commands = commands
        self._problem: str | None = None  # the problem that the status shows until a save succeeds
        # Save early at first, so that a new run can be sampled soon and a crash loses little.
        self._most_seconds = save_seconds
        self._save_seconds = min(FIRST_SAVE_SECONDS, save_seconds)
        now = time.monotonic()
        self._next_status = now + STATUS_SECONDS
        self._next_save = now + self._save_seconds

    def show(self, state: str) -> Iterator[TrainingEvent]:
        """Flush the journals and write the status, so that other processes see the progress.

        Yield a warning if this fails, unless the status already shows a problem.
        `state` is the state of the run for the status: "training" or "paused".
        """
        self._next_status = time.monotonic() + STATUS_SECONDS
        refused = None
        try:
            self._writer.flush()
        except WriteError as error:
            refused = error.message
        try:
            # A disk that is too full for the journals may still have space for the short status.
            self._writer.status(state, self.safe.update, self.updates, self._problem)
        except WriteError as error:
            refused = refused or error.message
        if refused is not None and self._problem is None:
            yield self.warn(refused)

    def show_if_due(self, state: str) -> Iterator[TrainingEvent]:
        """Flush the journals and write the status, if the last status is at least a second old.

        Yield a warning if this fails, unless the status already shows a problem.
        `state` is the state of the run for the status: "training" or "paused".
        """
        if time.monotonic() >= self._next_status:
            yield from self.show(state)

    def save(self, again: bool = False) -> Iterator[TrainingEvent]:
        """Save the learner `self.safe`. Yield `Saved` if a checkpoint was written, a warning if saving fails.

        `again` is True for a repeated attempt, which yields no warning if it fails.
        """
        learner, before = self.safe, self._writer.saved_update
        try:
            path = self._writer.save(learner)
        except DISK_ERRORS as error:
            self.failed_saves, self.failure = self.failed_saves + 1, error.message
            if not again:
                yield self.warn(f"update {learner.update:,} was not saved: {error.message}")
        else:
            self._problem, self.failed_saves = None, 0
            if before != learner.update:
                yield Saved(learner.update, learner.best_update, path)
        self._save_seconds = min(2 * self._save_seconds, self._most_seconds)
        self._next_save = time.monotonic() + self._save_seconds

    def save_if_due(self, again: bool = False) -> Iterator[TrainingEvent]:
        """Save the learner `self.safe` if a save is due and its last update is not saved yet.

        `again` is True for a repeated attempt, which yields no warning if it fails.
        """
        saved = not self.failed_saves and self._writer.saved_update == self.safe.update
        if time.monotonic() >= self._next_save and not saved:
            yield from self.save(again)

    def save_final_state(self) -> Iterator[TrainingEvent]:
        """Save the learner at the end of training; raise WriteError if several attempts fail."""
        learner, before = self.safe, self._writer.saved_update
        path = yield from self.retry(
            lambda: self._writer.save(learner),
            f"the training after update {before:,} (now at {learner.update:,})",
        )
        if before != learner.update:
            yield Saved(learner.update, learner.best_update, path)

    def retry(self, action: Callable[[], T], lost: str) -> Generator[TrainingEvent, None, T]:
        """Call `action` until it succeeds, and return its result.

        The user has ten minutes to free disk space, but only 30 seconds if the user has already asked the
        run to end. If the user asks this during the ten minutes, the next attempt is the last one.

        Args:
            action: function that writes to or reads from the disk.
            lost: words for what is lost if all attempts fail, for the message.

        Raises:
            WriteError: all attempts failed; the message says what is lost and how to continue.
        """
        is_ending = self._commands.asks_to_end()
        waits = RETRY_SECONDS if is_ending else (*RETRY_SECONDS, *PATIENT_SECONDS)
        for n, seconds in enumerate(waits):
            try:
                return action()
            except DISK_ERRORS as error:
                if not n:
                    total = sum(waits)
                    often = (
                        f"{total:.0f} seconds"
                        if is_ending
                        else f"{total / 60:.0f} minutes; Ctrl-C or a stop command ends this"
                    )
                    yield self.warn(f"{error.message} Trying again for {often}.")
            yield from self._wait(seconds, is_ending)
            if not is_ending and self._commands.asks_to_end():
                break
        try:
            return action()
        except DISK_ERRORS as error:
            raise WriteError(
                f"{lost} is lost: {error.message} When this is fixed, continue from update "
                f"{self._writer.saved_update:,}: {command('resume', self._writer.path)}."
            ) from error

    def _wait(self, seconds: float, is_ending: bool) -> Iterator[TrainingEvent]:
        """Wait for `seconds`, and write the status when it is due.

        Stop waiting early if the user asks the run to end now. `is_ending` is True if the user already asked
        for this before; then wait for all of the `seconds`.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (
            is_ending or not self._commands.asks_to_end()
        ):
            yield from self.show_if_due("training")
            self._commands.wait(left)

    def warn(self, message: str) -> Warned:
        """Write a warning to the journal, remember it for the status, and return it."""
        self._problem = for_any_face(message)
        self._writer.add_event("warning", self.safe.update, reason=self._problem)
        return Warned(self.safe.update, message)

    def write_end(self, state: str, reason: str | None, **details: Any) -> None:
        """Write the end of the run to its journal and status; ignore a disk that refuses this.

        Args:
            state: the last state of the run: "finished", "interrupted", "stopped" or "failed".
            reason: why the run ends early; None if it does not.
            **details: further fields of the event in the journal.
        """
        self._writer.add_event(state, self.safe.update, reason=reason, **details)
        with suppress(WriteError):
            self._writer.flush()
        try:
            self._writer.status(state, self.safe.update, self.updates, reason)
        except WriteError:
            # Remove the status on the disk, which says that the run still trains: no status is better than a wrong
            # one.
            self._writer.remove_status()
