"""Trains in a run directory: writes its journals and obeys commands between two calls of the engine.

The training itself is in `learn_in_slices`. Apart from commands, nothing here changes what the model learns.
"""

import math
import platform
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import numpy as np

from charloom.cooperative import SliceLoop
from charloom.engines import Engine
from charloom.errors import CharloomError, DivergedError, StoreError, message_of
from charloom.messages import for_any_face
from charloom.model import Learner, averaged
from charloom.model.schedule import Schedule
from charloom.store import RunWriter, charloom_version, which_of
from charloom.store.model_start import START_NATS, start_fields
from charloom.text import Corpus
from charloom.text.all_ids import AllIds
from charloom.training.callbacks import NO_CALLBACKS, Callbacks
from charloom.training.command_reader import CommandReader
from charloom.training.divergence import go_back, require_another_try
from charloom.training.end_change import change_end
from charloom.training.events import (
    Ended,
    FinalEvaluation,
    LearningRateChanged,
    Progress,
    Record,
    Sample,
    TrainingEvent,
    Warned,
)
from charloom.training.loop import (
    LearnEvent,
    Stopwatch,
    WorkSlice,
    learn_in_slices,
    passage_in_slices,
)
from charloom.training.progress_records import (
    FINAL_EVALUATION_SHARE,
    characters_in_one_stream,
    evaluate_whole_part,
    reads_whole_part,
)
from charloom.training.run_saving import RETRY_SECONDS, RunSaver
from charloom.training.time_limit import EndPlanner, TimeLimit

# Seconds. When the final evaluation has taken this long, its total time is estimated.
TRIAL_SECONDS: Final = 0.5
STOP_REASON: Final = "a command from a terminal, the page or Python"
FAILED_SAVES_LIMIT: Final = 3  # training pauses after this many failed saves in a row


class Ending(NamedTuple):
    """How a run ends before its last update: its last state, "interrupted" or "stopped", and the reason."""

    state: str
    reason: str


# Type of a generator that yields events and returns an `Ending` if training must end, else None.
DueWork = Generator[TrainingEvent, None, Ending | None]


