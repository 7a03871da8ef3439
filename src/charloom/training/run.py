"""Trains in a run directory: runs `learn`, and between its calls saves, writes the status and obeys
commands.

It saves, tells and obeys; what is learnt does not depend on it.
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
from charloom.training.items import Ended, Item, Judged, Progress, Record, Sample, Saved, Warned
from charloom.training.judging import WORTH, Abandoned, judge_all, judges_all, read_alone
from charloom.training.learn import Stopwatch, Told, learn, passage

TRIAL_SECONDS: Final = 0.5  # after which it is known how long judging all that is held out takes
LOOK_SECONDS: Final = 0.1  # between two looks at control.json
FIRST_SAVE_SECONDS: Final = 5.0  # doubled at each save up to the config's
STATUS_SECONDS: Final = 1.0  # between two flushes and heartbeats
STOPPED: Final = "a command from a terminal, the page or Python"
RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # waits before a last save is tried again
REFUSED_SAVES: Final = 3  # in a row, after which training pauses until the disk takes one
PATIENT_SECONDS: Final = (30.0,) * 19  # and further ones, unless it was told to end

REFUSED: Final = (ReadError, WriteError)  # of a disk that may be well again later

# What goes on while it yields items, and may end the training.
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
    """Train a learner and keep everything in its run directory.

    Args:
        writer: of the run, as `RunWriter.create` or `RunWriter.resume` gave it.
        learner: the run's learner; changed in place.
        corpus: the run's text.
        engine: what computes.
        halt: asked after each call of the engine, in judgements too; a reason such as "SIGINT" ends the training,
            saved, as interrupted.
        save_seconds: between two checkpoints, instead of the config's; no bit depends on it.

    Yields what `learn` yields, `Saved` after each checkpoint, `Warned` where something went wrong
    that training survives (a full disk before the end, a number that is not finite), and `Ended`
    last. Whenever it yields, all that happened so far is in the journals; closing it saves.

    Raises:
        DivergedError: a number was not finite, and going back to the last checkpoint did not help.
        WriteError: the last save failed, several times.
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
        # Nobody listens any more. All is told, so the learner can be saved, if the run is open.
        if not writer.closed and not keeper.ended:
            with suppress(CharloomError):
                writer.save(learner)
            keeper.tell_end("interrupted", "nobody listened any more")
        raise
    except BaseException as error:
        # The learner may be in the middle of an update, or not finite: the last checkpoint stays
        # the truth.
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        keeper.tell_end(state, for_command_line(message_of(error)) or type(error).__name__)
        raise


