"""Scoring: the nats of each character of stretches of a text, read in batches, side by side.

A long stretch is cut into pieces, each begun a little early so that the network knows where it is
(spec/mathematics.md: Evaluation). It knows nothing of files, and does not say what the numbers are worth.
"""

from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.model import Learner, State, zero_state
from charloom.steps import tokens_of_a_step
from charloom.text.id_file import AllIds, side_by_side
from charloom.text.windows import Segment

PIECE: Final = 4_096  # characters that a piece has at least, where their number is not given
MOST_PIECES: Final = 64
WARM_UP: Final = 512  # characters that a piece reads before those that count
BLOCK: Final = 16_384  # characters whose nats are summed together, whatever the calls of the engine
SIDE_BY_SIDE: Final = 16  # how many times as fast characters are read in as many streams or more

# What one call of the engine found: which piece's nats, the place of the first in it, and the nats.
Scores = list[tuple[int, int, NDArray[np.float64]]]


@dataclass(frozen=True)
class Piece:
    """One stream: it reads text[reads:end], and its predictions of text[counts:end] count.

    A `warm` one begins with the state after the first characters of all, others with zero.
    """

    reads: int
    counts: int
    end: int
    warm: bool = False


def score_segments(
    engine: Engine,
    learner: Learner,
    ids: AllIds,
    segments: Sequence[Segment],
    streams: int | None = None,
) -> NDArray[np.float64]:
    """Nats of every character of some segments but each one's first, in their order.

    Args:
        engine: what computes.
        learner: the model; not changed.
        ids: the whole text, shape (characters,).
        segments: from a character to before another. Several are read side by side, each from the
            zero state; a single one is cut into pieces.
        streams: how many pieces; None takes one for each 4,096 characters, 64 at most. One reads
            the segment in one go, which is exact; in several, all but the first begin with the
            state after the segment's first 512 characters and a warm-up of the 512 before the
            piece, instead of with all that stands before.

    Returns:
        float64, shape (predicted characters,).
    """
    pieces = cut(segments, streams)
    places = np.cumsum([0, *(piece.end - piece.counts for piece in pieces)])
    nats = np.empty(places[-1])
    for _, found in _counted(engine, learner, ids, pieces):
        for n, place, scores in found:
            nats[places[n] + place : places[n] + place + len(scores)] = scores
    return nats


