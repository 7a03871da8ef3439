"""Where the streams begin a new item in the ids that a network reads (spec/mathematics.md: Items)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.model.learner import Learner


def item_beginnings(learner: Learner, x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return an array in the shape of the ids x that is True where an item begins.

    Before it reads such an id, a network sets the states of its stream to zero. The result is None if the learner's
    vocabulary has no boundary of items.
    """
    boundary = learner.vocabulary.boundary
    return None if boundary is None else np.asarray(x == boundary)
