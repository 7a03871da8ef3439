"""Where the streams begin a new item in the ids that a network reads (spec/mathematics.md: Items)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.model.learner import Learner


def item_beginnings(learner: Learner, x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return an array in the shape of the ids x that is True where an item begins.

    Before it reads such an id, a network sets the states of its stream to zero. The result is None if the learner's
    vocabulary has no boundary of items.
    """
    boundary = learner.vocabulary.boundary
    return None if boundary is None else np.asarray(x == boundary)


def refuse_items(learner: Learner, file: str) -> None:
    """Raise ConfigError for a model of items, whose states a `file`, such as "an HTML file", could not set to zero."""
    if learner.vocabulary.boundary is not None:
        raise ConfigError(
            f"the model learned a collection of items, and {file} cannot begin an item with the zero state. Give "
            f"{argument('to', 'hub')}, or write the items with charloom."
        )
