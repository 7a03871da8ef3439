"""Sampling: a model writes text, from a prompt, piece by piece. Knows nothing of files.

The text depends on the model, the prompt, the temperature and the seed; how it is cut into pieces
changes nothing.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from charloom.config import SEED_LIMIT, require_number, require_whole
from charloom.engines import Engine, Sampler
from charloom.model import Learner, State, zero_state
from charloom.random import uniforms

FIRST_PIECE: Final = 16  # characters; small, so that something is seen at once
LARGEST_PIECE: Final = 4_096


def stream(
    learner: Learner,
    engine: Engine,
    *,
    prompt: str = "",
    length: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Pieces of the text that a model writes after a prompt (which is not part of it).

    The network starts from the zero state. Without a prompt it has just read a newline; where it
    knows none, a space; where it knows none, its first character.

    Args:
        learner: the model; not changed.
        engine: what computes.
        prompt: what the network reads first.
        length: characters to write.
        temperature: divides the logits; 0 takes the likeliest character each time.
        seed: decides the text.

    Raises:
        ConfigError: length, temperature or seed out of its range.
        UnknownCharacterError: the prompt has a character that the model never read.
    """
    require_whole("length", length, least=1)
    require_number("temperature", temperature, least=0.0)
    require_whole("seed", seed, least=0, below=SEED_LIMIT)
    ids = learner.vocabulary.encode(prompt or opening(learner))
    state = zero_state(learner.config)
    if len(ids) > 1:
        _, state = engine.score(learner, ids, state)
    return _pieces(learner, engine, int(ids[-1]), state, length, Sampler(temperature), seed)


def write(
    learner: Learner,
    engine: Engine,
    *,
    prompt: str = "",
    length: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
) -> str:
    """The whole text that `stream` gives in pieces; the same arguments and errors."""
    pieces = stream(
        learner, engine, prompt=prompt, length=length, temperature=temperature, seed=seed
    )
    return "".join(pieces)


def opening(learner: Learner) -> str:
    """What a network reads that is given no prompt."""
    likely = [character for character in "\n " if character in learner.vocabulary]
    return (likely or learner.vocabulary.characters)[0]


def _pieces(
    learner: Learner,
    engine: Engine,
    last: int,
    state: State,
    length: int,
    sampler: Sampler,
    seed: int,
) -> Iterator[str]:
    """Growing pieces, `length` characters in all."""
    written, size = 0, FIRST_PIECE
    while written < length:
        count = min(size, length - written)
        numbers = uniforms(seed, "sample", count, first=written)
        ids, state = engine.generate(learner, last, sampler, numbers, state)
        last = int(np.asarray(ids)[-1])
        written, size = written + count, min(2 * size, LARGEST_PIECE)
        yield learner.vocabulary.decode(ids)
