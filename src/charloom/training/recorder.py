"""Makes the records of a learner while it trains, and a warning when its loss begins to grow too large."""

from collections.abc import Callable

from charloom.cooperative import Slices
from charloom.engines import Engine, Trace
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.text.all_ids import AllIds
from charloom.training.events import Record, Warned
from charloom.training.progress_records import (
    limited_rate,
    loss_runs_away,
    runaway_warning,
    update_best_loss,
    validation_in_slices,
)


class Recorder:
    """Makes the records of a training run. The speed in a record is the average since the record before.

    Args:
        schedule: says when the validation loss is due.
        ids: the whole text, shape (characters,).
        engine: computes the validation loss.
        clock: returns the seconds of training.
        learner: the learner when the recorder is created.
    """

    def __init__(
        self,
        schedule: Schedule,
        ids: AllIds,
        engine: Engine,
        clock: Callable[[], float],
        learner: Learner,
    ) -> None:
        self._schedule = schedule
        self._ids = ids
        self._engine = engine
        self._clock = clock
        # The update and the time in seconds of the last record.
        self._update, self._seconds = learner.update, clock()
        # A recorder is made again when the end of the run moves. It must not repeat a warning.
        self._running_away = loss_runs_away(learner)

    def record_in_slices(self, learner: Learner, trace: Trace) -> Slices[list[Record | Warned]]:
        """Return a generator that makes the record of the learner's last update.

        If the validation loss is due, the generator computes it, and yields after each call of the engine.
        It updates the learner's best loss and sets the learner's sums of losses to zero.

        Args:
            learner: the learner after the update.
            trace: the losses and gradient norms of the last call of the engine.

        Returns:
            A list with the record, and with a warning if the loss has begun to grow far too large.
        """
        config, windows, seconds = learner.config, self._schedule.windows, self._clock()
        characters = (learner.update - self._update) * config.seq_length * config.batch_size
        speed = limited_rate(characters, seconds - self._seconds)
        # Read the learning-rate factor before the evaluation. A command during the evaluation may change the
        # factor, but only for later updates.
        (rate,) = (
            self._schedule.learning_rates(learner.update - 1, 1) * learner.learning_rate_factor
        )
        nats = None
        if self._schedule.evaluation_due(learner.update):
            nats = yield from validation_in_slices(learner, self._ids, windows, self._engine)
        record = Record(
            update=learner.update,
            epoch=learner.update / windows.per_epoch,
            characters=learner.update * config.seq_length * config.batch_size,
            seconds=round(seconds, 3),
            loss=float(trace.losses[-1]),
            smooth_loss=learner.smooth_loss or 0.0,
            train_nats=learner.pending_loss / (learner.pending_updates * config.seq_length),
            learning_rate=float(rate),
            gradient_norm=float(trace.gradient_norms[-1]),
            characters_per_second=speed,
            validation_nats=nats,
        )
        learner.pending_loss, learner.pending_updates = 0.0, 0
        update_best_loss(learner, record)
        self._update, self._seconds = learner.update, self._clock()
        before, self._running_away = self._running_away, loss_runs_away(learner)
        if self._running_away and not before:
            return [record, Warned(learner.update, runaway_warning(learner))]
        return [record]
