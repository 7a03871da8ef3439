"""Trains in a run directory: saves checkpoints, writes journals and status, and obeys commands.

The training itself is in `learn`. Nothing here changes what the model learns.
"""

import math
import platform
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any, Final, TypeVar

import numpy as np

from charloom.engines import Engine
from charloom.errors import (
    CharloomError,
    DivergedError,
    NewerFormatError,
    ReadError,
    StoreError,
    WriteError,
    message_of,
)
from charloom.messages import command, for_command_line
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.store import Control, RunWriter, charloom_version, read_control, which_of
from charloom.text import Corpus
from charloom.text.id_file import AllIds
from charloom.training.divergence import go_back, require_another_try
from charloom.training.events import Ended, Item, Judged, Progress, Record, Sample, Saved, Warned
from charloom.training.loop import Event, Stopwatch, learn, passage
from charloom.training.progress_records import WORTH, Abandoned, judge_all, judges_all, read_alone

TRIAL_SECONDS: Final = 0.5  # of the final evaluation, before its total time is estimated
LOOK_SECONDS: Final = 0.1  # between two reads of control.json
FIRST_SAVE_SECONDS: Final = 5.0  # doubled at each save, up to the config's save_seconds
STATUS_SECONDS: Final = 1.0  # between two flushes of the journals and status updates
STOPPED: Final = "a command from a terminal, the page or Python"
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # waits between tries of the last save
REFUSED_SAVES: Final = 3  # failed saves in a row after which training pauses
PATIENT_SECONDS: Final = (30.0,) * 19  # further waits, unless the user asked the run to end

REFUSED: Final = (ReadError, WriteError)  # errors of a disk that may work again later

# A step that yields events, and returns `Ended` if training must end.
Attending = Generator[Item, None, Ended | None]

T = TypeVar("T")


def train_run(
    writer: RunWriter,
    learner: Learner,
    corpus: Corpus,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
    save_seconds: float | None = None,
) -> Iterator[Item]:
    """Train a learner and store everything in its run directory.

    Yields the events of `learn`, `Saved` after each checkpoint, and `Ended` last. Also yields `Warned`
    for problems that do not end training, such as a full disk. Every event that it yields is already
    in the journals. Closing the generator saves the learner.

    Args:
        writer: of the run, from `RunWriter.create` or `RunWriter.resume`.
        learner: the run's learner; changed in place.
        corpus: the run's text.
        engine: computes the updates.
        halt: called after each call of the engine, also during evaluations. A string such as "SIGINT"
            is the reason to save and end the run as interrupted; None continues.
        save_seconds: seconds between two checkpoints, instead of the config's. The result does not
            depend on it.

    Raises:
        DivergedError: a number was not finite, and going back to the last checkpoint did not help.
        WriteError: the last save failed several times.
    """
    keeper = Keeper(writer, learner, len(corpus), halt, save_seconds)
    try:
        yield from keeper.start(engine)
        while True:
            try:
                yield (yield from keeper.train(corpus.ids, engine))
                return
            except DivergedError as error:
                yield keeper.go_back(error)
    except GeneratorExit:
        # The caller closed the generator. Everything was yielded, so the learner can be saved.
        if not writer.closed and not keeper.ended:
            with suppress(CharloomError):
                writer.save(learner)
            keeper.tell_end(
                "interrupted", "the program that ran the training stopped reading its events"
            )
        raise
    except BaseException as error:
        # Do not save: the learner may be in the middle of an update, or not finite.
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        keeper.tell_end(state, for_command_line(message_of(error)) or type(error).__name__)
        raise


