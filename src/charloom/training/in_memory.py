"""Trains in memory: runs `learn`, and keeps a copy of an earlier state and a copy of the best learner.

Training goes back to the earlier state if a number is not finite. This module writes nothing to disk. The
caller can save the learner or the copy of the best learner.
"""

from collections.abc import Callable, Iterator
from typing import Final

from charloom.engines import Engine
from charloom.errors import DivergedError
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
from charloom.store import require_finite
from charloom.text.all_ids import AllIds
from charloom.training.callbacks import NO_CALLBACKS, Callbacks
from charloom.training.divergence import go_back, require_another_try
from charloom.training.end_change import change_end
from charloom.training.events import Ended, Progress, Record, TrainingEvent, Warned
from charloom.training.loop import Stopwatch, learn
from charloom.training.time_limit import EndPlanner, TimeLimit

# Copy the learner at a record if at least this many updates were applied since the last copy.
COPY_UPDATES: Final = 1_000


class Best:
    """A copy of a learner at its lowest validation loss.

    Attributes:
        learner: the copy, which training does not change. None before the validation loss is first
            computed, and always if there is no validation part.
    """

    def __init__(self) -> None:
        self.learner: Learner | None = None

    def copy_if_best(self, learner: Learner) -> None:
        """Copy the learner if its last update has the lowest validation loss so far.

        Do nothing if there is no validation part.
        """
        if learner.config.validation and learner.best_update == learner.update:
            self.learner = copy_learner(learner)


def train_in_memory(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
    best: Best | None = None,
    limit: TimeLimit | None = None,
    curve_only: bool = False,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Iterator[TrainingEvent]:
    """Train a learner to the end of its run, without a run directory.

    Yields the events of `learn`, and `Ended` last. If a number is not finite, yields a warning and goes
    back to an earlier update. The records and samples after this update are then yielded a second time.

    Args:
        learner: changed in place.
        ids: the whole text, shape (characters,).
        engine: computes the updates.
        halt: called after each call of the engine, also during evaluations and samples. If it returns a
            string such as "SIGINT", training ends for this reason. If it returns None, training
            continues.
        best: receives a copy of the best learner.
        limit: the time at which training must end, as for `train_run`.
        curve_only: leave out the samples and the measurement of the starts, as for `learn`.
        callbacks: called when the events of an update were yielded. A reason to stop ends training as stopped.

    Raises:
        DivergedError: a number was not finite, and going back to an earlier update did not help.
        TextError: the text is too short to be divided as the config says.
    """
    schedule = Schedule.of_text(learner.config, ids)
    reason: str | None = None

    def is_cancelled(_: Learner) -> bool:
        nonlocal reason
        reason = halt()
        return reason is not None

    best, watch, next_end = best or Best(), Stopwatch(), callbacks.next_due
    planner, factor = EndPlanner(limit, watch()), learner.learning_rate_factor
    good, good_best = copy_learner(learner), best.learner
    while True:
        try:
            recorded = False
            for item in learn(learner, ids, engine, watch, is_cancelled, curve_only, next_end):
                yield item
                recorded = recorded or isinstance(item, Record)
                if not isinstance(item, Progress):
                    continue
                stopped = callbacks.call(learner)
                if recorded:
                    best.copy_if_best(learner)
                if schedule.is_finished(learner):
                    continue
                reason = halt()
                if (ended := early_end(learner, stopped, reason)) is not None:
                    yield ended
                    return
                if recorded and learner.update >= good.update + COPY_UPDATES:
                    require_finite(learner)
                    good, good_best = copy_learner(learner), best.learner
                recorded = False
                end = planner.new_end(schedule, learner.update, watch())
                if end is not None:
                    schedule, changed = change_end(learner, schedule, end, factor)
                    yield changed
                    break
            else:
                require_finite(learner)
                yield early_end(learner, None, reason) or last_end(learner, schedule, best)
                return
        except DivergedError as error:
            if error is callbacks.error:
                raise
            require_another_try(learner, error)
            message = go_back(learner, good, error)
            best.learner, factor = good_best, learner.learning_rate_factor
            yield Warned(learner.update, message)


def early_end(learner: Learner, stopped: str | None, reason: str | None) -> Ended | None:
    """Return the last event of a run that a callback or `halt` ends early; None if neither does.

    Args:
        learner: the run's learner.
        stopped: the reason of a callback; None if none stops the run.
        reason: the reason of `halt`; None if it does not end the run.
    """
    if stopped is not None:
        return Ended(learner.update, "stopped", stopped)
    return None if reason is None else Ended(learner.update, "interrupted", reason)


def last_end(learner: Learner, schedule: Schedule, best: Best) -> Ended:
    """Return the last event of a run that has reached its end."""
    kept = best.learner or learner
    early = schedule.early_end_reason(learner)
    return Ended(learner.update, "finished", early, kept.start_losses)
