"""Training without a disk: `learn`, and a copy of the learner to go back to.

It stores nothing; whoever wants to keep what was learnt takes the learner.
"""

from collections.abc import Callable, Iterator
from typing import Final

from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import DivergedError
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
from charloom.store import require_finite
from charloom.training.divergence import go_back, require_another_try
from charloom.training.items import Ended, Item, Progress, Record, Warned
from charloom.training.learn import learn

COPY_UPDATES: Final = 1_000  # a new copy at the first record after so many


def train_in_memory(
    learner: Learner,
    ids: Ids,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
) -> Iterator[Item]:
    """Train a learner to its end, without a run directory.

    Args:
        learner: changed in place.
        ids: the whole text, shape (characters,).
        engine: what computes.
        halt: asked after each call of the engine, in judgements too; a reason such as "SIGINT" ends the
            training.

    Yields what `learn` yields, and `Ended` last. Where a number stops being finite it warns and
    goes back to an earlier update; records of that update and later come again.

    Raises:
        DivergedError: going back did not help.
        TextError: the text is too short for its division.
    """
    schedule = Schedule.of(learner.config, len(ids))
    reason: str | None = None

    def gives_up(_: Learner) -> bool:
        nonlocal reason
        reason = halt()
        return reason is not None

    good = copy_learner(learner)
    while True:
        try:
            recorded = False
            for item in learn(learner, ids, engine, given_up=gives_up):
                yield item
                recorded = recorded or isinstance(item, Record)
                if not isinstance(item, Progress) or schedule.over(learner):
                    continue
                reason = halt()
                if reason is not None:
                    yield Ended(learner.update, "interrupted", reason)
                    return
                if recorded and learner.update >= good.update + COPY_UPDATES:
                    require_finite(learner)
                    good = copy_learner(learner)
                recorded = False
            require_finite(learner)
            if reason is not None:
                yield Ended(learner.update, "interrupted", reason)
                return
            yield Ended(learner.update, "finished", schedule.why_early(learner))
            return
        except DivergedError as error:
            require_another_try(learner, error)
            yield Warned(learner.update, go_back(learner, good, error))
