"""Holds the results of a training run, which a command collects from the run's events."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charloom.gradient_check import GradientCheck
    from charloom.training import Ended, FinalEvaluation, Record, TrainingEvent
    from charloom.training.learning_rate_search import LearningRateSearch
    from charloom.training.recent_loss import RecentLoss


class Outcome:
    """The results of one command, such as `train` or `resume`, which trained a run.

    Attributes:
        checks: the gradient checks.
        search: the search for the learning rate before training; None if there was none.
        ended: how training ended; None if there was nothing to train.
        last: the last record that the command wrote; None if it wrote no record.
        recent: the mean loss of the last updates of the command; None if nothing collects it.
        validation_nats: the last validation loss in nats per character; None if none was computed.
        judged: the loss on the whole validation part, computed at the end; None if it was not computed.
        report: path of the report; None if no report was written.
        damage: a message about each damaged or missing file that the report leaves out.
        exit_code: exit code for the signal that stopped the run; 0 if no signal did.
    """

    def __init__(self) -> None:
        self.checks: list[GradientCheck] = []
        self.search: LearningRateSearch | None = None
        self.ended: Ended | None = None
        self.last: Record | None = None
        self.recent: RecentLoss | None = None
        self.validation_nats: float | None = None
        self.judged: FinalEvaluation | None = None
        self.report: Path | None = None
        self.damage: tuple[str, ...] = ()
        self.exit_code = 0

    def note(self, item: "TrainingEvent") -> None:
        """Store `item` if it belongs to the results; ignore other events."""
        from charloom.training import Ended, FinalEvaluation, Record

        if isinstance(item, Ended):
            self.ended = item
        elif isinstance(item, FinalEvaluation):
            self.judged = item
        elif isinstance(item, Record):
            self.last = item
            if self.recent is not None:
                self.recent.add(item.update, item.train_nats)
            if item.validation_nats is not None:
                self.validation_nats = item.validation_nats

    @property
    def trained(self) -> float:
        """Seconds of training of the run up to the last record, without interruptions; 0 without a record."""
        return 0.0 if self.last is None else self.last.seconds

    @property
    def finished(self) -> bool:
        """True if the command trained the run to its end."""
        return self.ended is not None and self.ended.state == "finished"
