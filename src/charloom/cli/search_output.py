"""Searches for the learning rate of a run: shows the progress, and prints the losses of the trials."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from charloom.cli.terminal import LINE_SECONDS, say, say_sentence
from charloom.cli.waiting import REFRESHES
from charloom.formatting import duration, one_of
from charloom.messages import SEARCHING

if TYPE_CHECKING:
    from charloom.api import LearningRateSearch
    from charloom.api.training_plan import FoundRate
    from charloom.model import Learner
    from charloom.text import Corpus


def search_rate(
    corpus: "Corpus",
    minutes: float | None,
    model: "Learner | None",
    settings: dict[str, Any],
    end_if_interrupted: Callable[[], None],
) -> "FoundRate":
    """Search for the learning rate of a run, print the losses and the chosen rate, and return the result.

    `end_if_interrupted` is called again and again, and ends the search by an exception. The other arguments are
    those of `api.search_before_training`.
    """
    from charloom import api

    with search_progress() as show:

        def listener(done: int, most: int) -> None:
            end_if_interrupted()
            show(done, most)

        found = api.search_before_training(
            corpus, minutes, model=model, listener=listener, on_message=say_sentence, **settings
        )
    for line in loss_table(found.search, one_of(corpus.vocabulary.tokens)):
        say(line)
    say(
        f"the learning rate is {found.search.learning_rate:g}, which has the lowest loss in the longest trials. "
        f"The search took {duration(found.seconds)}."
    )
    return found


def loss_table(search: "LearningRateSearch", one: str) -> Iterator[str]:
    """Yield the lines of a table with the loss of each trial: a row for each rate, a column for each round.

    `one` is the unit of prediction: character or byte.
    """
    from charloom.training.learning_rate_search import loss_text

    columns = [
        dict(zip(trials.learning_rates, trials.losses, strict=True)) for trials in search.rounds
    ]
    yield f"the loss of the trials in nats per {one}, by their learning rate and number of updates:"
    yield "    rate" + "".join(f"{trials.updates:>10,}" for trials in search.rounds)
    for rate in sorted(set().union(*columns)):
        cells = [loss_text(column[rate]) if rate in column else "" for column in columns]
        yield f"{rate:>8g}{''.join(f'{cell:>10}' for cell in cells)}".rstrip()


@contextmanager
def search_progress() -> Iterator[Callable[[int, int], object]]:
    """Return a context manager that gives a function to call with the updates done and the most updates.

    On a terminal, the function shows the progress in one line, which is removed at the end of the `with`
    block. Otherwise a line is printed at the start and every few seconds.
    """
    if not sys.stderr.isatty():
        yield ProgressLines()
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("charloom: {task.description}: {task.percentage:.0f} %", markup=False),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, refresh_per_second=REFRESHES) as lines:
        task = lines.add_task(SEARCHING, total=1)
        yield lambda done, most: lines.update(task, completed=done, total=most)


class ProgressLines:
    """Prints that a search begins, and then how far it is, a line every few seconds.

    Call an object of this class with the number of updates done and the most updates.
    """

    def __init__(self) -> None:
        say(f"{SEARCHING} …")
        self._next = time.monotonic() + LINE_SECONDS

    def __call__(self, done: int, most: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            say(f"{SEARCHING}: {done:,} of at most {most:,} updates")
