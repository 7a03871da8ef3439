"""The training algorithm. It does not use the disk, and no result depends on the clock."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from charloom.cooperative import SliceLoop, Slices, run_all_slices
from charloom.engines import Engine, Sampler, Trace
from charloom.engines.base import Ids
from charloom.errors import DivergedError
from charloom.model import (
    Learner,
    State,
    averaged,
    copy_learner,
    first_stream_state,
    restore_learner,
    zero_state,
)
from charloom.model.schedule import Schedule
from charloom.random import uniforms
from charloom.scoring import tokens_of_a_call
from charloom.text import Windows, windows_of
from charloom.text.all_ids import AllIds
from charloom.text.collection import Collection
from charloom.text.item_ids import ItemIds
from charloom.text.item_text import text_of_items
from charloom.text.window_order import WindowOrder
from charloom.training.events import Progress, Record, Sample, Warned
from charloom.training.ngram_counting import count_missing
from charloom.training.recorder import Recorder
from charloom.training.start_measurement import measure_starts
from charloom.training.window_plan import planned_windows

# Wanted duration of a call of the engine in seconds. It is short, so that Ctrl-C acts immediately.
CALL_SECONDS: Final = 0.1
GROWTH: Final = 8  # the number of updates in a call grows at most by this factor per call
# Number of the series of random numbers for the passage, the long sample at the end of a run. The usual
# samples use series 0.
PASSAGE_SERIES: Final = 1

LearnEvent = Record | Sample | Warned | Progress


T = TypeVar("T")


@dataclass(frozen=True)
class WorkSlice:
    """The event that a call of the engine within an evaluation or a sample is done.

    The learner's present update is not complete, so the learner cannot be saved now.

    Attributes:
        safe: a learner with the state of the last `Progress` event; this learner can be saved instead.
    """

    safe: Learner


def learn(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    clock: Callable[[], float] | None = None,
    is_cancelled: Callable[[Learner], bool] = lambda _: False,
    curve_only: bool = False,
    next_end: Callable[[int], int | None] = lambda _: None,
) -> Iterator[LearnEvent]:
    """Train a learner until all updates or epochs are done, or until its patience runs out.

    Yields records and samples when they are due, a warning if the loss runs away, and a `Progress`
    after each call of the engine that trains. A new run first yields a sample and the `Progress` of
    update 0. Save the learner only at a `Progress`: at any other event, some of its records and samples may
    not have been yielded yet.

    Args:
        learner: changed in place.
        ids: the whole text, shape (characters,), in the vocabulary's id type.
        engine: computes the updates.
        clock: returns the seconds of training; only times and speeds in records depend on it.
        is_cancelled: called after each call of the engine during an evaluation or a sample, because
            these may take long. Its argument is a learner with the state of the last `Progress`, which
            can be saved. If `is_cancelled` returns True, the generator ends and sets `learner` back to
            this state. A later call of `learn` then repeats the updates after the last `Progress`.
        curve_only: yield no samples, and leave the learner's `start_losses` None. The weights and the records
            are the same.
        next_end: called with an update; returns the next update after it for which a `Progress` must come,
            None if it does not matter. How the updates are divided into calls changes no result.

    Raises:
        DivergedError: a loss or gradient was not finite; that update was not applied.
        TextError: the text is too short to be divided as the config says.
    """
    with closing(learn_in_slices(learner, ids, engine, clock, curve_only, next_end)) as items:
        for item in items:
            if not isinstance(item, WorkSlice):
                yield item
            elif is_cancelled(item.safe):
                return


def learn_in_slices(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    clock: Callable[[], float] | None = None,
    curve_only: bool = False,
    next_end: Callable[[int], int | None] = lambda _: None,
) -> Generator[LearnEvent | WorkSlice]:
    """Train a learner as `learn` does, and also yield a `WorkSlice` within evaluations and samples.

    The caller can do other work at a `WorkSlice`. To cancel the evaluation or the sample, close the
    generator there: this sets `learner` back to the state of the last `Progress`.
    """
    clock = clock or Stopwatch()
    schedule = Schedule.of_text(learner.config, ids)
    windows = schedule.windows
    if not schedule.is_finished(learner):
        count_missing(learner, ids, engine)
    if learner.update == 0:
        yield from first_events(learner, ids, engine, schedule, curve_only)
    recorder, call_size = Recorder(schedule, ids, engine, clock, learner), CallSize()
    while not schedule.is_finished(learner):
        count = call_size.limited(learner.update, schedule.next_due, next_end)
        end = learner.update + count
        takes_long = schedule.evaluation_due(end) or schedule.sample_due(end)
        before = copy_learner(learner) if takes_long else learner
        started = time.perf_counter()
        trace = apply_updates(learner, ids, engine, schedule, count)
        call_size.adapt(count, time.perf_counter() - started)
        events = list[LearnEvent]()
        try:
            if schedule.record_due(end):
                recording = recorder.record_in_slices(learner, trace)
                events += yield from with_work_slices(recording, before)
            if not curve_only and (schedule.sample_due(end) or schedule.is_finished(learner)):
                writing = sample_in_slices(learner, ids, windows, engine)
                events += [Sample(end, (yield from with_work_slices(writing, before)))]
            if not curve_only and is_kept_model(learner, schedule):
                measuring = measure_starts(averaged(learner), ids, windows, engine)
                learner.start_losses = yield from with_work_slices(measuring, before)
        except GeneratorExit:
            restore_learner(learner, before)
            raise
        yield from events
        yield Progress(end, schedule.updates, smooth_loss=learner.smooth_loss)


def first_events(
    learner: Learner, ids: AllIds, engine: Engine, schedule: Schedule, curve_only: bool = False
) -> Generator[LearnEvent | WorkSlice]:
    """Write the sample of an untrained learner, and yield it and the progress at update 0."""
    if not curve_only:
        writing = sample_in_slices(learner, ids, schedule.windows, engine)
        yield Sample(0, (yield from with_work_slices(writing, learner)))
    yield Progress(0, schedule.updates)


def is_kept_model(learner: Learner, schedule: Schedule) -> bool:
    """Return True if the learner is the best model so far on the validation part, or the last one of the run."""
    best = schedule.evaluation_due(learner.update) and learner.best_update == learner.update
    return best or schedule.is_finished(learner)


def apply_updates(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    schedule: Schedule,
    count: int,
    rates: NDArray[np.float64] | None = None,
) -> Trace:
    """Apply `count` updates in one call of the engine, and add their losses to the learner's sums.

    All of them must be in one epoch. `rates` are their learning rates, shape (count,); None takes those of the
    schedule, with the learner's factor.

    Returns:
        The losses and gradient norms of the applied updates.

    Raises:
        DivergedError: a loss or gradient is not finite; that update was not applied.
    """
    windows = schedule.windows
    begin_epoch_if_due(learner, windows)
    learner.start_losses = None
    if rates is None:
        rates = schedule.learning_rates(learner.update, count)
        if learner.learning_rate_factor != 1:
            rates = rates * learner.learning_rate_factor
    tokens, plan = planned_windows(learner, ids, schedule, rates)
    trace = engine.train(learner, tokens, plan)
    count_losses(learner, trace)
    require_finite_trace(learner, trace)
    if trace.stopped:
        raise divergence_error(learner, trace, float(rates[len(trace.losses)]))
    if learner.position >= windows.epoch_length:
        learner.epoch += 1
    return trace


def begin_epoch_if_due(learner: Learner, windows: Windows) -> None:
    """Set the position and the hidden state of a learner to zero if it has read the whole epoch.

    This is done when an epoch starts, not when the epoch before it ends: the sample and the checkpoint at the end
    of an epoch need the epoch's last hidden state.
    """
    if learner.position >= windows.epoch_length:
        learner.position = 0
        learner.state = zero_state(learner.config, learner.config.batch_size)


@dataclass
class CallSize:
    """Adapts the number of updates in a call of the engine, so that a call takes about `CALL_SECONDS`.

    Attributes:
        updates: largest number of updates in the next call.
    """

    updates: int = 1

    def limited(self, done: int, *next_ends: Callable[[int], int | None]) -> int:
        """Return the number of updates of the next call, which begins after `done` updates.

        Each of `next_ends` returns the next update at which a call must end; None if it does not matter.
        """
        ends = [end for next_end in next_ends if (end := next_end(done)) is not None]
        return min(self.updates, *(end - done for end in ends))

    def adapt(self, count: int, seconds: float) -> None:
        """Set `updates` for the next call, after a call with `count` updates took `seconds`."""
        wanted = int(CALL_SECONDS * count / max(seconds, 1e-9))
        self.updates = max(1, min(GROWTH * self.updates, wanted))


def with_work_slices(slices: Slices[T], safe: Learner) -> Generator[WorkSlice, None, T]:
    """Run the generator `slices` to its end and return its result.

    Each time that `slices` yields, yield a `WorkSlice` event with the learner `safe`.
    """
    loop = SliceLoop(slices)
    for _ in loop:
        yield WorkSlice(safe)
    return loop.result


def require_finite_trace(learner: Learner, trace: Trace) -> None:
    """Raise DivergedError if a loss, a gradient norm or a sum of losses is not finite.

    Without this check, all later records would have numbers that are not finite.

    Raises:
        DivergedError: the message gives the number that is not finite, and its update.
    """
    sums = (learner.smooth_loss or 0.0) + learner.pending_loss  # has each of the losses
    if math.isfinite(sums + sum(trace.gradient_norms.tolist())):
        return
    wrong = ~np.isfinite(trace.losses) | ~np.isfinite(trace.gradient_norms)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DivergedError(
            f"update {learner.update - len(wrong) + first + 1:,} has the loss "
            f"{trace.losses[first]:g} and the gradient norm {trace.gradient_norms[first]:g}."
        )
    if not math.isfinite(sums):
        raise DivergedError(
            f"after update {learner.update:,} the smooth loss is {learner.smooth_loss} and the sum of "
            f"losses since the last record {learner.pending_loss:g}."
        )


def count_losses(learner: Learner, trace: Trace) -> None:
    """Update the learner's smooth loss and sum of losses with the losses of the applied updates.

    Adds the losses one by one. So the result does not depend on how many updates a call applies.
    """
    past, smooth, pending = learner.config.smoothing, learner.smooth_loss, learner.pending_loss
    losses = trace.losses.tolist()
    for loss in losses:
        smooth = loss if smooth is None else past * smooth + (1 - past) * loss
        pending += loss
    learner.smooth_loss, learner.pending_loss = smooth, pending
    learner.pending_updates += len(losses)


def divergence_error(learner: Learner, trace: Trace, learning_rate: float) -> DivergedError:
    """Return the error that an update was not applied because its loss or gradient is not finite."""
    return DivergedError(
        f"update {learner.update + 1:,}, at a learning rate of {learning_rate:g}, was not applied: "
        f"its loss is {trace.failed_loss:g} and its gradient norm {trace.failed_norm:g}."
    )


def sample(learner: Learner, ids: AllIds, windows: Windows, engine: Engine) -> str:
    """Return a sample of as many characters as the setting `sample_length` says.

    The arguments are those of `continuation_in_slices`.
    """
    return run_all_slices(sample_in_slices(learner, ids, windows, engine))


def sample_in_slices(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine
) -> Slices[str]:
    """Return a generator that yields after each call of the engine and at its end returns a sample.

    The sample has `sample_length` characters. The arguments are those of `continuation_in_slices`.
    """
    return continuation_in_slices(learner, ids, windows, engine, learner.config.sample_length)


def passage(learner: Learner, ids: AllIds, engine: Engine) -> str:
    """Return the long sample at the end of a run, of as many characters as `passage_length` says.

    The arguments are those of `continuation_in_slices`.
    """
    return run_all_slices(passage_in_slices(learner, ids, engine))


def passage_in_slices(learner: Learner, ids: AllIds, engine: Engine) -> Slices[str]:
    """Return a generator that yields after each call of the engine and at its end returns the passage.

    The passage is the long sample at the end of a run, with `passage_length` characters. The arguments are
    those of `continuation_in_slices`.
    """
    windows = windows_of(learner.config, ids)
    length = learner.config.passage_length
    return continuation_in_slices(learner, ids, windows, engine, length, PASSAGE_SERIES)


def continuation_in_slices(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine, length: int, series: int = 0
) -> Slices[str]:
    """Return a generator that samples a continuation of the training text in the learner's first stream.

    The generator yields between two calls of the engine and at its end returns the sampled text. The model
    first reads the next character of the training text and then draws `length` characters. A model of items reads
    the boundary instead and draws new items; the last one may be incomplete. The random
    numbers depend only on the config's seed, the update and `series`.

    Args:
        learner: not changed; its model writes, from the hidden state of its first stream.
        ids: the whole text, shape (characters,).
        windows: the windows of the text.
        engine: computes the probabilities.
        length: number of characters to draw.
        series: number of the series of random numbers.
    """
    model = averaged(learner)
    numbers = uniforms(
        learner.config.seed, "training_sample", length, update=learner.update, stream=series
    )
    state, read = sample_start(learner, ids, windows)
    size, drawn = tokens_of_a_call(learner, streams=1), list[Ids]()
    for first in range(0, length, size):
        if drawn:
            yield
        part = numbers[first : first + size]
        read, state = engine.generate(model, read[-1:], Sampler(), part, state)
        drawn.append(read)
    text = np.concatenate(drawn)
    collection = Collection.of(learner.config)
    return (
        text_of_items(collection, learner.vocabulary, text)
        if collection
        else learner.vocabulary.decode(text)
    )


def sample_start(learner: Learner, ids: AllIds, windows: Windows) -> tuple[State, Ids]:
    """Return the state in which a sample begins, and the id that it reads first, shape (1,).

    Items are written from the zero state, after the boundary. A sample of a stream continues the training text.
    """
    if isinstance(ids, ItemIds):
        return zero_state(learner.config), np.array([ids.boundary], dtype=ids.dtype)
    place = WindowOrder.of(learner.config, windows).place(learner.epoch, learner.position)
    return first_stream_state(learner.state), ids[place : place + 1]


class Stopwatch:
    """Counts the seconds of training, beginning at `seconds`. It can be stopped during a pause."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = time.monotonic()

    def __call__(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    def stop(self) -> None:
        """Stop counting the seconds."""
        self._before, self._since = self(), None

    def start(self) -> None:
        """Start to count the seconds again, after `stop` has stopped the count."""
        self._since = time.monotonic()
