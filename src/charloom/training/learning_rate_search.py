"""Searches for a good learning rate: trains copies of a new learner at several rates, and continues the best.

All trials read the same windows and begin with the same weights, so their losses can be compared. No result
depends on the clock or the disk (spec/mathematics.md: Searching for a learning rate).
"""

import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from charloom.engines import Engine
from charloom.errors import DivergedError
from charloom.formatting import counted, decimals
from charloom.messages import argument
from charloom.model import Learner, copy_learner
from charloom.model.learner import release_arrays
from charloom.model.schedule import Schedule
from charloom.notebook_html import card, sentence, table
from charloom.text.all_ids import AllIds
from charloom.training.loop import CallSize, apply_updates
from charloom.training.ngram_counting import count_missing

STEPS_PER_DECADE: Final = 4  # steps of the scale of learning rates that make a factor of 10
# The first round tries every second step of the scale: the rates 0.00001, 0.000032, … 3.2, 10.
FIRST_STEPS: Final = range(-20, 5, 2)
KEPT: Final = (5, 3)  # how many trials continue after the first and after the second round
# The most learners in memory at a time: the first one, the trials that continue, the one that trains, and the one
# before it.
COPIES: Final = KEPT[0] + 3
LEAST_UPDATES: Final = (
    12  # of the longest trials; the trials of the first round have a quarter of them
)
# The most updates that all trials have together, as a multiple of the updates of the longest trials: a
# quarter in each trial of the first round, and so on. The last round has two new trials.
MOST_WORK: Final = (len(FIRST_STEPS) + KEPT[0]) / 4 + KEPT[1] / 2 + 2


@dataclass(frozen=True)
class SearchRound:
    """The trials that are compared after the same number of updates.

    Attributes:
        updates: the number of updates of each trial.
        learning_rates: the learning rate of each trial, ascending.
        losses: the training loss of each trial in nats per character, the mean over the second half of its
            updates. None if a loss or a gradient was not finite.
    """

    updates: int
    learning_rates: tuple[float, ...]
    losses: tuple[float | None, ...]

    @classmethod
    def of(cls, updates: int, losses: Mapping[int, float | None]) -> "SearchRound":
        """Return a round from the losses of its trials by their steps on the scale of learning rates."""
        steps = sorted(losses)
        return cls(updates, tuple(map(rate_of, steps)), tuple(losses[step] for step in steps))


