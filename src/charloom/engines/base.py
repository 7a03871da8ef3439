"""The interface that every engine implements. Engines never import one another.

Shapes: T steps, B streams, K characters, H hidden units, L layers, N tokens. Ids are unsigned
integers. A state is a dict of arrays of shape (L, B, H): `h`, and for the LSTM also `cell`. A network
with n-grams of order N or with pairs also has `recent`, the ids that each stream read last, int32 of shape (1, B, D).
D is N - 1, but at least 1 with pairs.

If the vocabulary has a boundary of items, a stream that reads it begins a new item, in every method: before it reads
the id, its states are set to zero and its recent ids to NO_ID, and no gradient passes back from there
(spec/mathematics.md: Items). The ids alone say where; callers pass nothing else.
Losses are in nats.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.model import Learner, State
from charloom.model.ngrams import ANY_MEMORY, MOST_BYTES, NGrams
from charloom.model.parameters import Parameters

Ids = NDArray[Any]
Array = NDArray[Any]


@dataclass  # a frozen class takes 0.3 µs longer to make, and a loop makes one for each update
class Plan:
    """The work of one call of `train`: `len(learning_rates)` updates, one after another.

    The caller must make sure that no window crosses the end of the epoch. All other settings are in the
    learner's config.

    Attributes:
        learning_rates: the learning rate of each update, shape (updates,).
        starts: where the windows begin. With shape (B,), each window follows the one before it: stream s
            reads its windows from tokens[starts[s] + learner.position] on. With shape (updates, B), the
            window of update u and stream s begins at tokens[starts[u, s]].
        places: the index in the whole text of each of tokens[starts], in the shape of `starts`. It says
            which columns of the n-grams predict. None if `tokens` are the whole text.
        columns: the column of the n-grams that predicts each of `tokens`, uint8 in their shape. None takes the columns
            of `places`.
        resets: True for each update before which all states are set to zero, bool of shape (updates,). If
            such an update is not applied, the states are zero all the same. None resets no state.
    """

    learning_rates: NDArray[np.float64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64] | None = None
    resets: NDArray[np.bool_] | None = None
    columns: NDArray[np.uint8] | None = None

    @property
    def one_after_another(self) -> bool:
        """True if each window follows the one before it in its stream."""
        return self.starts.ndim == 1

    def window_starts(self, u: int, position: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the windows of update number `u` begin, each of shape (B,).

        The first array has the indices in the tokens, the second those in the whole text. `position` is the
        learner's position before the update.
        """
        places = self.starts if self.places is None else self.places
        if self.one_after_another:
            return self.starts + position, places + position
        return self.starts[u], places[u]


@dataclass
class Trace:
    """The result of one call of `train`, with one entry per applied update.

    Attributes:
        losses: the loss of each update, summed over T and averaged over B, whatever the setting
            `reduction` is.
        gradient_norms: the norm of the gradient of each update before clipping. The setting `reduction`
            says whether this is the gradient of the sum or of the mean of the losses over T.
        stopped: None if all updates of the plan were applied. "non-finite" if the engine stopped at
            an update whose loss or gradient norm was not finite, and did not apply it.
        failed_loss: the loss of the update that was not applied; 0 if all were applied.
        failed_norm: the gradient norm of the update that was not applied; 0 if all were applied.
    """

    losses: NDArray[np.float64]
    gradient_norms: NDArray[np.float64]
    stopped: Literal["non-finite"] | None = None
    failed_loss: float = 0.0
    failed_norm: float = 0.0