def averaging(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[int, None, float]:
    """The mean of the nats of all characters of some pieces that count; not finite where one is not.

    Yields after each call of the engine how many characters were read in it, warm-up included, of
    the `characters_read` in all.
    """
    total = 0.0
    for read, found in _counted(engine, learner, ids, pieces):
        for _, _, scores in found:
            total += float(scores.sum())
        yield read
    return total / predicted(pieces)


def predicted(pieces: Sequence[Piece]) -> int:
    """How many characters of some pieces count."""
    return sum(piece.end - piece.counts for piece in pieces)


def characters_read(pieces: Sequence[Piece]) -> int:
    """How many characters are read for the sake of some pieces: the longest one's, by each."""
    return opening(pieces) + len(pieces) * _steps(pieces)


def opening(pieces: Sequence[Piece]) -> int:
    """How many characters a single stream reads before some pieces are read side by side."""
    return WARM_UP if any(piece.warm for piece in pieces) else 0


def cut(segments: Sequence[Segment], streams: int | None = None) -> list[Piece]:
    """The pieces that are read side by side; every character but each segment's first counts once."""
    if len(segments) > 1:
        return [Piece(start, start + 1, end) for start, end in segments]
    ((start, end),) = segments
    predicted = end - start - 1
    if streams is None:
        streams = max(1, min((end - start) // PIECE, MOST_PIECES))
    streams = max(1, min(streams, predicted))
    bounds = [start + 1 + n * predicted // streams for n in range(streams + 1)]
    return [_piece(start, counts, stop) for counts, stop in pairwise(bounds)]


def spread(segments: Sequence[Segment], most: int) -> list[Piece]:
    """The pieces of `cut`, or where more than `most` characters would count (0: any number may), as
    many short ones at equal distances over all segments; spec/mathematics.md: Evaluation."""
    sizes = [end - start - 1 for start, end in segments]
    if not most or sum(sizes) <= most:
        return cut(segments)
    count, before = min(MOST_PIECES, most), [0, *accumulate(sizes)]
    pieces = []
    for n in range(count):
        place = n * before[-1] // count  # among all that can be predicted
        at = bisect_right(before, place) - 1
        start, end = segments[at]
        counts = start + 1 + place - before[at]
        pieces.append(_piece(start, counts, min(counts + most // count, end)))
    return pieces


def _piece(start: int, counts: int, end: int) -> Piece:
    """The piece of the segment that begins at `start` whose characters from `counts` on count."""
    reads = max(start, counts - 1 - WARM_UP)
    return Piece(reads, counts, end, warm=start < reads < counts - 1)


def _first_state(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[tuple[int, Scores], None, State]:
    """The state that each piece begins with, arrays of shape (layers, pieces, H); it yields as
    `_counted` does.

    It is zero at a segment's beginning. A piece that begins within one has the state after the
    first characters of all: networks that always start in the same places can be thrown off
    course for good by a zero state in the middle of a word, and not by a jump to another place.
    """
    state = zero_state(learner.config, len(pieces))
    within = [n for n, piece in enumerate(pieces) if piece.warm]
    if within:
        start, warm = pieces[0].reads, zero_state(learner.config)
        end = min(start + WARM_UP, pieces[-1].end - 1)
        size = tokens_of_a_call(learner, 1)
        for first in range(start, end, size):
            tokens = ids[first : min(first + size, end) + 1][:, np.newaxis]
            _, warm = engine.score(learner, np.ascontiguousarray(tokens), warm)
            yield len(tokens) - 1, []
        for name, array in state.items():
            array[:, within] = warm[name]
    return state


def _counted(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[tuple[int, Scores], None, None]:
    """After each call of the engine how many characters it read, and nats that count.

    A piece that has come to its end goes on with its last character, which counts for nothing.
    """
    reads = np.array([piece.reads for piece in pieces])
    ends = np.array([piece.end for piece in pieces])
    steps, block = _steps(pieces), max(1, BLOCK // len(pieces))
    size = min(block, tokens_of_a_call(learner, len(pieces)) // len(pieces) or 1)
    state = yield from _first_state(engine, learner, ids, pieces)
    for first in range(0, steps, block):
        end = min(first + block, steps)
        # The sums are over whole blocks: how these are cut into calls must not change a bit.
        nats = np.empty((end - first, len(pieces)))
        for begin in range(first, end, size):
            stop = min(begin + size, end)
            tokens = side_by_side(ids, reads + begin, ends, stop - begin + 1)
            nats[begin - first : stop - first], state = engine.score(learner, tokens, state)
            found = _that_count(pieces, first, nats) if stop == end else []
            yield (stop - begin) * len(pieces), found


def _that_count(pieces: Sequence[Piece], first: int, nats: NDArray[np.float64]) -> Scores:
    """The nats that count of a block whose first row is the prediction of each piece's character
    number `first` + 1."""
    found = []
    for n, piece in enumerate(pieces):
        place = piece.reads + first + 1 - piece.counts
        low, high = max(place, 0), min(place + len(nats), piece.end - piece.counts)
        if low < high:
            found.append((n, low, nats[low - place : high - place, n]))
    return found


def _steps(pieces: Sequence[Piece]) -> int:
    """How many characters the longest piece reads but for its first."""
    return max(piece.end - 1 - piece.reads for piece in pieces)


def tokens_of_a_call(learner: Learner, streams: int) -> int:
    """How many characters one call of the engine reads, in all streams: some hundredths of a second
    of work, so that whoever wants to end it is heard."""
    weights = sum(parameter.size for parameter in learner.parameters.values())
    return tokens_of_a_step(max(1, weights // min(streams, SIDE_BY_SIDE)), BLOCK)
