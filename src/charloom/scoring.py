"""Scoring: computes the nats of each character in segments of a text, in parallel streams.

A long segment is cut into pieces. Most pieces first read some characters that are not scored, so
that the hidden state fits the text (spec/mathematics.md: Evaluation). This module reads no
files.
"""

from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.cooperative import Slices, run_all_slices, tokens_of_a_slice
from charloom.engines import Engine
from charloom.model import Learner, State, weights_per_character, zero_state
from charloom.text.all_ids import AllIds, side_by_side
from charloom.text.item_ids import ItemIds
from charloom.text.windows import Segment

# Least number of characters of a piece of text, if the caller does not say how many pieces to cut a
# segment into.
PIECE: Final = 4_096
MOST_PIECES: Final = 64
# Largest number of characters that the model reads, so that its hidden state fits the text, before it
# predicts the first scored character of a piece of text.
WARM_UP: Final = 512
BLOCK: Final = 16_384  # number of characters whose nats are summed as one block
# Up to this number of parallel streams, the speed in characters per second is about proportional to
# the number of streams.
PARALLEL_STREAMS: Final = 16

# The scores of one block: a list with an entry for each piece with scored characters in the block.
# An entry has three values: the index of the piece; how many characters of the piece were scored in
# earlier blocks; and the nats of the characters of the piece that are scored in this block.
Scores = list[tuple[int, int, NDArray[np.float64]]]


@dataclass(frozen=True)
class Piece:
    """A piece of text that one stream reads.

    Attributes:
        reads: index in the text of the first character that is read.
        counts: index in the text of the first character that is scored. The characters before it
            are only read, so that the hidden state fits the text.
        end: index in the text after the last character.
        warm: which state the stream starts with: if True, the state after the first 512 characters
            of the first segment; if False, the zero state.
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
    """Return the nats of all characters of the segments, except the first of each, in their order.

    Args:
        engine: the engine that computes the predictions.
        learner: the model; it is not changed.
        ids: the whole text, shape (characters,).
        segments: pairs (start, end). Several segments are read in parallel, each from the zero
            state. A single segment is cut into pieces.
        streams: number of pieces of a single segment; ignored if there are several segments. None
            takes one piece per 4,096 characters, at most 64. With one piece, the result is exact.
            With several, each piece except the first starts with the state after the segment's
            first 512 characters, and first reads the 512 characters before the piece. This is an
            approximation of reading all the text before the piece. For a collection of items, the result is
            always exact, because a piece first reads its first item from the beginning.

    Returns:
        float64, shape (predicted characters,).
    """
    pieces = cut_into_pieces(segments, streams)
    return run_all_slices(piece_nats_in_slices(engine, learner, ids, pieces))


def piece_nats_in_slices(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Slices[NDArray[np.float64]]:
    """Return the nats of all characters that are scored in `pieces`, piece by piece, shape (characters,).

    This generator yields after each call of the engine, and returns the nats at the end. `ids` is the whole text.
    """
    pieces = from_beginnings(ids, pieces)
    places = np.cumsum([0, *(piece.end - piece.counts for piece in pieces)])
    nats = np.empty(places[-1])
    for _, found in _score_blocks(engine, learner, ids, pieces):
        for n, place, scores in found:
            nats[places[n] + place : places[n] + place + len(scores)] = scores
        yield
    return nats


def mean_nats_in_slices(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[int, None, float]:
    """Return the mean nats (-ln of the probability) of all characters that are scored in `pieces`.

    This generator yields after each call of the engine: the number of characters that the call
    read. These numbers sum up to `characters_read(pieces)`. The generator returns the mean at the
    end. The mean is not finite if the model diverged. `ids` is the whole text.
    """
    pieces, total = from_beginnings(ids, pieces), 0.0
    for read, found in _score_blocks(engine, learner, ids, pieces):
        for _, _, scores in found:
            total += float(scores.sum())
        yield read
    return total / predicted_characters(pieces)


def from_beginnings(ids: AllIds, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Return the pieces of a collection of items such that each is read from the beginning of an item.

    The same characters are scored. The pieces of a stream stay as they are.
    """
    if not isinstance(ids, ItemIds):
        return pieces
    return [
        replace(piece, reads=ids.start(ids.first_at(piece.counts) - 1), warm=False)
        for piece in pieces
    ]


def predicted_characters(pieces: Sequence[Piece]) -> int:
    """Return the number of characters that the model predicts in all pieces of a text together."""
    return sum(piece.end - piece.counts for piece in pieces)


def characters_read(pieces: Sequence[Piece]) -> int:
    """Return the number of characters that a model reads to score all pieces of a text.

    The pieces are read in parallel, and a short piece takes as many steps as the longest. The
    characters that warm up the first hidden state are included.
    """
    return warm_up_length(pieces) + len(pieces) * _steps(pieces)


def warm_up_length(pieces: Sequence[Piece]) -> int:
    """Return the length of the warm-up: the characters that a model reads before the pieces of a text.

    The length is 512 if any piece starts with the state after the warm-up (`Piece.warm`), else 0.
    """
    return WARM_UP if any(piece.warm for piece in pieces) else 0