def train_run(
    writer: RunWriter,
    learner: Learner,
    corpus: Corpus,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
    save_seconds: float | None = None,
    limit: TimeLimit | None = None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Iterator[TrainingEvent]:
    """Train a learner and store everything in its run directory.

    Yields the events of `learn`, `Saved` after each checkpoint, `EvaluationProgress` and
    `FinalEvaluation` at the end, and `Ended` last. Also yields `Warned` for problems that do not end
    training, such as a full disk, `LearningRateChanged` after a command, and `EndChanged` if the end of
    the run moves because of `limit`. Each record, sample and warning is added to its journal before it is
    yielded. The journals are written to the disk each time that the status is written. Closing the generator
    saves the learner.

    Args:
        writer: the writer of the run, from `RunWriter.create` or `RunWriter.reopen`.
        learner: the run's learner; changed in place.
        corpus: the run's text.
        engine: computes the updates.
        halt: called after each call of the engine, also during evaluations. If it returns a string such
            as "SIGINT", the run is saved and ends as interrupted for this reason. If it returns None,
            training continues.
        save_seconds: seconds between two checkpoints, instead of the setting of the config. The trained
            model does not depend on it.
        limit: the time at which training must end. If the run is slower or faster than planned, its end
            moves, so that it keeps this time. With None, the end never moves.
        callbacks: called after the events of an update were written and yielded, and before the learner of
            this update is saved. If one of them returns a reason to stop, the run is saved and ends as stopped.
            If one raises an exception, the run is saved and ends as failed, and the exception is raised.

    Raises:
        DivergedError: a number was not finite, and going back to the last checkpoint did not help.
        WriteError: at the end of training, several attempts to write the learner or the long sample failed.
    """
    trainer = RunTrainer(writer, learner, corpus.ids, halt, save_seconds, limit, callbacks)
    try:
        yield from trainer.start(engine)
        while True:
            try:
                ended = yield from trainer.train(corpus.ids, engine)
                if ended is not None:
                    yield ended
                    return
            except DivergedError as error:
                if error is callbacks.error:
                    raise
                yield trainer.go_back(error)
    except GeneratorExit:
        # The caller closed the generator. The journals have all events of the learner's last complete
        # update, and `learn_in_slices` set the learner back to this update. So the learner can be saved.
        if not writer.closed and not trainer.ended:
            trainer.save_if_possible()
            trainer.write_end(
                "interrupted", "the program that ran the training stopped reading its events"
            )
        raise
    except BaseException as error:
        # Only after an error of a callback, save: otherwise the learner may be in the middle of an update, or not
        # finite.
        if error is callbacks.error:
            trainer.save_if_possible()
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        trainer.write_end(state, for_any_face(message_of(error)) or type(error).__name__)
        raise


class RunTrainer:
    """Trains a learner in its run directory.

    Attributes:
        ended: True if the end of the run was written to its journal.
    """

    def __init__(
        self,
        writer: RunWriter,
        learner: Learner,
        ids: AllIds,
        halt: Callable[[], str | None],
        save_seconds: float | None = None,
        limit: TimeLimit | None = None,
        callbacks: Callbacks = NO_CALLBACKS,
    ) -> None:
        self.ended = False
        self._callbacks = callbacks
        self._writer = writer
        self._learner = learner
        self._schedule = Schedule.of_text(learner.config, ids)
        self._watch = Stopwatch(writer.seconds)
        self._planner = EndPlanner(limit, self._watch())
        # The learning-rate factor that a user or a rollback set last, or with which the run was opened.
        self._steered_factor = learner.learning_rate_factor
        # Commands that were written before this process opened the run are ignored.
        self._commands = CommandReader(writer.path, writer.command, halt)
        self._saver = RunSaver(
            writer,
            learner,
            self._schedule.updates,
            self._commands,
            save_seconds or learner.config.save_seconds,
        )
        # True if a command changed the learning-rate factor after the last save.
        self._factor_unsaved = False

    def start(self, engine: Engine) -> Iterator[TrainingEvent]:
        """Add an event about the start to the journal, and write the status. Yield warnings for the user.

        The event names the versions of the software and the machine. The warnings say what was repaired in
        the run directory, and whether the run was trained by another engine before.
        """
        self._writer.add_event(
            "resumed" if self._learner.update else "started",
            self._learner.update,
            engine=engine.describe(),
            version=charloom_version(),
            python=platform.python_version(),
            numpy=np.__version__,
            machine=platform.machine(),
        )
        for warning in self._writer.warnings:
            yield self._saver.warn(warning)
        before, now = self._writer.engine, engine.describe()
        if before is not None and before != now:
            yield self._saver.warn(
                f"the run was trained by {before} and continues with {now}: its numbers may differ "
                f"slightly from those of an uninterrupted run."
            )
        yield from self._saver.show("training")

    def train(self, ids: AllIds, engine: Engine) -> Generator[TrainingEvent, None, Ended | None]:
        """Train to the end of the run. Write the events to the journals, and yield them.

        After each call of the engine, obey commands, and write the status and a checkpoint if they are due.

        Returns:
            The last event of the run; None if the end of the run moved. Then call this method again.
        """
        events: list[LearnEvent] = []
        next_end = self._callbacks.next_due
        with closing(
            learn_in_slices(self._learner, ids, engine, self._watch, next_end=next_end)
        ) as items:
            for item in items:
                if isinstance(item, WorkSlice):
                    ending = yield from self.do_due_work_within(item.safe)
                    if ending is not None:
                        items.close()  # sets the learner back to the state of `item.safe`
                        return (yield from self._end(*ending))
                    continue
                events.append(item)
                if isinstance(item, Progress):
                    self.write(events)
                    ending = self.call_callbacks(events)
                    yield from events
                    events.clear()
                    ending = ending or (yield from self.do_due_work())
                    if ending is not None:
                        return (yield from self._end(*ending))
                    if (yield from self.keep_time_limit()):
                        return None
        return (yield from self.finish(ids, engine))

    def go_back(self, error: DivergedError) -> Warned:
        """Set the learner back to the last checkpoint, with half the learning rate.

        Returns:
            A warning that quotes `error` and says from which update training continues.

        Raises:
            DivergedError: the run already went back as often as allowed.
            StoreError: the checkpoint cannot be read, or the journals cannot be shortened.
        """
        require_another_try(self._learner, error)
        message = go_back(self._learner, self._writer.roll_back(), error)
        self._writer.add_event(
            "rolled_back",
            self._learner.update,
            durable=True,
            learning_rate_factor=self._learner.learning_rate_factor,
            rollbacks=self._learner.rollbacks,
            reason=for_any_face(error.message),
        )
        self._steered_factor = self._learner.learning_rate_factor
        return self._saver.warn(message)

    def keep_time_limit(self) -> Generator[TrainingEvent, None, bool]:
        """Move the end of the run if it would miss its time limit. Return True if the end moved.

        First save the learner. If the disk refuses, the end stays, and moves at a later comparison.
        """
        learner = self._learner
        if self._schedule.is_finished(learner):
            return False
        end = self._planner.new_end(self._schedule, learner.update, self._watch())
        if end is None:
            return False
        yield from self._saver.save()
        if self._saver.failed_saves:
            # Without the checkpoint, a resumed run could not repeat the updates before the change.
            return False
        self._schedule, event = change_end(learner, self._schedule, end, self._steered_factor)
        self._saver.updates = event.updates
        self._writer.change_end(learner, event.reason)
        yield event
        return True

    def call_callbacks(self, events: list[LearnEvent]) -> Ending | None:
        """Call the callbacks that are due, and keep a copy of the learner if its last update has the best loss so far.

        Args:
            events: the events of the learner's last update.

        Returns:
            An `Ending` if a callback stops the run before its last update, else None.
        """
        stopped = self._callbacks.call(self._learner)
        recorded = any(isinstance(item, Record) for item in events)
        if recorded and self._learner.best_update == self._learner.update:
            self._writer.keep_best(self._learner)
        if stopped is None or self._schedule.is_finished(self._learner):
            return None
        return Ending("stopped", stopped)

    def save_if_possible(self) -> None:
        """Save the learner. Ignore a failed save."""
        with suppress(CharloomError):
            self._writer.save(self._learner)

    def write(self, events: list[LearnEvent]) -> None:
        """Write events to the journals."""
        for item in events:
            if isinstance(item, Record):
                self._writer.metrics.append_line(item.to_line())
            elif isinstance(item, Sample):
                self._writer.samples.append(item.to_dict())
            elif isinstance(item, Warned):
                self._saver.warn(item.marked)

    def do_due_work(self) -> DueWork:
        """Do the work between two updates: obey commands, and write the status and a checkpoint if due.

        Pause training if several saves in a row failed.

        Returns:
            An `Ending` if training must end here, else None.
        """
        if self._schedule.is_finished(self._learner):
            return None
        ending = yield from self._do_due_work()
        if ending is None and self._schedule.save_due(self._learner.update):
            ending = yield from self._save_exactly()
        if ending is None and self._factor_unsaved:
            # Save the new learning-rate factor now: if the run stops and is resumed, it must use the factor
            # from this update on.
            yield from self._saver.save()
            self._factor_unsaved = False
        if ending is None and self._saver.failed_saves >= FAILED_SAVES_LIMIT:
            ending = yield from self._wait_for_disk()
        return ending

    def do_due_work_within(self, safe: Learner) -> DueWork:
        """Obey commands, and write the status and a checkpoint if due, during an evaluation or a sample.

        Args:
            safe: a learner with the state of the last `Progress` event. This learner is saved, because the
                present update of the run's learner is not complete.

        Returns:
            An `Ending` if training must end here, else None.
        """
        self._saver.safe = safe
        try:
            return (yield from self._do_due_work())
        finally:
            self._saver.safe = self._learner

    def _do_due_work(self) -> DueWork:
        """Obey commands, and write the status and a checkpoint if they are due.

        Returns:
            An `Ending` if training must end here, else None.
        """
        ending = yield from self._obey()
        if ending is None:
            yield from self._saver.show_if_due("training")
            yield from self._saver.save_if_due()
        return ending

    def _save_exactly(self) -> DueWork:
        """Save the learner's last update, because the setting `save_every` says so.

        If the checkpoint must be kept and the disk refuses it, pause training here until a save succeeds.

        Returns:
            An `Ending` if the user ends the run before that, else None.
        """
        yield from self._saver.save()
        if self._saver.failed_saves and self._learner.config.keep_saved == "all":
            return (yield from self._wait_for_disk())
        return None

    def _obey(self) -> DueWork:
        """Obey signals and commands; return an `Ending` if training must end here, else None."""
        yield from self._read_commands()
        if self._commands.wanted == "pause" and self._commands.halt_reason() is None:
            yield from self._pause()
        reason = self._commands.halt_reason()
        if reason is not None:
            return Ending("interrupted", reason)
        return Ending("stopped", STOP_REASON) if self._commands.wanted == "stop" else None

    def _read_commands(self) -> Iterator[TrainingEvent]:
        """Read a new command and apply its learning-rate factor.

        Yields a warning if a command could not be read, but only once in a training run.
        """
        self._commands.look()
        yield from self._apply_factor()
        message = self._commands.take_warning()
        if message is not None:
            yield self._saver.warn(message)

    def _apply_factor(self) -> Iterator[TrainingEvent]:
        """Set a new learning-rate factor in the run's learner and in `self._saver.safe`, the learner to save."""
        factor, safe = self._commands.take_factor(), self._saver.safe
        if factor is None or factor == self._learner.learning_rate_factor:
            return
        # During an evaluation, `safe` is a copy of an earlier state of the learner. Set the factor in both:
        # if the evaluation is cancelled, the learner is set back to `safe`.
        self._learner.learning_rate_factor = safe.learning_rate_factor = factor
        self._steered_factor = factor
        self._factor_unsaved = True
        # A checkpoint of this update may already exist, with the previous learning-rate factor. So the event
        # about the new factor must be on disk before training continues.
        self._writer.add_event(
            "learning_rate_factor", safe.update, durable=True, learning_rate_factor=factor
        )
        yield LearningRateChanged(safe.update, factor)

    def _pause(self) -> Iterator[TrainingEvent]:
        """Save the learner. Then wait until a command other than pause arrives, or until training must end."""
        self._watch.stop()
        yield from self._saver.save()
        self._writer.add_event("paused", self._saver.safe.update)
        yield from self._saver.show("paused")
        while self._commands.wanted == "pause" and self._commands.halt_reason() is None:
            yield self._paused("command")
            self._commands.wait()
            yield from self._saver.show_if_due("paused")
            # If the save before the pause failed, try again, because the pause may be long.
            yield from self._saver.save_if_due(again=True)
            yield from self._read_commands()
        if self._commands.wanted == "run":
            yield from self._continue()

    def _continue(self) -> Iterator[TrainingEvent]:
        """Continue training after a pause: add an event to the journal, write the status, and yield a `Progress`."""
        self._watch.start()
        safe = self._saver.safe
        self._writer.add_event("continued", safe.update)
        yield from self._saver.show("training")
        yield Progress(safe.update, self._schedule.updates, smooth_loss=safe.smooth_loss)

    def _paused(self, cause: str) -> Progress:
        """Return a `Progress` that says that training is paused. `cause` is "command" or "disk"."""
        return Progress(self._saver.safe.update, self._schedule.updates, "paused", cause=cause)

    def _wait_for_disk(self) -> DueWork:
        """Pause training until a save succeeds again. New lines of the journals stay in memory.

        Returns:
            An `Ending` if the user ends the run before a save succeeds, else None.
        """
        self._watch.stop()
        count = self._saver.failed_saves
        failed = "a save failed" if count == 1 else f"{count} saves in a row failed"
        yield self._saver.warn(
            f"{failed}: {self._saver.failure} Training pauses at update {self._learner.update:,} and continues by itself when a save succeeds. Ctrl-C or "
            f"a stop command ends the run."
        )
        self._writer.add_event("paused", self._learner.update)
        for seconds in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if self._commands.asks_to_end():
                    return (yield from self._obey())
                yield self._paused("disk")
                yield from self._saver.show_if_due("paused")
                self._commands.wait()
            yield from self._saver.save(again=True)
            if not self._saver.failed_saves:
                break
        yield from self._continue()
        return None

    def finish(self, ids: AllIds, engine: Engine) -> Generator[TrainingEvent, None, Ended]:
        """Save the learner, write the passage, and compute the loss on the whole validation part.

        The passage is a long sample that each finished run writes.

        Returns:
            The last event of the run.
        """
        yield from self._saver.save_final_state()
        reason = self._schedule.early_end_reason(self._learner)
        model = yield from self._model()
        writing = SliceLoop(passage_in_slices(model, ids, engine))
        for _ in writing:
            ending = yield from self._do_due_work()
            if ending is not None:
                return (yield from self._end(*ending))
        text = writing.result
        yield from self._saver.retry(lambda: self._writer.write_passage(text), "the passage")
        yield from self._evaluate_whole_part(model, ids, engine)
        losses = model.start_losses
        measured = {} if losses is None else {START_NATS: start_fields(losses)}
        ended = yield from self._end("finished", reason, passage=model.update, **measured)
        return replace(ended, start_losses=losses)

    def _model(self) -> Generator[TrainingEvent, None, Learner]:
        """Return the best model if the text has a validation part, else the latest model.

        If the best model cannot be read from the disk, yield a warning and return the latest model.
        """
        if which_of(self._learner.config) == "latest":
            return averaged(self._learner)
        try:
            return averaged(
                (yield from self._saver.retry(self._writer.load_best, "the best model's passage"))
            )
        except StoreError as error:
            yield self._saver.warn(
                f"the passage is from the latest model, not from the best one: {error.message}"
            )
            return averaged(self._learner)

    def _evaluate_whole_part(
        self, best: Learner, ids: AllIds, engine: Engine
    ) -> Iterator[TrainingEvent]:
        """Compute the loss of the model `best` on the whole validation part.

        Does nothing if the evaluations during training already read the whole part. Stops if it would
        take too long in comparison with the training, if it would miss the time limit, or if the user asks
        the run to end.
        """
        windows = self._schedule.windows
        if reads_whole_part(best.config, windows) or (yield from self._do_due_work()) is not None:
            return
        began = self._watch()
        left = max(0.0, self._planner.seconds_left(began)) + self._planner.tolerance()
        most = min(FINAL_EVALUATION_SHARE * began, left)
        alone, before = characters_in_one_stream(windows), 0
        evaluating = SliceLoop(evaluate_whole_part(best, ids, windows, engine))
        for item in evaluating:
            yield item
            now = self._watch()
            # The first characters are read in a single stream, which is slow. So the estimate of the total
            # time leaves them out.
            if item.read <= alone:
                began, before = now, item.read
            whole, read = item.characters - before, item.read - before
            if now - began >= TRIAL_SECONDS and (now - began) * whole > most * read:
                return
            if (yield from self._do_due_work()) is not None:
                return
        yield self._write_evaluation(evaluating.result)

    def _write_evaluation(self, result: FinalEvaluation) -> TrainingEvent:
        """Write the loss on the whole validation part to the journal, and return `result`.

        If the loss is not finite, return a warning instead.
        """
        if not math.isfinite(result.nats):
            return self._saver.warn(f"the loss on the whole validation part is {result.nats:g}.")
        characters = result.characters
        self._writer.add_event("judged", result.update, nats=result.nats, characters=characters)
        return result

    def _end(
        self, state: str, reason: str | None, **details: Any
    ) -> Generator[TrainingEvent, None, Ended]:
        """Save, write the end of the run to its journal and status, and return the event `Ended`.

        The arguments are those of `write_end`.
        """
        yield from self._saver.save_final_state()
        self.write_end(state, reason, **details)
        return Ended(self._learner.update, state, reason)

    def write_end(self, state: str, reason: str | None, **details: Any) -> None:
        """Write the end of the run to its journal and status; ignore a disk that refuses this.

        Args:
            state: the last state of the run: "finished", "interrupted", "stopped" or "failed".
            reason: why the run ends early; None if it does not.
            **details: further fields of the event in the journal.
        """
        self.ended = True
        if not self._writer.closed:
            self._saver.write_end(state, reason, **details)
