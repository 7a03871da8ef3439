"""Changes the end of a run while it trains. The learning rate never rises because of the change."""

from dataclasses import replace

from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.training.events import EndChanged


def change_end(
    learner: Learner, schedule: Schedule, updates: int, most_factor: float
) -> tuple[Schedule, EndChanged]:
    """Change the end of a learner's run in its config, and its learning-rate factor.

    A later end would raise the learning rate of a cosine. The factor then becomes so much smaller that
    the next update has the same learning rate as with the earlier end. After an earlier end, the factor
    returns towards `most_factor`, but not so far that the learning rate rises.

    Args:
        learner: changed in place. Its last update must be complete.
        schedule: the schedule of the run with its present end.
        updates: the new end, later than the learner's last update.
        most_factor: the factor that a user or a rollback set last, or with which the run was opened.

    Returns:
        The schedule with the new end, and the event of the change.
    """
    after = replace(schedule, config=learner.config.replace(updates=updates))
    (old,), (new,) = (each.learning_rates(learner.update, 1) for each in (schedule, after))
    factor = learner.learning_rate_factor
    if most_factor * new <= factor * old:
        factor = most_factor
    else:
        factor *= float(old / new)
    learner.config, learner.learning_rate_factor = after.config, factor
    return after, EndChanged(learner.update, updates, schedule.updates, factor)