def cut_into_pieces(segments: Sequence[Segment], streams: int | None = None) -> list[Piece]:
    """Return the pieces of text that are read in parallel to score all of the segments.

    Several segments are one piece each. A single segment is cut into `streams` pieces. If `streams`
    is None, it is cut into one piece per 4,096 characters, at most 64. Each character, except the
    first of a segment, is scored in exactly one piece.
    """
    if len(segments) > 1:
        return [Piece(start, start + 1, end) for start, end in segments]
    ((start, end),) = segments
    predicted = end - start - 1
    if streams is None:
        streams = max(1, min((end - start) // PIECE, MOST_PIECES))
    streams = max(1, min(streams, predicted))
    bounds = [start + 1 + n * predicted // streams for n in range(streams + 1)]
    return [_piece(start, counts, stop) for counts, stop in pairwise(bounds)]


def evenly_spread_pieces(
    segments: Sequence[Segment], most: int, pieces_at_most: int = MOST_PIECES
) -> list[Piece]:
    """Return at most `pieces_at_most` pieces of text in which at most `most` characters are scored.

    The pieces are evenly spread over all segments (spec/mathematics.md: Evaluation). If `most` is 0,
    or if the segments have at most `most` characters to score, return the pieces of
    `cut_into_pieces`, in which all of these characters are scored.
    """
    sizes = [end - start - 1 for start, end in segments]
    if not most or sum(sizes) <= most:
        return cut_into_pieces(segments)
    count, before = min(pieces_at_most, most), [0, *accumulate(sizes)]
    pieces = []
    for n in range(count):
        # The number of predicted characters in all segments before the first character that this
        # piece scores.
        place = n * before[-1] // count
        at = bisect_right(before, place) - 1
        start, end = segments[at]
        counts = start + 1 + place - before[at]
        pieces.append(_piece(start, counts, min(counts + most // count, end)))
    return pieces


def _piece(start: int, counts: int, end: int) -> Piece:
    """Return the piece of text in which the characters from index `counts` to `end` - 1 are scored.

    The piece is in the segment that begins at index `start`. It begins 513 characters before
    `counts`, or at `start` if this is later. The model reads the characters before `counts` so that
    its hidden state fits the text.
    """
    reads = max(start, counts - 1 - WARM_UP)
    return Piece(reads, counts, end, warm=start < reads < counts - 1)


def _first_state(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[tuple[int, Scores], None, State]:
    """Return the state with which each piece of text starts, in arrays of shape (layers, pieces, H).

    A piece that begins at the beginning of its segment starts with the zero state. All other pieces
    start with one and the same state: the state after the first 512 characters of the first
    segment. They do not start with the zero state, because training never uses the zero state in
    the middle of a word, and some networks never recover from it.

    This generator returns the states at the end. After each call of the engine, it yields the
    number of characters that the call read, and an empty list, because these characters are not
    scored.
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


def _score_blocks(
    engine: Engine, learner: Learner, ids: AllIds, pieces: Sequence[Piece]
) -> Generator[tuple[int, Scores], None, None]:
    """Score the pieces of a text; after each call of the engine, yield two values.

    The first value is the number of characters that the call read. The second value is a list of
    scores (`Scores`). A block of characters may need several calls: the last of them yields the
    scores of the block, and the calls before it yield an empty list. `ids` is the whole text. A
    piece that has ended repeats its last character, which is not scored again.
    """
    reads = np.array([piece.reads for piece in pieces])
    ends = np.array([piece.end for piece in pieces])
    steps, block = _steps(pieces), max(1, BLOCK // len(pieces))
    size = min(block, tokens_of_a_call(learner, len(pieces)) // len(pieces) or 1)
    state = yield from _first_state(engine, learner, ids, pieces)
    for first in range(0, steps, block):
        end = min(first + block, steps)
        # The caller sums the nats of a whole block at once, so the rounded sum of the nats does not
        # depend on how many characters one call of the engine reads.
        nats = np.empty((end - first, len(pieces)))
        for begin in range(first, end, size):
            stop = min(begin + size, end)
            tokens = side_by_side(ids, reads + begin, ends, stop - begin + 1)
            nats[begin - first : stop - first], state = engine.score(learner, tokens, state)
            found = _scores_of_block(pieces, first, nats) if stop == end else []
            yield (stop - begin) * len(pieces), found


def _scores_of_block(pieces: Sequence[Piece], first: int, nats: NDArray[np.float64]) -> Scores:
    """Return the scores of one block of characters, for each piece with scored characters in it.

    The nats of characters that the model reads only to fit its hidden state are left out, and also
    those of a piece that has ended.

    Args:
        pieces: the pieces of text, which are read in parallel.
        first: number of characters of each piece that the model had read before this block.
        nats: the nats of the block, with a row for each step and a column for each piece. Row t is
            for the character of the text with the index piece.reads + `first` + 1 + t.
    """
    found = []
    for n, piece in enumerate(pieces):
        place = piece.reads + first + 1 - piece.counts
        low, high = max(place, 0), min(place + len(nats), piece.end - piece.counts)
        if low < high:
            found.append((n, low, nats[low - place : high - place, n]))
    return found


def _steps(pieces: Sequence[Piece]) -> int:
    """Return how many steps the longest piece of text takes: its number of characters minus one."""
    return max(piece.end - 1 - piece.reads for piece in pieces)


def tokens_of_a_call(learner: Learner, streams: int = 1, most: int = BLOCK) -> int:
    """Return how many tokens one call of the engine may read in all streams together.

    A call takes a few hundredths of a second, so that a request to stop takes effect quickly. The
    result is at most `most`.
    """
    weights = weights_per_character(learner.parameters)
    return tokens_of_a_slice(max(1, weights // min(streams, PARALLEL_STREAMS)), most)


def tokens_of_a_product(learner: Learner, most: int = BLOCK) -> int:
    """Return how many tokens one call may read if NumPy then multiplies all of their hidden states by a matrix.

    NumPy rounds a product differently if it has another number of rows. So that results keep their bits, this
    number is not fitted to what a character reads, but is computed from all weights. It is at most `most`.
    """
    weights = sum(parameter.size for parameter in learner.parameters.values())
    return tokens_of_a_slice(max(1, weights), most)