@dataclass(frozen=True)
class LearningRateSearch:
    """The result of a search for a learning rate. A notebook shows the losses of all trials as a table.

    Attributes:
        learning_rate: the chosen rate, which has the lowest loss in the last round.
        rounds: three rounds, with longer and longer trials at fewer and fewer rates. The second and the last
            round continue the best trials of the round before. The last round also has new trials, at the
            rates beside the best one.
    """

    learning_rate: float
    rounds: tuple[SearchRound, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain data: a dict of numbers and lists."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Return the losses of all trials as a table, as HTML for a notebook."""
        columns = [dict(zip(one.learning_rates, one.losses, strict=True)) for one in self.rounds]
        rates = sorted(set().union(*columns))
        rows = [
            [
                f"{rate:g}",
                *(loss_text(column[rate]) if rate in column else "" for column in columns),
            ]
            for rate in rates
        ]
        headings = [
            "learning rate",
            *(f"after {counted(one.updates, 'update')}" for one in self.rounds),
        ]
        bold = [rates.index(self.learning_rate)] if self.learning_rate in rates else []
        return card(
            f"The learning rate {self.learning_rate:g} has the lowest loss in the longest trials",
            sentence("Training loss of each trial in nats per character or byte:"),
            table(headings, rows, bold),
        )


def loss_text(loss: float | None) -> str:
    """Return the loss of a trial as text."""
    return "diverged" if loss is None else decimals(loss, 3)


class Trial:
    """The training of a copy of a new learner at one constant learning rate.

    Args:
        step: the step of the learning rate on the scale.
        start: the learner before its first update, which does not change.
    """

    def __init__(self, step: int, start: Learner) -> None:
        self.step = step
        self.loss: float | None = None  # as in `SearchRound.losses`
        self._losses: list[float] = []
        self._learner = copy_learner(start)
        # A warm-up would hide in short trials that a rate is too large.
        self._learner.config = replace(
            start.config,
            learning_rate=rate_of(step),
            schedule="constant",
            warmup=0,
            warmup_epochs=None,
        )

    def train(self, until: int, ids: AllIds, engine: Engine) -> Generator[int]:
        """Train until an update, or until a number is not finite; yield the updates of each engine call."""
        learner, size = self._learner, CallSize()
        schedule = Schedule.of_text(learner.config, ids)
        while learner.update < until:
            left = schedule.windows.left_in_epoch(learner.position) or schedule.windows.per_epoch
            count = min(size.updates, until - learner.update, left)
            began = time.perf_counter()
            try:
                trace = apply_updates(learner, ids, engine, schedule, count)
            except DivergedError:
                self.loss = None
                return
            size.adapt(count, time.perf_counter() - began)
            self._losses += trace.losses.tolist()
            yield count
        release_arrays(learner)  # only the trial that is trained needs memory for gradients
        late = self._losses[until // 2 :]
        self.loss = sum(late) / len(late) / learner.config.seq_length


def rate_of(step: int) -> float:
    """Return the learning rate at a step of the scale, rounded to two digits; step 0 is the rate 1."""
    return float(f"{10 ** (step / STEPS_PER_DECADE):.1e}")


def search_learning_rate(
    start: Learner, ids: AllIds, engine: Engine, updates: int, *, rate_allowed: bool = True
) -> Generator[int, None, LearningRateSearch]:
    """Return a generator that trains the trials and at its end returns the result of the search.

    The generator yields the number of updates of each call of the engine. Their sum is at most `MOST_WORK`
    times `updates`.

    Args:
        start: the learner of the run before its first update. Only its n-grams and pairs change: they are counted.
        ids: the whole text, shape (characters,).
        engine: computes the updates.
        updates: number of updates of the longest trials, at least `LEAST_UPDATES`.
        rate_allowed: True if the user may give `learning_rate` instead of a search, as for a training run. If
            all trials diverge, the message says so.

    Raises:
        ConfigError: counting the n-grams needs more memory than this process may use.
        DivergedError: at every learning rate, a loss or a gradient was not finite.
        TextError: the text is too short to be divided as the config says.
    """
    count_missing(start, ids, engine)
    compared = partial(compare, ids=ids, engine=engine, rate_allowed=rate_allowed)
    trials: Iterable[Trial] = (Trial(step, start) for step in FIRST_STEPS)
    rounds = []
    for length, kept in zip((updates // 4, updates // 2), KEPT, strict=True):
        losses, trials = yield from compared(trials, kept, length)
        rounds.append(SearchRound.of(length, losses))
    losses, trials = yield from compared(trials, 1, updates)
    best = trials[0].step
    beside = (Trial(step, start) for step in (best - 1, best + 1))
    more, found = yield from compared([*trials, *beside], 1, updates)
    rounds.append(SearchRound.of(updates, {**losses, **more}))
    return LearningRateSearch(rate_of(found[0].step), tuple(rounds))


def compare(
    trials: Iterable[Trial],
    kept: int,
    updates: int,
    *,
    ids: AllIds,
    engine: Engine,
    rate_allowed: bool,
) -> Generator[int, None, tuple[dict[int, float | None], list[Trial]]]:
    """Return a generator that trains trials until `updates` and returns their losses and the best trials.

    The losses are by the steps of the learning rates. Up to `kept` trials are the best ones, the best first.
    `search_learning_rate` describes the other arguments.

    Raises:
        DivergedError: no trial has a finite loss.
    """
    losses: dict[int, float | None] = {}
    best: list[tuple[float, int, Trial]] = []
    for trial in trials:
        yield from trial.train(updates, ids, engine)
        losses[trial.step] = trial.loss
        if trial.loss is not None:
            # Drop all other trials immediately: each needs as much memory as the run itself.
            best = sorted([*best, (trial.loss, trial.step, trial)])[:kept]
    if not best:
        instead = f", or give {argument('learning_rate')}" if rate_allowed else ""
        raise DivergedError(
            f"no learning rate was found: at each of the {len(losses)} rates from {rate_of(min(losses)):g} to "
            f"{rate_of(max(losses)):g}, a loss or a gradient was not finite within {updates:,} updates. Check the "
            f"other settings, such as {argument('clip')} and {argument('sigma')}{instead}."
        )
    return losses, [trial for _, _, trial in best]