class Keeper:
    """What a training does between two calls of its engine.

    Attributes:
        ended: whether the end was told.
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
        self._learner = self._told = learner  # `_told`: as it was when everything was told
        self._schedule = Schedule.of(learner.config, characters)
        self._watch = Stopwatch(writer.seconds)
        self._halt = halt
        # Commands of before the run was opened were for another training.
        self._control = writer.command
        self._problem: str | None = None
        self._refused_saves, self._refusal = 0, ""  # in a row, and why the last one was
        self._unreadable = False  # whether a command could not be read, of which it warns once
        self._unsaid: list[Warned] = []  # warnings of that to be yielded
        # Why a judgement was given up:
        self._reason: str | None = None
        self._stopped = False  # by a command
        self._late: list[Item] = []  # what happened during a judgement
        now = time.monotonic()
        self._next_look = now
        self._next_status = now + STATUS_SECONDS
        # The first saves come sooner, so that a young run can be sampled and little is lost.
        self._most_seconds = save_seconds or learner.config.save_seconds
        self._save_seconds = min(FIRST_SAVE_SECONDS, self._most_seconds)
        self._next_save = now + self._save_seconds

    def start(self, engine: Engine) -> Iterator[Item]:
        """Say what begins, where and with what."""
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
                f"the run was trained by {before} and goes on with {now}: its bits may differ from "
                f"those of an uninterrupted run."
            )
        yield from self._show("training")

    def train(self, ids: AllIds, engine: Engine) -> Generator[Item, None, Ended]:
        """`learn` to its end, keeping what it tells and attending to all else on the way."""
        told: list[Told] = []
        for item in learn(self._learner, ids, engine, self._watch, self.gives_up):
            told.append(item)
            if isinstance(item, Progress):
                self.write(told)
                yield from (*self._late, *told)
                self._late.clear()
                told.clear()
                ended = yield from self.attend()
                if ended is not None:
                    return ended
        if self._reason is not None or self._stopped:
            yield from self._late
            return (yield from self._end_as_told())
        return (yield from self.finish(ids, engine))

    def gives_up(self, learner: Learner) -> bool:
        """Within a judgement, do what is due; whether training shall end here, with the learner as it
        was when all was told. Nothing is yielded before that is so again."""
        now = time.monotonic()
        if now >= self._next_status:
            self._late += self._show("training")
        if now >= self._next_save:
            self._told = learner
            try:
                self._late += self._save()
            finally:
                self._told = self._learner
        return self._told_to_end()

    def go_back(self, error: DivergedError) -> Warned:
        """Go on from the last checkpoint with half the learning rate.

        Raises:
            DivergedError: that was done too often already.
            StoreError: the checkpoint cannot be read, or the journals not be cut back.
        """
        require_another_try(self._learner, error)
        told = go_back(self._learner, self._writer.roll_back(), error)
        self._writer.tell(
            "rolled_back",
            self._learner.update,
            durable=True,
            learning_rate_factor=self._learner.learning_rate_factor,
            rollbacks=self._learner.rollbacks,
            reason=for_command_line(error.message),
        )
        return self._warn(told)

    def write(self, told: list[Told]) -> None:
        """Put what happened into the journals, and hold a copy of the learner if it is the best."""
        recorded = False
        for item in told:
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
        """Do what is due; returns an `Ended` if training shall end here."""
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
        """Save the last state, and let the run's model write the long passage."""
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
        """The best learner, where a part of the text judged it, else the latest."""
        if which_of(self._learner.config) == "latest":
            return self._learner
        try:
            return (yield from self._insist(self._writer.load_best, "the best model's passage"))
        except StoreError as error:
            yield self._warn(
                f"the passage is the latest model's, not the best one's: {error.message}"
            )
            return self._learner

    def _judge_all(self, best: Learner, ids: AllIds, engine: Engine) -> Iterator[Item]:
        """Judge the best learner on all of the validation part, where judgements read less of it, unless
        that takes too long beside the training or somebody wants it to end."""
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
            if item.read <= alone:  # slowly; reckoned over all characters it would be far too long
                began, before = now, item.read
            whole, read = item.characters - before, item.read - before
            if now - began >= TRIAL_SECONDS and (now - began) * whole > most * read:
                return

    def _judged(self, judged: Judged) -> Item:
        """Keep what all of the validation part came to."""
        if not math.isfinite(judged.nats):
            return self._warn(f"on all of the validation part the loss is {judged.nats:g}.")
        characters = judged.characters
        self._writer.tell("judged", judged.update, nats=judged.nats, characters=characters)
        return judged

    def tell_end(self, state: str, reason: str | None, **details: Any) -> None:
        """Say that the training ended, if the disk lets us."""
        self.ended = True
        if not self._writer.closed:
            self._writer.tell(state, self._learner.update, reason=reason, **details)
            with suppress(WriteError):
                self._writer.flush()
            try:
                self._writer.status(state, self._learner.update, self._schedule.updates, reason)
            except WriteError:
                # No status is better than one that says that it trains on.
                self._writer.remove_status()

    def _end(self, state: str, reason: str | None, **details: Any) -> Generator[Item, None, Ended]:
        """Save, say that the training ended, and how."""
        yield from self._save_at_last()
        self.tell_end(state, reason, **details)
        return Ended(self._learner.update, state, reason)

    def _end_as_told(self) -> Generator[Item, None, Ended]:
        """End because something halted the training or a command stopped it."""
        if self._reason is not None:
            return (yield from self._end("interrupted", self._reason))
        self._new_command()
        return (yield from self._end("stopped", STOPPED))

    def _obey(self) -> Attending:
        """Do what a new command says; returns an `Ended` if it says stop."""
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
        """Whether something halts the training or a new command stops it, which is noted and not obeyed
        here."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            control = self._read_control()
            self._stopped = control.command == "stop" and control.is_newer(self._control)
        self._reason = self._halt()
        return self._reason is not None or self._stopped

    def _new_command(self) -> bool:
        """Whether control.json holds a newer command than the last one; its learning-rate factor
        counts at once, whatever else it says."""
        control = self._read_control()
        if not control.is_newer(self._control):
            return False
        self._control = control
        factor = control.learning_rate_factor
        if factor is not None and factor != self._learner.learning_rate_factor:
            self._learner.learning_rate_factor = factor
            # A checkpoint of this update, if there is one, does not know: the event must hold.
            self._writer.tell(
                "learning_rate_factor",
                self._learner.update,
                durable=True,
                learning_rate_factor=factor,
            )
        return True

    def _read_control(self) -> Control:
        """The last command that can be read; where one cannot, a warning is told once."""
        try:
            return read_control(self._writer.path)
        except (NewerFormatError, ReadError) as error:
            if not self._unreadable:
                self._unreadable = True
                self._unsaid.append(self._warn(f"a command was not obeyed: {error.message}"))
            return self._control

    def _say_unsaid(self) -> Iterator[Item]:
        """Yield the warnings that arose where nothing could be yielded."""
        unsaid, self._unsaid = self._unsaid, []
        yield from unsaid

    def _pause(self) -> Generator[Item, None, str | None]:
        """Wait, saved, for another command than pause; returns a reason to halt instead."""
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
        """Learn nothing more that may be lost, until the disk takes a save again; returns an `Ended` if
        training shall end before that. All lines wait in memory."""
        self._watch.hold()
        yield self._warn(
            f"{self._refused_saves} saves in a row were refused: {self._refusal} Training pauses at update "
            f"{self._learner.update:,} until the disk takes a save, and then goes on by itself; Ctrl-C or a "
            f"stop ends it."
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
        """Let other processes see how far it is."""
        self._next_status = time.monotonic() + STATUS_SECONDS
        refused = None
        try:
            self._writer.flush()
        except WriteError as error:
            refused = error.message
        try:
            # A disk without room for lines may have some for this.
            self._writer.status(state, self._learner.update, self._schedule.updates, self._problem)
        except WriteError as error:
            refused = refused or error.message
        if refused is not None and self._problem is None:
            yield self._warn(refused)

    def _save(self, again: bool = False) -> Iterator[Item]:
        """Save; a disk that refuses now may take it the next time. That it refused `again` is not told."""
        learner = self._told
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
        """Save, or fail after several tries."""
        before = self._writer.saved_update
        path = yield from self._insist(
            lambda: self._writer.save(self._learner),
            f"what was learnt after update {before:,} (now at {self._learner.update:,})",
        )
        if before != self._learner.update:
            yield Saved(self._learner.update, self._learner.best_update, path)

    def _insist(self, action: Callable[[], T], what: str) -> Generator[Item, None, T]:
        """Write something now or later: the disk may only be busy being emptied.

        Raises:
            WriteError: with what is lost, and how to go on.
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
                        else f"{total / 60:.0f} minutes; Ctrl-C or a stop gives up"
                    )
                    yield self._warn(f"{error.message} Trying again for {often}.")
            yield from self._wait(seconds, hurried)
            if not hurried and self._told_to_end():
                break
        try:
            return action()
        except REFUSED as error:
            raise WriteError(
                f"{what} is lost: {error.message} Then go on from update "
                f"{self._writer.saved_update:,} by {command('resume', self._writer.path)}."
            ) from error

    def _wait(self, seconds: float, hurried: bool) -> Iterator[Item]:
        """Wait so long, or until it is told to end, if it was not before."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (hurried or not self._told_to_end()):
            if time.monotonic() >= self._next_status:
                yield from self._show("training")
            time.sleep(min(left, LOOK_SECONDS))

    def _warn(self, message: str) -> Warned:
        """A warning, also kept for the status and among the events."""
        self._problem = for_command_line(message)
        self._writer.tell("warning", self._learner.update, reason=self._problem)
        return Warned(self._learner.update, message)
