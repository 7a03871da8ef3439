"""The contract that every engine keeps, on one screen. Engines never import one another.

Shapes: T steps, B streams, K characters, H hidden units, N tokens; ids are unsigned integers.
A state is a dict of arrays, `h` of shape (layers, B, H). Losses are nats.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner, State
from charloom.model.parameters import Parameters

Ids = NDArray[Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What one call of `train` shall do: `len(learning_rates)` updates, one after another.

    The caller sees to it that the windows do not run over the epoch's end.
    """

    learning_rates: NDArray[np.float64]
    clip: float
    epsilon: float


@dataclass(frozen=True)
class Trace:
    """What one call of `train` did, an entry per applied update.

    `stopped` is "non-finite" where the loss or the gradient norm of the next update was not
    finite; that update was not applied, and `failed_loss` and `failed_norm` hold its figures.
    """

    losses: NDArray[np.float64]
    gradient_norms: NDArray[np.float64]
    stopped: Literal["non-finite"] | None = None
    failed_loss: float = 0.0
    failed_norm: float = 0.0


@dataclass(frozen=True)
class Sampler:
    """How a character is drawn from the logits; temperature 0 takes the likeliest."""

    temperature: float = 1.0


class Engine(Protocol):
    """What can be asked of an engine. Only `train` changes the learner."""

    name: str

    def describe(self) -> str:
        """One line: the engine, its instruction set, its threads."""

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids
    ) -> tuple[float, Parameters, State]:
        """Loss (summed over T, averaged over B), exact gradient and next state of a window.

        x and y have shape (T, B). Starts from the learner's state; clips nothing.
        """

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        """Run the plan's updates over the whole text `tokens` from the learner's position."""

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        """Nats of tokens[1:], each given all before it, shape (N-1,); state after tokens[:-1]."""

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        """Logits (B, K) after one more character in each stream; ids has shape (B,)."""

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        """Each state's value after each token, `h` of shape (N, layers, H), and the last state."""

    def generate(
        self,
        learner: Learner,
        first: int,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        """One new id per uniform; reads `first`, then each id it drew except the last.

        To go on, call again with the last id as `first` and the returned state.
        """
