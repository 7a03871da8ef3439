"""Measures from which state a model of the classic experiment writes well, and how its units are saturated.

    python benchmarks/start_state.py kjv-nt [--seeds 5] [--epochs 10] [--change warmup=1000] [--zero-every 40]

After each epoch, 200 lines of the text are scored: the nats of the 100 characters after the line's first one.
They are read in the right context (after the 512 characters before the line), and from these states:

    zero       the zero state, which reads the line from its first character, like a prompt
    zero+\\n    the zero state, which reads a line feed first, as without a prompt
    carried    the state at the end of the epoch, which reads the line from its first character
    carried+\n the same, which reads a line feed first
    line       the state before the last line feed of the text, which reads this line feed first

Each figure is the mean excess in nats per character over the right context. In brackets: how many of 100 lines
have an excess of more than 1. "lost" says how many of 100 lines are still read with another hidden state after
1,000 characters. "saturated" is the share of units with |h| > 0.99. "reset" is how much the smooth loss rises at
most in the 2,000 updates after the reset of the state with which the epoch began.

`--change` changes a setting of the recipe, and can be repeated. `--zero-every N` sets the state to zero every N
updates during training. `--recipe` measures another recipe than classic.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine, open_engine
from charloom.model import Learner, State, averaged, new_learner, zero_state
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.text import Corpus
from charloom.training.loop import apply_updates
from charloom.training.ngram_counting import choose_missing_pairs, count_missing_ngrams

LINES: Final = 200
COUNTED: Final = 100  # characters of each line (and after it) whose nats are counted
CONTEXT: Final = 512
LONG: Final = 1_000
AFTER_RESET: Final = 2_000  # updates
SATURATED: Final = 0.99
LOST: Final = 0.01  # largest difference of a unit's value between two states that count as the same

Ids = NDArray[Any]


@dataclass(frozen=True)
class Excess:
    """How much worse lines are predicted from a state than in the right context.

    Attributes:
        nats: the mean excess in nats per character.
        bad: the share of lines with an excess of more than 1 nat per character.
    """

    nats: float
    bad: float

    def __str__(self) -> str:
        return f"{self.nats:6.3f} ({100 * self.bad:3.0f})"


class Lines:
    """The lines of a text at which the starts are measured.

    Args:
        engine: the engine that reads them.
        ids: the whole text.
        line_feed: the id of a line feed.
    """

    def __init__(self, engine: Engine, ids: Ids, line_feed: int) -> None:
        self._engine, self._ids = engine, ids
        feeds = np.flatnonzero(ids == line_feed)
        self._last = int(feeds[-1])
        feeds = feeds[(feeds >= CONTEXT) & (feeds < len(ids) - LONG - 2)]
        self._feeds = feeds[np.linspace(0, len(feeds) - 1, LINES).astype(int)]

    def measure(self, learner: Learner) -> dict[str, Any]:
        """Return the excess of each start, and the share of lines on which the zero state is lost."""
        zero = zero_state(learner.config, LINES)
        carried = repeated(learner.state)
        right = self._after(learner, carried, CONTEXT)
        line = repeated(self.before_last_line_feed(learner))
        context = self._nats(learner, right, 0)
        starts = {
            "zero": (zero, 1),
            "zero+\\n": (zero, 0),
            "carried": (carried, 1),
            "carried+\\n": (carried, 0),
            "line": (line, 0),
        }
        found: dict[str, Any] = {
            name: excess(self._nats(learner, state, skipped) - context)
            for name, (state, skipped) in starts.items()
        }
        ends = (self._end(learner, state) for state in (zero, right))
        apart = np.abs(next(ends) - next(ends)).max(axis=0)
        return {**found, "lost": float((apart > LOST).mean()), "context": float(context.mean())}

    def before_last_line_feed(self, learner: Learner) -> State:
        """Return the state before the last line feed of the text, after 512 characters read from the carried state."""
        tokens = self._ids[self._last - CONTEXT : self._last + 1, np.newaxis]
        state = {name: array[:, :1] for name, array in learner.state.items()}
        return self._engine.score(learner, np.ascontiguousarray(tokens), state)[1]

    def _nats(self, learner: Learner, state: State, skipped: int) -> NDArray[np.float64]:
        """Return the mean nats of the counted characters of each line, read from `state`, shape (LINES,).

        Reading begins `skipped` characters after the line feed before the line.
        """
        nats, _ = self._engine.score(learner, self._columns(skipped, COUNTED + 2), state)
        return np.asarray(nats[-COUNTED:].mean(axis=0))

    def _after(self, learner: Learner, state: State, count: int) -> State:
        """Return the states before the line feeds, after the `count` characters before them were read from `state`."""
        return self._engine.score(learner, self._columns(-count, 1), state)[1]

    def _end(self, learner: Learner, state: State) -> NDArray[np.float64]:
        """Return the hidden state of the top layer after 1,000 characters from the line feeds on, shape (H, LINES)."""
        _, end = self._engine.score(learner, self._columns(0, LONG + 1), state)
        return np.asarray(end["h"][-1].T, np.float64)

    def _columns(self, first: int, end: int) -> Ids:
        """Return the ids from `first` to before `end`, counted from each line feed, shape (ids, LINES)."""
        return np.ascontiguousarray(self._ids[self._feeds + np.arange(first, end)[:, np.newaxis]])


def repeated(state: State) -> State:
    """Return the state of the first stream for each line."""
    return {name: np.repeat(array[:, :1], LINES, axis=1) for name, array in state.items()}


def excess(differences: NDArray[np.float64]) -> Excess:
    """Return the mean of the lines' excesses, and the share of those above 1."""
    return Excess(float(differences.mean()), float((differences > 1).mean()))


