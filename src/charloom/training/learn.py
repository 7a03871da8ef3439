"""Training as an algorithm, on one screen: it knows nothing of disks, clocks decide nothing."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from charloom.engines import Engine, Plan, Sampler, Trace
from charloom.engines.base import Ids
from charloom.errors import DivergedError
from charloom.model import Learner, zero_state
from charloom.model.schedule import Schedule
from charloom.random import uniforms
from charloom.training.items import Progress, Record, Sample

CALL_SECONDS: Final = 0.1  # what one call of the engine may take, so that Ctrl-C feels immediate
GROWTH: Final = 8  # how fast calls may grow until they take that long
PASSAGE_STREAM: Final = 1  # the passage's random numbers are not those of the sample


def learn(
    learner: Learner, ids: Ids, engine: Engine, clock: Callable[[], float] | None = None
) -> Iterator[Record | Sample | Progress]:
    """Train a learner to the end of its config's updates or epochs, without a disk.

    Args:
        learner: changed in place.
        ids: the text, shape (characters,), in the vocabulary's id type.
        engine: what computes.
        clock: seconds of training; nothing but the records' seconds depends on it.

    Yields records and samples as they come due, and a `Progress` after each call of the engine:
    only then is the learner between two updates of which everything was told, fit to be saved.

    Raises:
        DivergedError: a loss or gradient was not finite; the learner is as before that update.
        TextError: the text is shorter than one window.
    """
    clock = clock or Stopwatch()
    config = learner.config
    schedule = Schedule.of(config, len(ids))
    recorded_update, recorded_at = learner.update, clock()
    limit = 1
    if learner.update == 0:
        yield Sample(0, continuation(learner, ids, engine, config.sample_length))
        yield Progress(0, schedule.updates)
    while learner.update < schedule.updates:
        # The epoch's end is left at the next one's start, so that the last state of an epoch can
        # still be sampled and saved.
        if schedule.windows.ends_epoch(learner.position):
            learner.position, learner.state = 0, zero_state(config)
        learning_rate = config.learning_rate * learner.learning_rate_factor
        count = min(limit, schedule.next_due(learner.update) - learner.update)
        started = time.perf_counter()
        plan = Plan(np.full(count, learning_rate), config.clip, config.epsilon)
        trace = engine.train(learner, ids, plan)
        seconds = max(time.perf_counter() - started, 1e-9)
        limit = max(1, min(GROWTH * limit, int(CALL_SECONDS * count / seconds)))

        count_losses(learner, trace)
        if trace.stopped:
            raise diverged(learner, trace)
        if schedule.windows.ends_epoch(learner.position):
            learner.epoch += 1
        if schedule.record_due(learner.update):
            now, done = clock(), learner.update - recorded_update
            yield judge(
                learner,
                Record(
                    update=learner.update,
                    epoch=learner.update / schedule.windows.per_epoch,
                    characters=learner.update * config.seq_length,
                    seconds=round(now, 3),
                    loss=float(trace.losses[-1]),
                    smooth_loss=learner.smooth_loss or 0.0,
                    train_nats=learner.pending_loss / (learner.pending_updates * config.seq_length),
                    learning_rate=learning_rate,
                    gradient_norm=float(trace.gradient_norms[-1]),
                    characters_per_second=rate(done * config.seq_length, now - recorded_at),
                ),
            )
            recorded_update, recorded_at = learner.update, now
        if schedule.sample_due(learner.update):
            yield Sample(learner.update, continuation(learner, ids, engine, config.sample_length))
        yield Progress(learner.update, schedule.updates)


def count_losses(learner: Learner, trace: Trace) -> None:
    """Smooth and sum the losses one by one, so that how calls are cut never changes a bit."""
    past, smooth = learner.config.smoothing, learner.smooth_loss
    for loss in trace.losses.tolist():
        smooth = loss if smooth is None else past * smooth + (1 - past) * loss
        learner.pending_loss += loss
    learner.smooth_loss = smooth
    learner.pending_updates += len(trace.losses)


def judge(learner: Learner, record: Record) -> Record:
    """Take note of a record: the best so far is the one with the lowest smooth loss."""
    learner.pending_loss, learner.pending_updates = 0.0, 0
    if learner.best_loss is None or record.smooth_loss < learner.best_loss:
        learner.best_loss, learner.best_update = record.smooth_loss, record.update
    return record


def rate(characters: int, seconds: float) -> float:
    """Characters per second, within what the record's width holds."""
    return round(min(characters / max(seconds, 1e-6), 999_999_999_999.0), 1)


def diverged(learner: Learner, trace: Trace) -> DivergedError:
    """The error for an update that an engine refused to apply."""
    rate = learner.config.learning_rate * learner.learning_rate_factor
    return DivergedError(
        f"update {learner.update + 1} was not applied: its loss is {trace.failed_loss:g} and its "
        f"gradient norm {trace.failed_norm:g}. Train again with a lower --learning-rate than "
        f"{rate:g}."
    )


def continuation(learner: Learner, ids: Ids, engine: Engine, length: int, stream: int = 0) -> str:
    """How the learner would go on from its state and the text's next character.

    The random numbers depend on the config's seed, the update and the stream alone.
    """
    numbers = uniforms(
        learner.config.seed, "training_sample", length, update=learner.update, stream=stream
    )
    first = int(ids[learner.position])
    drawn, _ = engine.generate(learner, first, Sampler(), numbers, learner.state)
    return learner.vocabulary.decode(drawn)


def passage(learner: Learner, ids: Ids, engine: Engine) -> str:
    """The long passage of a learner, `passage_length` characters."""
    return continuation(learner, ids, engine, learner.config.passage_length, PASSAGE_STREAM)


class Stopwatch:
    """Seconds of training, counted from `seconds` on, which can be held while nobody trains."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = time.monotonic()

    def __call__(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def hold(self) -> None:
        """Stop counting."""
        self._before, self._since = self(), None

    def go(self) -> None:
        """Count again."""
        self._since = time.monotonic()
