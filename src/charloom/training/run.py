"""Training in a run directory: `learn`, and between its calls whatever a run needs.

It saves, tells and obeys; what is learnt does not depend on it.
"""

import platform
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Final, TypeVar

import numpy as np

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import CharloomError, DivergedError, StoreError, WriteError
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.store import Control, RunWriter, charloom_version, read_control
from charloom.text import Corpus
from charloom.training.items import Ended, Item, Progress, Record, Sample, Saved, Warned
from charloom.training.learn import Stopwatch, learn, passage

LOOK_SECONDS: Final = 0.1  # between two looks at control.json
FIRST_SAVE_SECONDS: Final = 5.0  # doubled at each save up to the config's
STATUS_SECONDS: Final = 1.0  # between two flushes and heartbeats
RETRY_SECONDS: Final = (0.5, 1.0, 2.0)  # waits before a last write is tried again

# What goes on while it yields items, and may end the training.
Attending = Generator[Item, None, Ended | None]

T = TypeVar("T")


def train_run(
    writer: RunWriter,
    learner: Learner,
    corpus: Corpus,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
) -> Iterator[Item]:
    """Train a learner and keep everything in its run directory.

    Args:
        writer: of the run, as `RunWriter.create` or `RunWriter.resume` gave it.
        learner: the run's learner; changed in place.
        corpus: the run's text.
        engine: what computes.
        halt: asked after each call of the engine; a reason such as "SIGINT" ends the training,
            saved, as interrupted.

    Yields what `learn` yields, `Saved` after each checkpoint, `Warned` where something went wrong
    that training survives (a full disk before the end), and `Ended` last. Whenever it yields, all
    that happened so far is in the journals; closing it saves.

    Raises:
        DivergedError: a loss or gradient was not finite; the last good state is saved.
        WriteError: the last save failed, several times.
    """
    watch = Stopwatch(writer.seconds)
    updates = Schedule.of(learner.config, len(corpus)).updates
    keeper = Keeper(writer, learner, updates, watch, halt)
    try:
        yield from keeper.start(engine)
        told: list[Record | Sample | Progress] = []
        for item in learn(learner, corpus.ids, engine, watch):
            told.append(item)
            if isinstance(item, Progress):
                keeper.write(told)
                yield from told
                told.clear()
                ended = None if item.update >= updates else (yield from keeper.attend())
                if ended is not None:
                    yield ended
                    return
        yield (yield from keeper.finish(corpus.ids, engine))
    except DivergedError as error:
        with suppress(CharloomError):
            writer.save(learner)
        keeper.tell_end("failed", str(error))
        raise
    except GeneratorExit:
        # Nobody listens any more. All is told, so the learner can be saved, if the run is open.
        if not writer.closed and not keeper.ended:
            with suppress(CharloomError):
                writer.save(learner)
            keeper.tell_end("interrupted", "nobody listened any more")
        raise
    except BaseException as error:
        # The learner may be in the middle of an update: the last checkpoint stays the truth.
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        keeper.tell_end(state, str(error) or type(error).__name__)
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
        updates: int,
        watch: Stopwatch,
        halt: Callable[[], str | None],
    ) -> None:
        self.ended = False
        self._writer = writer
        self._learner = learner
        self._updates = updates
        self._watch = watch
        self._halt = halt
        # Commands of before this training were for another one.
        self._control = Control(read_control(writer.path).sequence)
        self._factor: float | None = None
        self._problem: str | None = None
        now = time.monotonic()
        self._next_look = now
        self._next_status = now + STATUS_SECONDS
        # The first saves come sooner, so that a young run can be sampled and little is lost.
        self._save_seconds = min(FIRST_SAVE_SECONDS, learner.config.save_seconds)
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
        yield from self._show("training")

    def write(self, told: list[Record | Sample | Progress]) -> None:
        """Put what happened into the journals, and hold a copy of the learner if it is the best."""
        recorded = False
        for item in told:
            if isinstance(item, Record):
                self._writer.metrics.append_line(item.to_line())
                recorded = True
            elif isinstance(item, Sample):
                self._writer.samples.append(item.to_dict())
        if recorded and self._learner.best_update == self._learner.update:
            self._writer.keep_best(self._learner)

    def attend(self) -> Attending:
        """Do what is due; returns an `Ended` if training shall end here."""
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
        return None

    def finish(self, ids: Ids, engine: Engine) -> Generator[Item, None, Ended]:
        """Save the last state, and let the best one write the long passage."""
        yield from self._save_at_last()
        try:
            best = self._writer.load_best()
        except StoreError as error:
            yield self._warn(f"the passage is the latest model's, not the best one's: {error}")
            best = self._learner
        text = passage(best, ids, engine)
        _try_often(lambda: self._writer.write_passage(text))
        return (yield from self._end("finished", None))

    def tell_end(self, state: str, reason: str | None) -> None:
        """Say that the training ended, if the disk lets us."""
        self.ended = True
        if not self._writer.closed:
            self._writer.tell(state, self._learner.update, reason=reason)
            with suppress(WriteError):
                self._writer.flush()
            with suppress(WriteError):
                self._writer.status(state, self._learner.update, self._updates, reason)

    def _end(self, state: str, reason: str | None) -> Generator[Item, None, Ended]:
        """Save, say that the training ended, and how."""
        yield from self._save_at_last()
        self.tell_end(state, reason)
        return Ended(self._learner.update, state, reason)

    def _obey(self) -> Attending:
        """Do what a new command says; returns an `Ended` if it says stop."""
        if not self._new_command():
            return None
        if self._control.command == "pause":
            reason = yield from self._pause()
            if reason is not None:
                return (yield from self._end("interrupted", reason))
        if self._control.command == "stop":
            return (yield from self._end("stopped", "a command in control.json"))
        factor, self._factor = self._factor, None
        if factor is not None and factor != self._learner.learning_rate_factor:
            self._learner.learning_rate_factor = factor
            self._writer.tell(
                "learning_rate_factor", self._learner.update, learning_rate_factor=factor
            )
        return None

    def _new_command(self) -> bool:
        """Whether control.json holds a command that is newer than the last one."""
        control = read_control(self._writer.path)
        if control.sequence <= self._control.sequence:
            return False
        self._control = control
        if control.learning_rate_factor is not None:
            self._factor = control.learning_rate_factor
        return True

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
            yield Progress(self._learner.update, self._updates, "paused")
            time.sleep(LOOK_SECONDS)
            if time.monotonic() >= self._next_status:
                yield from self._show("paused")
            self._new_command()
        self._watch.go()
        if self._control.command == "run":
            self._writer.tell("continued", self._learner.update)
            yield from self._show("training")
        return None

    def _show(self, state: str) -> Iterator[Item]:
        """Let other processes see how far it is."""
        self._next_status = time.monotonic() + STATUS_SECONDS
        try:
            self._writer.flush()
            self._writer.status(state, self._learner.update, self._updates, self._problem)
        except WriteError as error:
            if self._problem is None:
                yield self._warn(str(error))

    def _save(self) -> Iterator[Item]:
        """Save; a disk that refuses now may take it the next time."""
        before = self._writer.saved_update
        try:
            path = self._writer.save(self._learner)
        except WriteError as error:
            yield self._warn(f"update {self._learner.update} was not saved: {error}")
        else:
            self._problem = None
            if before != self._learner.update:
                yield Saved(self._learner.update, self._learner.best_update, path)
        self._save_seconds = min(2 * self._save_seconds, self._learner.config.save_seconds)
        self._next_save = time.monotonic() + self._save_seconds

    def _save_at_last(self) -> Iterator[Item]:
        """Save, or fail after several tries."""
        before = self._writer.saved_update
        path = _try_often(lambda: self._writer.save(self._learner))
        if before != self._learner.update:
            yield Saved(self._learner.update, self._learner.best_update, path)

    def _warn(self, message: str) -> Warned:
        """A warning, also kept for the status and among the events."""
        self._problem = message
        self._writer.tell("warning", self._learner.update, reason=message)
        return Warned(self._learner.update, message)


def _try_often(action: Callable[[], T]) -> T:
    """Do something now or a little later; the disk may only be busy being emptied."""
    for seconds in RETRY_SECONDS:
        try:
            return action()
        except WriteError:
            time.sleep(seconds)
    return action()
