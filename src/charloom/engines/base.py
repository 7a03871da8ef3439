"""The contract that every engine keeps, on one screen. Engines never import one another.

Shapes: T steps, B streams, K characters, H hidden units, L layers, N tokens; ids are unsigned
integers. A state is a dict of arrays of shape (L, B, H): `h`, and for the LSTM `cell`. Losses are
nats.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.model import Learner, State
from charloom.model.parameters import Parameters

Ids = NDArray[Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What one call of `train` shall do: `len(learning_rates)` updates, one after another.

    Stream s reads its windows from tokens[starts[s] + learner.position] on. The caller sees to it
    that the windows do not run over the epoch's end. All else is in the learner's config.
    """

    learning_rates: NDArray[np.float64]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """What one call of `train` did, an entry per applied update.

    `losses` are summed over T and averaged over B, whatever the reduction; `gradient_norms` are of
    the loss that is descended, before clipping. `stopped` is "non-finite" where the loss or the
    gradient norm of the next update was not finite; that update was not applied, and `failed_loss`
    and `failed_norm` hold its figures.
    """

    losses: NDArray[np.float64]
    gradient_norms: NDArray[np.float64]
    stopped: Literal["non-finite"] | None = None
    failed_loss: float = 0.0
    failed_norm: float = 0.0


@dataclass(frozen=True)
class Sampler:
    """How a character is drawn from the logits (spec/mathematics.md: Sampling); the defaults leave them alone.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest character.
        top_k: keep the k likeliest; 0 keeps all.
        top_p: keep the likeliest that together have this probability; 1 keeps all.
        min_p: keep those with at least this share of the likeliest's probability; 0 keeps all.
        repetition_penalty: above 1 makes recently read characters less likely; 1 changes nothing.
        repetition_window: how many of the last characters count as recent.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64


class Engine(Protocol):
    """What can be asked of an engine. Only `train` changes the learner."""

    name: str

    def require(self, config: Config) -> None:
        """Refuse settings by which this engine cannot train, before anything is made for them.

        Raises:
            EngineError: so it is; the message names the way out.
        """
        ...

    def describe(self) -> str:
        """One line: the engine, its instruction set, its threads."""

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids, update: int | None = None
    ) -> tuple[float, Parameters, State]:
        """Loss (summed over T, averaged over B), its exact gradient and next state of a window.

        x and y have shape (T, B). Starts from the learner's state; clips nothing. With `update`
        the dropout masks of that update (from 1) apply; without, no dropout.
        """

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        """Run the plan's updates over the whole text `tokens` from the learner's position."""

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        """Nats of tokens[1:], each given all before it in its stream, shape (N-1, B).

        tokens has shape (N, B). The state returned is that after tokens[:-1].
        """

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        """Logits (B, K) after one more character in each stream; ids has shape (B,)."""

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        """Each state's value after each token of one stream, arrays of shape (N, L, H), and the
        last state; tokens has shape (N,)."""

    def generate(
        self,
        learner: Learner,
        read: Ids,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        """One new id per uniform; reads `read[-1]`, then each id it drew except the last.

        The state is that after read[:-1]; the earlier ids of `read` matter to the repetition
        penalty alone. To go on, call again with the ids so far and the returned state.
        """
