"""Scoring: compute the nats of each character of segments of a text, in parallel streams.

A long segment is cut into pieces. Most pieces read some characters before the first one that counts,
so that the hidden state fits the text (spec/mathematics.md: Evaluation). This module does not know files.
"""

from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.cooperative import tokens_of_a_step
from charloom.engines import Engine
from charloom.model import Learner, State, zero_state
from charloom.text.id_file import AllIds, side_by_side
from charloom.text.windows import Segment

PIECE: Final = 4_096  # least characters of a piece when the number of streams is not given
MOST_PIECES: Final = 64
WARM_UP: Final = 512  # characters that a piece reads before its first counted character
BLOCK: Final = 16_384  # characters whose nats are summed as one block
PARALLEL_STREAMS: Final = 16  # N streams are read N times as fast as one, up to this number

# The scores of one block: number of the piece, position of the first score in it, and the nats.
Scores = list[tuple[int, int, NDArray[np.float64]]]


@dataclass(frozen=True)
class Piece:
    """A piece of text that one stream reads.

    Attributes:
        reads: position of the first character that is read.
        counts: position of the first character with a prediction that counts.
        end: position after the last character.
        warm: True if the stream starts with the state after the first 512 characters of the first
            segment. Otherwise it starts with the zero state.
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
    """Return the nats of every character of the segments except each segment's first, in order.

    Args:
        engine: the engine that computes the predictions.
        learner: the model; it is not changed.
        ids: the whole text, shape (characters,).
        segments: pairs (start, end). Several segments are read in parallel, each from the zero
            state. A single segment is cut into pieces.
        streams: number of pieces of a single segment. None takes one piece per 4,096 characters, at
            most 64. One piece is exact. With several, each piece but the first starts with the state
            after the segment's first 512 characters, and reads the 512 characters before it. This
            replaces reading all of the text before it. Several segments ignore `streams`.

    Returns:
        float64, shape (predicted characters,).
    """
    pieces = cut_into_pieces(segments, streams)
    places = np.cumsum([0, *(piece.end - piece.counts for piece in pieces)])
    nats = np.empty(places[-1])
    for _, found in _counted(engine, learner, ids, pieces):
        for n, place, scores in found:
            nats[places[n] + place : places[n] + place + len(scores)] = scores
    return nats


def mean_nats_in_steps(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[int, None, float]:
    """Return the mean nats of all counted characters of the pieces.

    The mean is not finite if one of the nats is not. After each call of the engine, yield how many
    characters it read, including warm-up. All together are `characters_read`.
    """
    total = 0.0
    for read, found in _counted(engine, learner, ids, pieces):
        for _, _, scores in found:
            total += float(scores.sum())
        yield read
    return total / predicted_characters(pieces)


def predicted_characters(pieces: Sequence[Piece]) -> int:
    """Return how many characters of the pieces count."""
    return sum(piece.end - piece.counts for piece in pieces)


def characters_read(pieces: Sequence[Piece]) -> int:
    """Return how many characters scoring the pieces reads: each stream reads as many as the longest."""
    return warm_up_length(pieces) + len(pieces) * _steps(pieces)


def warm_up_length(pieces: Sequence[Piece]) -> int:
    """Return how many characters a single stream reads before the pieces are read in parallel."""
    return WARM_UP if any(piece.warm for piece in pieces) else 0


def cut_into_pieces(segments: Sequence[Segment], streams: int | None = None) -> list[Piece]:
    """Return the pieces to read in parallel; each character but a segment's first counts once."""
    if len(segments) > 1:
        return [Piece(start, start + 1, end) for start, end in segments]
    ((start, end),) = segments
    predicted = end - start - 1
    if streams is None:
        streams = max(1, min((end - start) // PIECE, MOST_PIECES))
    streams = max(1, min(streams, predicted))
    bounds = [start + 1 + n * predicted // streams for n in range(streams + 1)]
    return [_piece(start, counts, stop) for counts, stop in pairwise(bounds)]


def evenly_spread_pieces(segments: Sequence[Segment], most: int) -> list[Piece]:
    """Return pieces in which at most `most` characters count (spec/mathematics.md: Evaluation).

    If the segments have no more, or `most` is 0, these are the pieces of `cut_into_pieces`. Otherwise they are
    short pieces at equal distances over all segments.
    """
    sizes = [end - start - 1 for start, end in segments]
    if not most or sum(sizes) <= most:
        return cut_into_pieces(segments)
    count, before = min(MOST_PIECES, most), [0, *accumulate(sizes)]
    pieces = []
    for n in range(count):
        place = n * before[-1] // count  # position among all predicted characters
        at = bisect_right(before, place) - 1
        start, end = segments[at]
        counts = start + 1 + place - before[at]
        pieces.append(_piece(start, counts, min(counts + most // count, end)))
    return pieces


def _piece(start: int, counts: int, end: int) -> Piece:
    """Return a piece that counts from `counts` to `end`, in the segment that begins at `start`."""
    reads = max(start, counts - 1 - WARM_UP)
    return Piece(reads, counts, end, warm=start < reads < counts - 1)


def _first_state(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[tuple[int, Scores], None, State]:
    """Return the initial state of each piece, arrays of shape (layers, pieces, H).

    A piece that reads from a segment's beginning has the zero state. A piece inside a segment has the
    state after the first characters of the first segment, because training never starts in the middle
    of a word: from the zero state there, some networks never recover. Yields like `_counted`.
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
    """Yield, after each call of the engine, how many characters it read and the nats that count.

    The nats of a block come with the block's last call. After its end a piece repeats its last character; these predictions do not count.
    """
    reads = np.array([piece.reads for piece in pieces])
    ends = np.array([piece.end for piece in pieces])
    steps, block = _steps(pieces), max(1, BLOCK // len(pieces))
    size = min(block, tokens_of_a_call(learner, len(pieces)) // len(pieces) or 1)
    state = yield from _first_state(engine, learner, ids, pieces)
    for first in range(0, steps, block):
        end = min(first + block, steps)
        # Nats are summed over whole blocks, so that the size of the calls never changes the result.
        nats = np.empty((end - first, len(pieces)))
        for begin in range(first, end, size):
            stop = min(begin + size, end)
            tokens = side_by_side(ids, reads + begin, ends, stop - begin + 1)
            nats[begin - first : stop - first], state = engine.score(learner, tokens, state)
            found = _select_counted(pieces, first, nats) if stop == end else []
            yield (stop - begin) * len(pieces), found


def _select_counted(pieces: Sequence[Piece], first: int, nats: NDArray[np.float64]) -> Scores:
    """Return the losses in a block that belong to the scores, in nats, for each piece.

    The block's first row holds the predictions of character number `first` + 1 of each piece.
    """
    found = []
    for n, piece in enumerate(pieces):
        place = piece.reads + first + 1 - piece.counts
        low, high = max(place, 0), min(place + len(nats), piece.end - piece.counts)
        if low < high:
            found.append((n, low, nats[low - place : high - place, n]))
    return found


def _steps(pieces: Sequence[Piece]) -> int:
    """Return how many characters the longest piece reads after its first."""
    return max(piece.end - 1 - piece.reads for piece in pieces)


def tokens_of_a_call(learner: Learner, streams: int) -> int:
    """Return how many characters one call of the engine reads in all streams together.

    A call takes a few hundredths of a second, so that a request to stop takes effect quickly.
    """
    weights = sum(parameter.size for parameter in learner.parameters.values())
    return tokens_of_a_step(max(1, weights // min(streams, PARALLEL_STREAMS)), BLOCK)