def train(
    learner: Learner, ids: Ids, engine: Engine, zero_every: int
) -> Iterator[tuple[float, float]]:
    """Train a learner, and yield after each epoch how much the smooth loss rose after the epoch's beginning.

    Yields:
        The rise at most in the 2,000 updates after the reset, and the smooth loss.
    """
    schedule = Schedule.of(learner.config, len(ids))
    step = zero_every or 100
    before, rise = learner.smooth_loss, 0.0
    while learner.update < schedule.updates:
        left = schedule.windows.per_epoch - learner.update % schedule.windows.per_epoch
        if zero_every:
            learner.state = zero_state(learner.config, learner.config.batch_size)
        apply_updates(learner, ids, engine, schedule, min(step, left))
        done = learner.update % schedule.windows.per_epoch
        if before is not None and 0 < done <= AFTER_RESET:
            rise = max(rise, (learner.smooth_loss or 0.0) - before)
        if not done:
            yield rise, learner.smooth_loss or 0.0
            before, rise = learner.smooth_loss, 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--recipe", default="classic")
    parser.add_argument("--change", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--zero-every", type=int, default=0, metavar="UPDATES")
    options = parser.parse_args()
    changes = dict(change.split("=") for change in options.change)
    corpus = Corpus.open([options.text])
    ids = np.asarray(corpus.ids)
    engine = open_engine(threads=1)
    lines = Lines(engine, ids, int(corpus.vocabulary.encode("\n")[0]))
    print(f"{corpus.name}: {len(ids):,} characters, K = {len(corpus.vocabulary)}; {options}")
    for seed in range(options.first, options.first + options.seeds):
        settings = configure(options.recipe, seed=seed, epochs=options.epochs, threads=1)
        config = settings.replace(**{name: typed(settings, name, v) for name, v in changes.items()})
        learner = new_learner(config, corpus.vocabulary)
        count_missing_ngrams(learner, ids, engine)
        choose_missing_pairs(learner, ids)
        for rise, smooth in train(learner, ids, engine, options.zero_every):
            found = lines.measure(averaged(learner))
            context, lost = found.pop("context"), found.pop("lost")
            saturated = float((np.abs(learner.state["h"]) > SATURATED).mean())
            starts = "  ".join(f"{name} {value}" for name, value in found.items())
            print(
                f"seed {seed} epoch {learner.epoch:2}: smooth {smooth:6.2f}, reset {rise:+6.2f}, "
                f"saturated {saturated:.2f}, context {context:.3f}; {starts}; lost {100 * lost:3.0f}",
                flush=True,
            )


def typed(settings: Any, name: str, value: str) -> Any:
    """Return the value of a setting, which was given as text, in the type of its present value."""
    return type(getattr(settings, name))(value)


if __name__ == "__main__":
    main()
