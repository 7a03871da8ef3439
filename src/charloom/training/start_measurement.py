"""Measures how well a model predicts its text from the states in which it can begin to write.

See spec/mathematics.md: Sampling.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.cooperative import Slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.model import Learner, StartLosses, State, first_stream_state, start_id, zero_state
from charloom.scoring import tokens_of_a_call
from charloom.text import Windows
from charloom.text.all_ids import AllIds, side_by_side
from charloom.text.item_ids import ItemIds

MOST_LINES: Final = 64
# At most one line for this many characters of the training part, so that measuring takes less than a tenth of the
# time of an epoch, even if each epoch has a better model than those before.
SPACING: Final = 2_000
CONTEXT: Final = 128  # characters that are read before a line
SEARCHED: Final = 200  # characters in which the beginning of a line is searched
COUNTED: Final = 100  # characters of each line whose losses are counted
DIGITS: Final = 4  # decimals of a loss
# Characters of the text that are read for a line: its context; the searched characters; the line's first
# character, which is never counted; and the counted characters.
NEEDED: Final = CONTEXT + SEARCHED + 1 + COUNTED


def measure_starts(
    learner: Learner, ids: AllIds, windows: Windows, engine: Engine
) -> Slices[StartLosses | None]:
    """Return a generator that measures the losses from each start, and yields between parts of the work.

    At its end, the generator returns the losses. It returns None if the training part is too short, if a loss is
    not finite, or if the text is a collection, whose items have only one beginning.

    Args:
        learner: not changed.
        ids: the whole text, shape (characters,).
        windows: the windows of the text.
        engine: computes the predictions.
    """
    lines = None if isinstance(ids, ItemIds) else lines_of(learner, ids, windows)
    if lines is None:
        return None
    carried = repeated(first_stream_state(learner.state), lines.count)
    zero = zero_state(learner.config, lines.count)
    losses = []
    for tokens, state in (
        (lines.in_context, carried),
        (lines.after_start_id, carried),
        (lines.alone, zero),
        (lines.after_start_id, zero),
    ):
        losses.append((yield from mean_loss(learner, engine, tokens, state)))
    if not all(map(math.isfinite, losses)):
        return None
    return StartLosses(*(round(loss, DIGITS) for loss in losses))


@dataclass(frozen=True, eq=False)
class Lines:
    """The ids of the lines that are read, one line in each column. The last 100 ids of each are counted.

    Attributes:
        in_context: the 128 ids before the line's beginning, the id there, and the line.
        after_start_id: the id of `start_id`, and the line.
        alone: the line.
    """

    in_context: Ids
    after_start_id: Ids
    alone: Ids

    @property
    def count(self) -> int:
        """The number of lines."""
        return int(self.alone.shape[1])


def lines_of(learner: Learner, ids: AllIds, windows: Windows) -> Lines | None:
    """Return lines that are evenly spread over the first segment of the training part.

    A line begins after the first id of `start_id` among 200 ids. If this id is not among them, the line begins
    after the first of them. Return None if the segment is shorter than one such piece.
    """
    start, end = windows.parts["train"][0]
    spare = end - start - NEEDED
    if spare < 0:
        return None
    count = min(MOST_LINES, spare // SPACING + 1)
    places = start + np.arange(count, dtype=np.int64) * spare // count
    read = side_by_side(ids, places, places + NEEDED, NEEDED)
    first = start_id(learner)
    begins = CONTEXT + (read[CONTEXT : CONTEXT + SEARCHED] == first[0]).argmax(axis=0)
    rows = begins + np.arange(-CONTEXT, COUNTED + 2)[:, np.newaxis]
    in_context = read[rows, np.arange(count)]
    alone = in_context[CONTEXT + 1 :]
    after = np.concatenate([np.full((1, count), first[0], alone.dtype), alone])
    return Lines(*map(np.ascontiguousarray, (in_context, after, alone)))


def mean_loss(learner: Learner, engine: Engine, tokens: Ids, state: State) -> Slices[float]:
    """Return a generator that returns the mean loss of the last 100 rows of `tokens` in nats per character.

    The generator yields between two calls of the engine. `tokens` has shape (ids, lines), and `state` is the
    state of each line before them.
    """
    size = tokens_of_a_call(learner, tokens.shape[1]) // tokens.shape[1] or 1
    parts: list[NDArray[Any]] = []
    for first in range(0, len(tokens) - 1, size):
        if parts:
            yield
        nats, state = engine.score(learner, tokens[first : first + size + 1], state)
        parts.append(nats)
    return float(np.concatenate(parts)[-COUNTED:].mean())


def repeated(state: State, count: int) -> State:
    """Return the state of one stream for each of `count` streams."""
    return {name: np.repeat(array, count, axis=1) for name, array in state.items()}
