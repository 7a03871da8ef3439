"""Training without a disk: `learn`, a copy of the learner to go back to, and one of the best.

It stores nothing; whoever wants to keep what was learnt takes the learner, or the best of it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from charloom.engines import Engine
from charloom.errors import DivergedError
from charloom.model import Learner, copy_learner
from charloom.model.schedule import Schedule
from charloom.store import require_finite
from charloom.text.id_file import AllIds
from charloom.training.divergence import go_back, require_another_try
from charloom.training.items import Ended, Item, Progress, Record, Warned
from charloom.training.learn import learn

COPY_UPDATES: Final = 1_000  # a new copy at the first record after so many


class Best:
    """Holds a copy of a learner as it was at its best judgement on the validation part.

    Attributes:
        learner: the copy, which nobody changes; None before the first judgement.
    """

    def __init__(self) -> None:
        self.learner: Learner | None = None

    def note(self, learner: Learner) -> None:
        """Copy the learner if this is its best update."""
        if learner.config.validation and learner.best_update == learner.update:
            self.learner = copy_learner(learner)


def train_in_memory(
    learner: Learner,
    ids: AllIds,
    engine: Engine,
    halt: Callable[[], str | None] = lambda: None,
    best: Best | None = None,
) -> Iterator[Item]:
    """Train a learner to its end, without a run directory.

    Args:
        learner: changed in place.
        ids: the whole text, shape (characters,).
        engine: what computes.
        halt: asked after each call of the engine, in judgements too; a reason such as "SIGINT" ends the
            training.
        best: where given, it gets a copy of the best learner.

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

    best = best or Best()
    good, good_best = copy_learner(learner), best.learner
    while True:
        try:
            recorded = False
            for item in learn(learner, ids, engine, given_up=gives_up):
                yield item
                recorded = recorded or isinstance(item, Record)
                if not isinstance(item, Progress):
                    continue
                if recorded:
                    best.note(learner)
                if schedule.over(learner):
                    continue
                reason = halt()
                if reason is not None:
                    yield Ended(learner.update, "interrupted", reason)
                    return
                if recorded and learner.update >= good.update + COPY_UPDATES:
                    require_finite(learner)
                    good, good_best = copy_learner(learner), best.learner
                recorded = False
            require_finite(learner)
            if reason is not None:
                yield Ended(learner.update, "interrupted", reason)
                return
            yield Ended(learner.update, "finished", schedule.why_early(learner))
            return
        except DivergedError as error:
            require_another_try(learner, error)
            told = go_back(learner, good, error)
            best.learner = good_best
            yield Warned(learner.update, told)
