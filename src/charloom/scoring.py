"""Scoring: the nats of each character of stretches of a text, read in batches, side by side.

A long stretch is cut into pieces, each begun a little early so that the network knows where it is
(SPEC: Evaluation). It knows nothing of files, and does not say what the numbers are worth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.model import Learner, State, zero_state
from charloom.text.id_file import AllIds, side_by_side
from charloom.text.windows import Segment

PIECE: Final = 4_096  # characters that a piece has at least, where their number is not given
MOST_PIECES: Final = 64
WARM_UP: Final = 512  # characters that a piece reads before those that count
CHUNK: Final = 16_384  # characters per call of the engine, so that Ctrl-C is heard


@dataclass(frozen=True)
class Piece:
    """One stream: it reads text[reads:end], and its predictions of text[counts:end] count."""

    reads: int
    counts: int
    end: int


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
    for n, place, scores in _counted(engine, learner, ids, pieces):
        nats[places[n] + place : places[n] + place + len(scores)] = scores
    return nats


def mean_nats(
    engine: Engine,
    learner: Learner,
    ids: AllIds,
    segments: Sequence[Segment],
    streams: int | None = None,
    between: Callable[[], None] = lambda: None,
) -> float:
    """The mean of `score_segments`, without keeping its numbers; not finite where one is not.

    `between` is called after each call of the engine; what it raises ends the scoring.
    """
    pieces = cut(segments, streams)
    total = 0.0
    for _, _, scores in _counted(engine, learner, ids, pieces, between):
        total += float(scores.sum())
    return total / sum(piece.end - piece.counts for piece in pieces)


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
    return [
        Piece(max(start, counts - 1 - (WARM_UP if n else 0)), counts, stop)
        for n, (counts, stop) in enumerate(pairwise(bounds))
    ]


def _first_state(engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]) -> State:
    """The state that each piece begins with, arrays of shape (layers, pieces, H).

    It is zero at a segment's beginning. A piece that begins within one has the state after the
    segment's first characters: networks that always start in the same places can be thrown off
    course for good by a zero state in the middle of a word, and not by a jump to another place.
    """
    state = zero_state(learner.config, len(pieces))
    start = pieces[0].reads
    within = [n for n, p in enumerate(pieces) if p.reads > start and p.reads + 1 < p.counts]
    if within:
        opening = ids[start : min(start + WARM_UP + 1, pieces[-1].end)][:, np.newaxis]
        _, warm = engine.score(learner, np.ascontiguousarray(opening), zero_state(learner.config))
        for name, array in state.items():
            array[:, within] = warm[name]
    return state


def _counted(
    engine: Engine,
    learner: Learner,
    ids: AllIds,
    pieces: Sequence[Piece],
    between: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Nats that count, a few at a time: which piece's, the place of the first in it, and the nats.

    A piece that has come to its end goes on with its last character, which counts for nothing.
    """
    reads = np.array([piece.reads for piece in pieces])
    ends = np.array([piece.end for piece in pieces])
    steps, chunk = int((ends - reads).max()) - 1, max(1, CHUNK // len(pieces))
    state = _first_state(engine, learner, ids, pieces)
    for first in range(0, steps, chunk):
        tokens = side_by_side(ids, reads + first, ends, min(chunk, steps - first) + 1)
        nats, state = engine.score(learner, tokens, state)
        between()
        for n, piece in enumerate(pieces):
            # Row i is the prediction of the character `reads + first + 1 + i` of the text.
            place = piece.reads + first + 1 - piece.counts
            low, high = max(place, 0), min(place + len(nats), piece.end - piece.counts)
            if low < high:
                yield n, low, nats[low - place : high - place, n]
