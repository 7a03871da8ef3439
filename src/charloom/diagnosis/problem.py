"""The input and the result of one call: a window with parameters and states, its loss and its gradients.

Shapes: x, y ids (T,); states (H,); U (G·H, K), W (G·H, H), b (G·H), d (H), V (K, H), c (K).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]
Switches = Mapping[str, str]  # the mistakes in some code: maps each mistake's id to its variant


class Problem(NamedTuple):
    """The input of one call: the cell, the parameters, the window's ids x and y (T,), the initial states.

    The states are "h" and, for an LSTM, "cell", each of shape (H,).
    """

    cell: str
    parameters: Arrays
    x: Array
    y: Array
    state: Arrays


class Answer(NamedTuple):
    """The result of a function: the loss in nats, and the gradient of each parameter."""

    loss: float
    gradients: Arrays
