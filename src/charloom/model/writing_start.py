"""Returns what a network reads before it writes a text, and the state in which it begins to read.

A text begins in the learner's state, which it has from its training text, or in the zero state
(spec/mathematics.md: Sampling).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.model.learner import Learner, State, first_stream_state, zero_state
from charloom.model.start_losses import Start


def stored_state(learner: Learner) -> State | None:
    """Return the state that the learner has from its training text, arrays of one stream.

    Return None if it has none: it is before its first update, or comes from a file without a state.
    """
    state, zero = first_stream_state(learner.state), zero_state(learner.config)
    if all(np.array_equal(array, zero[name]) for name, array in state.items()):
        return None
    return state


def beginning(
    learner: Learner, prompt: NDArray[Any], start: Start
) -> tuple[NDArray[Any], State | None]:
    """Return the ids that the network reads before it writes, and the state before them.

    Args:
        learner: the model.
        prompt: the ids of the prompt, shape (N,); N may be 0.
        start: "text" begins in the learner's state, and reads the id of `start_id` before the prompt. "zero"
            begins in the zero state, and reads that id only if there is no prompt. A learner without a state
            always begins like "zero". A text of a collection is an item, so it always begins in the zero state,
            and the boundary is read before the prompt.

    Returns:
        The ids, and the state in arrays of one stream; None for the zero state.
    """
    if learner.vocabulary.boundary is not None:
        return np.concatenate([start_id(learner), prompt]), None
    state = stored_state(learner) if start == "text" else None
    if state is None:
        return (prompt if len(prompt) else start_id(learner)), None
    return np.concatenate([start_id(learner), prompt]), state


def start_id(learner: Learner) -> NDArray[Any]:
    """Return the id that a network reads first if a text does not begin with its prompt, shape (1,).

    This is the boundary of a collection's items. Otherwise it is the id of a line feed, or of a space if the
    vocabulary has no line feed. If the vocabulary has neither, it is the id with the largest output bias. If
    several ids have the same bias, it is the lowest of these ids.
    """
    vocabulary = learner.vocabulary
    if vocabulary.boundary is not None:
        return np.array([vocabulary.boundary], dtype=vocabulary.id_dtype)
    for character in "\n ":
        if character in vocabulary:
            return vocabulary.encode(character)
    return np.array([np.argmax(learner.parameters["c"])], dtype=vocabulary.id_dtype)