class Keeper:
    """The work of a training run between two calls of its engine: saving, status and commands.

    Attributes:
        ended: True once the end of the run was written to its journal.
    """

    def __init__(
        self,
        writer: RunWriter,
        learner: Learner,
        characters: int,
        halt: Callable[[], str | None],
        save_seconds: float | None = None,
    ) -> None:
        self.ended = False
        self._writer = writer
        # `_safe` is the learner whose events were all yielded; only this one may be saved.
        self._learner = self._safe = learner
        self._schedule = Schedule.of(learner.config, characters)
        self._watch = Stopwatch(writer.seconds)
        self._halt = halt
        # Ignore commands that were written before this process opened the run.
        self._control = writer.command
        self._problem: str | None = None
        # Number of failed saves in a row, and the message of the last one.
        self._refused_saves, self._refusal = 0, ""
        self._unreadable = False  # True after the one warning about an unreadable command
        self._unsaid: list[Warned] = []  # warnings that must still be yielded
        # Why an evaluation was cancelled: the reason of `halt`, or a stop command.
        self._reason: str | None = None
        self._stopped = False
        self._late: list[Item] = []  # events during an evaluation, to be yielded after it
        now = time.monotonic()
        self._next_look = now
        self._next_status = now + STATUS_SECONDS
        # Save early at first, so that a new run can be sampled soon and a crash loses little.
        self._most_seconds = save_seconds or learner.config.save_seconds
        self._save_seconds = min(FIRST_SAVE_SECONDS, self._most_seconds)
        self._next_save = now + self._save_seconds

    def start(self, engine: Engine) -> Iterator[Item]:
        """Write the start to the journal, with versions and machine; yield the writer's warnings."""
        self._writer.tell(
            "resumed" if self._learner.update else "started",
            self._learner.update,
            engine=engine.describe(),
            version=charloom_version(),
            python=platform.python_version(),
            numpy=np.__version__,
            machine=platform.machine(),
        )
        for warning in self._writer.warnings:
            yield self._warn(warning)
        before, now = self._writer.engine, engine.describe()
        if before is not None and before != now:
            yield self._warn(
                f"the run was trained by {before} and continues with {now}: its numbers may differ "
                f"slightly from those of an uninterrupted run."
            )
        yield from self._show("training")

    def train(self, ids: AllIds, engine: Engine) -> Generator[Item, None, Ended]:
        """Run `learn` to its end; write and yield its events, and do other due work between them."""
        events: list[Event] = []
        for item in learn(self._learner, ids, engine, self._watch, self.gives_up):
            events.append(item)
            if isinstance(item, Progress):
                self.write(events)
                yield from (*self._late, *events)
                self._late.clear()
                events.clear()
                ended = yield from self.attend()
                if ended is not None:
                    return ended
        if self._reason is not None or self._stopped:
            yield from self._late
            return (yield from self._end_as_told())
        return (yield from self.finish(ids, engine))

    def gives_up(self, learner: Learner) -> bool:
        """Do due work during an evaluation or a sample; return True if training must end here.

        Saves `learner`, the state of the last `Progress`. Events of this work are yielded later.
        """
        now = time.monotonic()
        if now >= self._next_status:
            self._late += self._show("training")
        if now >= self._next_save:
            self._safe = learner
            try:
                self._late += self._save()
            finally:
                self._safe = self._learner
        return self._told_to_end()

    def go_back(self, error: DivergedError) -> Warned:
        """Go back to the last checkpoint, with half the learning rate; return a warning about it.

        Raises:
            DivergedError: the run already went back as often as allowed.
            StoreError: the checkpoint cannot be read, or the journals cannot be shortened.
        """
        require_another_try(self._learner, error)
        message = go_back(self._learner, self._writer.roll_back(), error)
        self._writer.tell(
            "rolled_back",
            self._learner.update,
            durable=True,
            learning_rate_factor=self._learner.learning_rate_factor,
            rollbacks=self._learner.rollbacks,
            reason=for_command_line(error.message),
        )
        return self._warn(message)

    def write(self, events: list[Event]) -> None:
        """Write events to the journals, and keep a copy of the learner if it is the best one."""
        recorded = False
        for item in events:
            if isinstance(item, Record):
                self._writer.metrics.append_line(item.to_line())
                recorded = True
            elif isinstance(item, Sample):
                self._writer.samples.append(item.to_dict())
            elif isinstance(item, Warned):
                self._warn(item.marked)
        if recorded and self._learner.best_update == self._learner.update:
            self._writer.keep_best(self._learner)

    def attend(self) -> Attending:
        """Obey commands, write the status and save, as far as they are due.

        Returns:
            An `Ended` if training must end here, else None.
        """
        if self._schedule.over(self._learner):
            return None
        reason = self._halt()
        if reason is not None:
            return (yield from self._end("interrupted", reason))
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            ended = yield from self._obey()
            if ended is not None:
                return ended
        if now >= self._next_status:
            yield from self._show("training")
        if now >= self._next_save:
            yield from self._save()
        if self._refused_saves >= REFUSED_SAVES:
            return (yield from self._wait_for_room())
        return None

    def finish(self, ids: AllIds, engine: Engine) -> Generator[Item, None, Ended]:
        """Save the last state, write the long passage, and evaluate the whole validation part."""
        yield from self._save_at_last()
        why = self._schedule.why_early(self._learner)
        model = yield from self._model()
        try:
            text = passage(model, ids, engine, self._told_to_end)
        except Abandoned:
            return (yield from self._end_as_told())
        yield from self._insist(lambda: self._writer.write_passage(text), "the passage")
        yield from self._judge_all(model, ids, engine)
        return (yield from self._end("finished", why, passage=model.update))

    def _model(self) -> Generator[Item, None, Learner]:
        """Return the best learner if there is a validation part, else the latest one."""
        if which_of(self._learner.config) == "latest":
            return self._learner
        try:
            return (yield from self._insist(self._writer.load_best, "the best model's passage"))
        except StoreError as error:
            yield self._warn(
                f"the passage is from the latest model, not from the best one: {error.message}"
            )
            return self._learner

    def _judge_all(self, best: Learner, ids: AllIds, engine: Engine) -> Iterator[Item]:
        """Evaluate the best learner on the whole validation part.

        Does nothing if the evaluations during training already read the whole part. Stops if it would
        take too long in comparison with the training, or if the user asks the run to end.
        """
        windows = self._schedule.windows
        if judges_all(best.config, windows):
            return
        began, most = time.monotonic(), WORTH * self._watch()
        judging, alone, before = judge_all(best, ids, windows, engine), read_alone(windows), 0
        while not self._told_to_end():
            try:
                item = next(judging)
            except StopIteration as end:
                yield self._judged(end.value)
                return
            yield item
            now = time.monotonic()
            if now >= self._next_status:
                yield from self._show("training")
            # The first characters are read in one stream, which is slow: leave them out of the
            # estimate.
            if item.read <= alone:
                began, before = now, item.read
            whole, read = item.characters - before, item.read - before
            if now - began >= TRIAL_SECONDS and (now - began) * whole > most * read:
                return

    def _judged(self, judged: Judged) -> Item:
        """Write the loss on the whole validation part to the journal; return the event to yield."""
        if not math.isfinite(judged.nats):
            return self._warn(f"the loss on the whole validation part is {judged.nats:g}.")
        characters = judged.characters
        self._writer.tell("judged", judged.update, nats=judged.nats, characters=characters)
        return judged

    def tell_end(self, state: str, reason: str | None, **details: Any) -> None:
        """Write the end of the run to its journal and status, as far as the disk allows."""
        self.ended = True
        if not self._writer.closed:
            self._writer.tell(state, self._learner.update, reason=reason, **details)
            with suppress(WriteError):
                self._writer.flush()
            try:
                self._writer.status(state, self._learner.update, self._schedule.updates, reason)
            except WriteError:
                # No status is better than one that says that the run still trains.
                self._writer.remove_status()

    def _end(self, state: str, reason: str | None, **details: Any) -> Generator[Item, None, Ended]:
        """Save, write the end of the run, and return it as an event."""
        yield from self._save_at_last()
        self.tell_end(state, reason, **details)
        return Ended(self._learner.update, state, reason)

    def _end_as_told(self) -> Generator[Item, None, Ended]:
        """End the run because `halt` returned a reason or a command said stop."""
        if self._reason is not None:
            return (yield from self._end("interrupted", self._reason))
        self._new_command()
        return (yield from self._end("stopped", STOPPED))

    def _obey(self) -> Attending:
        """Obey a new command, if there is one; return an `Ended` if training must end here."""
        new = self._new_command()
        yield from self._say_unsaid()
        if not new:
            return None
        if self._control.command == "pause":
            reason = yield from self._pause()
            if reason is not None:
                return (yield from self._end("interrupted", reason))
        if self._control.command == "stop":
            return (yield from self._end("stopped", STOPPED))
        if self._control.learning_rate_factor is not None:
            yield from self._save()
        return None

    def _told_to_end(self) -> bool:
        """Return True if `halt` returns a reason or a new command says stop.

        Stores which of them it was, but does not end the run.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            control = self._read_control()
            self._stopped = control.command == "stop" and control.is_newer(self._control)
        self._reason = self._halt()
        return self._reason is not None or self._stopped

    def _new_command(self) -> bool:
        """Read control.json; return True if it has a newer command than the last one.

        Applies the command's learning-rate factor immediately.
        """
        control = self._read_control()
        if not control.is_newer(self._control):
            return False
        self._control = control
        factor = control.learning_rate_factor
        if factor is not None and factor != self._learner.learning_rate_factor:
            self._learner.learning_rate_factor = factor
            # An existing checkpoint of this update has the old factor, so the event must be on disk.
            self._writer.tell(
                "learning_rate_factor",
                self._learner.update,
                durable=True,
                learning_rate_factor=factor,
            )
        return True

    def _read_control(self) -> Control:
        """Return the command in control.json, or the last one if the file cannot be read.

        Warns once about an unreadable file.
        """
        try:
            return read_control(self._writer.path)
        except (NewerFormatError, ReadError) as error:
            if not self._unreadable:
                self._unreadable = True
                self._unsaid.append(self._warn(f"a command was not obeyed: {error.message}"))
            return self._control

    def _say_unsaid(self) -> Iterator[Item]:
        """Yield the warnings that could not be yielded when they arose."""
        unsaid, self._unsaid = self._unsaid, []
        yield from unsaid

    def _pause(self) -> Generator[Item, None, str | None]:
        """Save and wait until there is another command than pause.

        Returns:
            The reason if `halt` ends the run during the pause, else None.
        """
        self._watch.hold()
        yield from self._save()
        self._writer.tell("paused", self._learner.update)
        yield from self._show("paused")
        while self._control.command == "pause":
            reason = self._halt()
            if reason is not None:
                return reason
            yield Progress(self._learner.update, self._schedule.updates, "paused")
            time.sleep(LOOK_SECONDS)
            if time.monotonic() >= self._next_status:
                yield from self._show("paused")
            self._new_command()
            yield from self._say_unsaid()
        self._watch.go()
        if self._control.command == "run":
            self._writer.tell("continued", self._learner.update)
            yield from self._show("training")
        return None

    def _wait_for_room(self) -> Attending:
        """Pause training until a save succeeds again. Journal lines wait in memory.

        Returns:
            An `Ended` if the user ends the run before that, else None.
        """
        self._watch.hold()
        yield self._warn(
            f"{self._refused_saves} saves in a row failed: {self._refusal} Training pauses at update "
            f"{self._learner.update:,} and continues by itself when a save succeeds. Ctrl-C or a stop "
            f"command ends the run."
        )
        self._writer.tell("paused", self._learner.update)
        for seconds in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if self._told_to_end():
                    return (yield from self._end_as_told())
                yield Progress(self._learner.update, self._schedule.updates, "paused")
                if time.monotonic() >= self._next_status:
                    yield from self._show("paused")
                time.sleep(LOOK_SECONDS)
            yield from self._save(again=True)
            if not self._refused_saves:
                break
        self._writer.tell("continued", self._learner.update)
        self._watch.go()
        yield from self._show("training")
        return None

    def _show(self, state: str) -> Iterator[Item]:
        """Flush the journals and write the status, so that other processes see the progress."""
        self._next_status = time.monotonic() + STATUS_SECONDS
        refused = None
        try:
            self._writer.flush()
        except WriteError as error:
            refused = error.message
        try:
            # A disk that is too full for the journals may still take the short status.
            self._writer.status(state, self._learner.update, self._schedule.updates, self._problem)
        except WriteError as error:
            refused = refused or error.message
        if refused is not None and self._problem is None:
            yield self._warn(refused)

    def _save(self, again: bool = False) -> Iterator[Item]:
        """Save; if that fails, yield a warning and try again later. With `again`, do not warn."""
        learner = self._safe
        before = self._writer.saved_update
        try:
            path = self._writer.save(learner)
        except REFUSED as error:
            self._refused_saves, self._refusal = self._refused_saves + 1, error.message
            if not again:
                yield self._warn(f"update {learner.update:,} was not saved: {error.message}")
        else:
            self._problem, self._refused_saves = None, 0
            if before != learner.update:
                yield Saved(learner.update, learner.best_update, path)
        self._save_seconds = min(2 * self._save_seconds, self._most_seconds)
        self._next_save = time.monotonic() + self._save_seconds

    def _save_at_last(self) -> Iterator[Item]:
        """Save the last state; raise WriteError if several tries fail."""
        before = self._writer.saved_update
        path = yield from self._insist(
            lambda: self._writer.save(self._learner),
            f"the training after update {before:,} (now at {self._learner.update:,})",
        )
        if before != self._learner.update:
            yield Saved(self._learner.update, self._learner.best_update, path)

    def _insist(self, action: Callable[[], T], lost: str) -> Generator[Item, None, T]:
        """Call `action` until it succeeds, for up to ten minutes: the user may free disk space.

        Args:
            action: writes to or reads from disk, and returns the result.
            lost: names what is lost if all tries fail, for the message.

        Raises:
            WriteError: all tries failed; the message says what is lost and how to continue.
        """
        hurried = self._told_to_end() or self._control.command == "stop"
        waits = RETRY_SECONDS if hurried else (*RETRY_SECONDS, *PATIENT_SECONDS)
        for n, seconds in enumerate(waits):
            try:
                return action()
            except REFUSED as error:
                if not n:
                    total = sum(waits)
                    often = (
                        f"{total:.0f} seconds"
                        if hurried
                        else f"{total / 60:.0f} minutes; Ctrl-C or a stop command ends this"
                    )
                    yield self._warn(f"{error.message} Trying again for {often}.")
            yield from self._wait(seconds, hurried)
            if not hurried and self._told_to_end():
                break
        try:
            return action()
        except REFUSED as error:
            raise WriteError(
                f"{lost} is lost: {error.message} Then continue from update "
                f"{self._writer.saved_update:,}: {command('resume', self._writer.path)}."
            ) from error

    def _wait(self, seconds: float, hurried: bool) -> Iterator[Item]:
        """Wait for `seconds`. Unless `hurried`, stop waiting when the user asks the run to end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (hurried or not self._told_to_end()):
            if time.monotonic() >= self._next_status:
                yield from self._show("training")
            time.sleep(min(left, LOOK_SECONDS))

    def _warn(self, message: str) -> Warned:
        """Write a warning to the journal, keep it for the status, and return it."""
        self._problem = for_command_line(message)
        self._writer.tell("warning", self._learner.update, reason=self._problem)
        return Warned(self._learner.update, message)
