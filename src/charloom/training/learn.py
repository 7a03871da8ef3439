"""The training algorithm, on one screen: it uses no disk, and no clock decides anything."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

from charloom.engines import Engine, Plan, Sampler, Trace
from charloom.engines.base import Ids
from charloom.errors import DivergedError
from charloom.model import Learner, copy_learner, put_back, stream_state, zero_state
from charloom.model.schedule import Schedule
from charloom.random import uniforms
from charloom.scoring import tokens_of_a_call
from charloom.text import Windows
from charloom.text.id_file import AllIds
from charloom.training.items import Progress, Record, Sample, Warned
from charloom.training.judging import (
    Abandoned,
    rate,
    runaway,
    runs_away,
    take_record,
    validate,
)

CALL_SECONDS: Final = 0.1  # what one call of the engine may take, so that Ctrl-C feels immediate
GROWTH: Final = 8  # how fast calls may grow until they take that long
PASSAGE_STREAM: Final = 1  # the passage's random numbers are not those of the sample

Told = Record | Sample | Warned | Progress


Asked = Callable[[], bool]


def never(_: Learner) -> bool:
    """What is asked where every judgement comes to its end."""
    return False


def never_asked() -> bool:
    """What is asked where every text comes to its end."""
    return False


def learn(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    clock: Callable[[], float] | None = None,
    given_up: Callable[[Learner], bool] = never,
) -> Iterator[Told]:
    """Train a learner to the end of its config's updates or epochs, or of its patience.

    Args:
        learner: changed in place.
        ids: the whole text, shape (characters,), in the vocabulary's id type.
        engine: what computes.
        clock: seconds of training; nothing but the records' seconds depends on it.
        given_up: asked after each call of the engine within a judgement or a sample, which may take
            long, with the learner as it was at the last `Progress`, fit to be saved. Where it says
            so, learning ends there: the learner is that one again, and whoever goes on repeats it.

    Yields records and samples as they come due, a warning where the loss runs away, and a
    `Progress` after each call of the engine: only then is the learner between two updates of which
    everything was told, fit to be saved.

    Raises:
        DivergedError: a loss or gradient was not finite; the learner is as before that update.
        TextError: the text is too short for its division.
    """
    clock = clock or Stopwatch()
    config = learner.config
    schedule = Schedule.of(config, len(ids))
    windows = schedule.windows
    limit, running_away = 1, False
    if learner.update == 0:
        try:
            yield Sample(0, sample(learner, ids, windows, engine, partial(given_up, learner)))
        except Abandoned:
            return
        yield Progress(0, schedule.updates)
    recorded_update, recorded_at = learner.update, clock()
    while not schedule.over(learner):
        count = min(limit, schedule.next_due(learner.update) - learner.update)
        judged = schedule.judgement_due(learner.update + count)
        sampled = schedule.sample_due(learner.update + count)
        earlier = copy_learner(learner) if judged or sampled else learner
        # The epoch's end is left at the next one's start, so that the last state of an epoch can
        # still be sampled and saved.
        if windows.ends_epoch(learner.position):
            learner.position, learner.state = 0, zero_state(config, config.batch_size)
        rates = schedule.learning_rates(learner.update, count) * learner.learning_rate_factor
        started = time.perf_counter()
        plan = Plan(rates, windows.starts(learner.epoch))
        trace = engine.train(learner, *at_hand(ids, plan, learner))
        seconds = max(time.perf_counter() - started, 1e-9)
        limit = max(1, min(GROWTH * limit, int(CALL_SECONDS * count / seconds)))

        count_losses(learner, trace)
        require_told(learner, trace)
        if trace.stopped:
            raise diverged(learner, trace, float(rates[len(trace.losses)]))
        if windows.ends_epoch(learner.position):
            learner.epoch += 1
        asked, told = partial(given_up, earlier), list[Told]()
        try:
            if schedule.record_due(learner.update):
                now, characters = clock(), config.seq_length * config.batch_size
                speed = rate((learner.update - recorded_update) * characters, now - recorded_at)
                nats = validate(learner, ids, windows, engine, asked) if judged else None
                told += [take_record(learner, windows, trace, float(rates[-1]), now, speed, nats)]
                recorded_update, recorded_at = learner.update, clock()
                before, running_away = running_away, runs_away(learner)
                if running_away and not before:
                    told += [Warned(learner.update, runaway(learner))]
            if sampled or schedule.over(learner):
                text = sample(learner, ids, windows, engine, asked)
                told += [Sample(learner.update, text)]
        except Abandoned:
            put_back(learner, earlier)
            return
        yield from told
        yield Progress(learner.update, schedule.updates, smooth_loss=learner.smooth_loss)


def at_hand(ids: AllIds, plan: Plan, learner: Learner) -> tuple[Ids, Plan]:
    """The ids that a plan reads, and the plan with its places among them.

    Of ids in a file, only these are read; an array is at hand as it is.
    """
    if isinstance(ids, np.ndarray):
        return ids, plan
    starts = plan.starts + learner.position
    count = len(plan.learning_rates) * learner.config.seq_length + 1
    read = ids.stretches(starts, starts + count, count)
    places = count * np.arange(len(starts), dtype=np.int64) - learner.position
    return read.ravel(), Plan(plan.learning_rates, places)


def require_told(learner: Learner, trace: Trace) -> None:
    """Refuse figures of applied updates, and sums of them, that are not finite, whatever engine tells
    them: they would go into every record.

    Raises:
        DivergedError: with the first of them.
    """
    wrong = ~np.isfinite(trace.losses) | ~np.isfinite(trace.gradient_norms)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DivergedError(
            f"update {learner.update - len(wrong) + first + 1} has the loss "
            f"{trace.losses[first]:g} and the gradient norm {trace.gradient_norms[first]:g}."
        )
    if not math.isfinite((learner.smooth_loss or 0.0) + learner.pending_loss):
        raise DivergedError(
            f"after update {learner.update:,} the smooth loss is {learner.smooth_loss} and the sum of "
            f"losses since the last record {learner.pending_loss:g}."
        )


def count_losses(learner: Learner, trace: Trace) -> None:
    """Smooth and sum the losses one by one, so that how calls are cut never changes a bit."""
    past, smooth = learner.config.smoothing, learner.smooth_loss
    for loss in trace.losses.tolist():
        smooth = loss if smooth is None else past * smooth + (1 - past) * loss
        learner.pending_loss += loss
    learner.smooth_loss = smooth
    learner.pending_updates += len(trace.losses)


def diverged(learner: Learner, trace: Trace, learning_rate: float) -> DivergedError:
    """The error for an update that an engine refused to apply."""
    return DivergedError(
        f"update {learner.update + 1}, at a learning rate of {learning_rate:g}, was not applied: "
        f"its loss is {trace.failed_loss:g} and its gradient norm {trace.failed_norm:g}."
    )


def sample(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine, given_up: Asked = never_asked
) -> str:
    """What the learner writes at a sample; arguments and errors as `continuation`."""
    return continuation(learner, ids, windows, engine, learner.config.sample_length, given_up)


def continuation(
    learner: Learner,
    ids: AllIds,
    windows: Windows,
    engine: Engine,
    length: int,
    given_up: Asked = never_asked,
    stream: int = 0,
) -> str:
    """How the learner would go on from its first stream's state and next character.

    The random numbers depend on the config's seed, the update and `stream` alone.

    Raises:
        Abandoned: it was given up, between two calls of the engine.
    """
    numbers = uniforms(
        learner.config.seed, "training_sample", length, update=learner.update, stream=stream
    )
    place = windows.place(learner.epoch, learner.position)
    state, read = stream_state(learner.state), ids[place : place + 1]
    size, drawn = tokens_of_a_call(learner, streams=1), list[Ids]()
    for first in range(0, length, size):
        if drawn and given_up():
            raise Abandoned
        part = numbers[first : first + size]
        read, state = engine.generate(learner, read[-1:], Sampler(), part, state)
        drawn.append(read)
    return learner.vocabulary.decode(np.concatenate(drawn))


def passage(learner: Learner, ids: AllIds, engine: Engine, given_up: Asked = never_asked) -> str:
    """The long passage of a learner, `passage_length` characters; errors as `continuation`."""
    windows = Windows.of(learner.config, len(ids))
    length = learner.config.passage_length
    return continuation(learner, ids, windows, engine, length, given_up, PASSAGE_STREAM)


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