@dataclass(frozen=True)
class Sampler:
    """The settings for drawing a character from the logits (spec/mathematics.md: Sampling).

    With the defaults, characters are drawn with exactly the probabilities that the model gives.

    Attributes:
        temperature: divides the logits; 0 takes the most likely character.
        top_k: keep only the k most likely characters; 0 keeps all.
        top_p: keep only the most likely characters that together have this probability; 1 keeps all.
        min_p: keep only characters with at least this fraction of the highest probability; 0 keeps
            all.
        repetition_penalty: above 1, recent characters become less likely; 1 changes nothing.
        repetition_window: how many of the last characters count as recent.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64


class Engine(Protocol):
    """The interface of every engine. Of its methods, only `train` changes the learner."""

    name: str

    def require(self, config: Config) -> None:
        """Raise EngineError if this engine cannot train with `config`. Creates no arrays.

        Raises:
            EngineError: the settings do not suit this engine; the message says what to change.
        """
        ...

    def kind(self) -> str:
        """Return the name of the engine and its instruction set or library, without its threads."""

    def describe(self) -> str:
        """Return one line that names the engine, its instruction set and its threads."""

    def count_ngrams(
        self,
        config: Config,
        characters: int,
        ids: Ids,
        segments: Array,
        most_bytes: int = MOST_BYTES,
        most_memory: int = ANY_MEMORY,
        boundary: int | None = None,
    ) -> NGrams:
        """Count the n-grams of a text; return them with a column without each of PARTS parts.

        Args:
            config: its `ngram_order` is the length N of the n-grams, at least 1.
            characters: the number of characters in the vocabulary, K.
            ids: the ids of the text, shape (N,). The parts divide all of it.
            segments: where each counted segment begins and ends in `ids`, int64 of shape (S, 2),
                ascending. No context crosses the beginning of a segment.
            most_bytes: the largest `file_size` of the n-grams. If they would be larger, contexts must occur
                more often to count.
            most_memory: how many bytes of memory counting may need.
            boundary: the id at which items begin; None without one. No context goes back beyond it.

        Raises:
            MemoryError: counting would need more than `most_memory` bytes, or the system has no memory left.
        """

    def loss_and_gradients(
        self,
        learner: Learner,
        x: Ids,
        y: Ids,
        update: int | None = None,
        columns: NDArray[np.int32] | None = None,
    ) -> tuple[float, Parameters, State]:
        """Return the loss of a window, its exact gradient by parameter name, and the next state.

        The loss is summed over T and averaged over B. The gradient is not clipped. The window
        starts from the learner's state.

        Args:
            learner: not changed.
            x: input ids, shape (T, B).
            y: target ids, shape (T, B).
            update: use the dropout masks of this update (from 1); None turns dropout off.
            columns: the column of the n-grams that predicts each target, shape (T, B); None takes
                column 0 for all, which counts the whole text.
        """

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        """Apply the updates of `plan` to `learner` in place; return their losses and gradient norms.

        Args:
            learner: changed in place; its position says where in the text the updates begin.
            tokens: the ids of the text, shape (N,).
            plan: the learning rates and the starts of the streams.
        """

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        """Return the losses of tokens[1:], shape (N-1, B), and the state after reading tokens[:-1].

        Each loss is the loss of one token in nats, given all earlier tokens of its stream.

        Args:
            learner: not changed.
            tokens: the ids of B streams, shape (N, B).
            state: the state before the first token.
        """

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        """Read one character in each stream; return the logits and the next state.

        Args:
            learner: not changed.
            ids: the id of the character in each stream, shape (B,).
            state: the state before the character.

        Returns:
            The logits, shape (B, K), and the state after the character.
        """

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        """Return the states after each token of one stream, and the state after the last token.

        Args:
            learner: not changed.
            tokens: the ids of one stream, shape (N,).
            state: the state before the first token, arrays of shape (L, 1, H).

        Returns:
            The states after each token, arrays of shape (N, L, H), and the state after the last token,
            arrays of shape (L, 1, H).
        """

    def generate(
        self,
        learner: Learner,
        read: Ids,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        """Draw one new id for each number in `uniforms`.

        The engine reads `read[-1]`, draws an id, reads this id, and so on. It does not read the last id
        that it draws. To continue, call again with all ids so far and the returned state.

        Args:
            learner: not changed.
            read: the ids before the new ids. The engine reads only the last id of `read`; the others
                affect only the repetition penalty.
            sampler: the settings for drawing an id.
            uniforms: random numbers in [0, 1), one for each id to draw.
            state: the state after reading read[:-1].

        Returns:
            The new ids, and the state after reading all of them except the last.
        """
