"""The fast engine: checks every array, then passes it to the compiled kernels in cpp/.

The kernels do all computation. This module raises a clear error for an array that would crash the kernels. There
are kernels for several instruction sets: the x86-64 levels v2, v3 (AVX2 and FMA) and v4 (AVX-512), or
baseline on other processors. The environment variable CHARLOOM_ISA selects one of them.
"""

import os
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from charloom import _native
from charloom.config import Config
from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.engines.checked_arguments import (
    checked_arrays,
    checked_columns,
    checked_ids,
    checked_states,
    checked_text,
    copied_state,
    require_same_dtype,
)
from charloom.engines.kept_network import keeper_of
from charloom.engines.native_arguments import (
    NO_BOUNDARY,
    native_descent,
    native_ngrams,
    native_pairs,
    native_sampler,
    native_shape,
    reference_instead,
    require_cell,
    require_layers,
)
from charloom.engines.native_network import NativeNetwork
from charloom.errors import EngineError
from charloom.formatting import counted, shortened
from charloom.model import (
    Learner,
    State,
    hidden_arrays,
    parameter_shapes,
    weights_per_character,
)
from charloom.model.input_pairs import InputPairs
from charloom.model.learner import release_arrays, required_ngrams, required_pairs
from charloom.model.ngrams import (
    ANY_MEMORY,
    FREE_LENGTH,
    LEAST_OCCURRENCES,
    MOST_BYTES,
    PARTS,
    NGrams,
    bytes_in_file,
    read_only,
)
from charloom.model.parameters import Parameters

MAX_THREADS: Final = 256
# If the weights that a model reads for each character have at least this many bytes, several threads work
# together on one text that is sampled.
SHARED_SAMPLING: Final = 2**21
MAX_WINDOW: Final = 2**24 - 1  # largest number of characters in a window: steps T times streams B


def choose_instruction_set() -> str:
    """Return the instruction set that the environment variable CHARLOOM_ISA names.

    If the variable is not set, return the best instruction set of this processor.

    Raises:
        EngineError: this processor cannot run the instruction set in CHARLOOM_ISA.
    """
    sets = _native.instruction_sets()
    wanted = os.environ.get("CHARLOOM_ISA") or sets[0]
    if wanted not in sets:
        raise EngineError(
            f"CHARLOOM_ISA is {shortened(wanted)}; on this processor it must be one of "
            f"{', '.join(sets)}, or not set."
        )
    return str(wanted)


Kernels = _native.Kernels32 | _native.Kernels64


def open_kernels(dtype: str, isa: str) -> Kernels:
    """Return the kernels for a dtype, "float32" or "float64", and for an instruction set."""
    return _native.Kernels32(isa) if dtype == "float32" else _native.Kernels64(isa)


@dataclass(frozen=True)
class _Settings:
    """A network's settings in the form for the kernels.

    Attributes:
        config: the settings from which `shape` and `descent` are made.
        characters: number of characters in the vocabulary, K.
        boundary: the id at which items begin; None without one.
        shape: the cell and the sizes of the network.
        descent: the optimizer and its settings.
        shapes: the shape of each parameter by name.
    """

    config: Config
    characters: int
    boundary: int | None
    shape: _native.Shape
    descent: _native.Descent
    shapes: dict[str, tuple[int, ...]]


class NativeEngine:
    """The native engine; `charloom.engines.base.Engine` documents its methods.

    Args:
        threads: the largest number of threads. Each thread computes some streams of a batch; a stream
            is never divided between threads.
        isa: the instruction set. None takes the instruction set that the environment variable CHARLOOM_ISA
            names; if the variable is not set, the best instruction set of this processor.

    Raises:
        EngineError: this processor cannot run the instruction set in CHARLOOM_ISA; or a call got arrays of a
            wrong shape, dtype or memory layout, ids out of range, or a network or window that is too
            large.
        OSError: the system refused to start the threads of a call.
    """

    name = "native"

    def __init__(self, threads: int = 1, isa: str | None = None) -> None:
        self.threads = max(1, threads)
        self.isa = choose_instruction_set() if isa is None else isa
        self._kernels = {
            np.dtype(dtype): open_kernels(dtype, self.isa) for dtype in ("float32", "float64")
        }
        self._last: _Settings | None = None
        self._checked: WeakKeyDictionary[NGrams, _native.NGrams] = WeakKeyDictionary()
        self._checked_pairs: WeakKeyDictionary[InputPairs, _native.Pairs] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type["NativeEngine"], tuple[int]]:
        """Make pickling and copying create a new engine, because engines cannot share memory."""
        return NativeEngine, (self.threads,)

    def kind(self) -> str:
        return f"native ({self.isa})"

    def describe(self) -> str:
        return f"native ({self.isa}, {counted(self.threads, 'thread')})"

    def require(self, config: Config) -> None:
        require_cell(config)
        require_same_dtype(config)
        require_layers(config)
        if config.seq_length * config.batch_size > MAX_WINDOW:
            raise EngineError(
                f"a window has {counted(config.seq_length, 'step')} of "
                f"{counted(config.batch_size, 'stream')}, but the native engine can process at most "
                f"{MAX_WINDOW:,} characters. Use fewer, or {reference_instead()}."
            )

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
        context_bytes, entry_bytes = bytes_in_file(characters)
        arrays = _native.count_ngrams(
            ids=np.ascontiguousarray(ids),
            segments=np.ascontiguousarray(segments, dtype=np.int64),
            K=characters,
            order=config.ngram_order,
            parts=PARTS,
            least=LEAST_OCCURRENCES,
            free=FREE_LENGTH,
            context_bytes=context_bytes,
            entry_bytes=entry_bytes,
            most_bytes=most_bytes,
            most_memory=most_memory,
            boundary=NO_BOUNDARY if boundary is None else boundary,
        )
        for array in arrays:
            read_only(array)  # so that it is not copied
        return NGrams(config.ngram_order, characters, *arrays, counted=len(ids))

    def loss_and_gradients(
        self,
        learner: Learner,
        x: Ids,
        y: Ids,
        update: int | None = None,
        columns: NDArray[np.int32] | None = None,
    ) -> tuple[float, Parameters, State]:
        kernels = self._kernels_for(learner)
        if x.ndim != 2 or x.shape != y.shape or not x.size:
            raise EngineError(
                f"x has shape {x.shape} and y has shape {y.shape}; they must have the same shape "
                f"(T, B), and T and B must be at least 1."
            )
        settings = self._settings(learner)
        as_trained = bool(update) or not learner.config.dropout
        gradients = {name: np.empty_like(p) for name, p in learner.parameters.items()}
        state = {name: np.empty_like(s) for name, s in learner.state.items()}
        loss = kernels.gradients(
            shape=settings.shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            weights=self._weights(learner),
            x=checked_ids(x, learner),
            y=checked_ids(y, learner),
            columns=checked_columns(learner, x.shape, columns),
            state=checked_states(learner, learner.state, x.shape[1]),
            descent=settings.descent
            if as_trained
            else native_descent(learner.config.replace(dropout=0.0)),
            update=update or 0,
            gradients=tuple(gradients.values()),
            next=tuple(state.values()),
        )
        return loss, gradients, state

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        count = len(plan.learning_rates)
        results = np.empty((2, count))
        stopped = keeper_of(learner).train(learner, self, tokens, plan, results)
        done = count if stopped is None else stopped.updates
        learner.position += done * learner.config.seq_length
        learner.update += done
        if stopped is None:
            return Trace(results[0], results[1])
        release_arrays(learner)  # because the kernels' memory may have numbers that are not finite
        if stopped.bad_id:
            raise EngineError(
                f"the text has an id that is too large for the model, which has "
                f"{len(learner.vocabulary):,} characters; ids must be from 0 to "
                f"{len(learner.vocabulary) - 1:,}."
            )
        losses, norms = results[:, :done]
        return Trace(losses, norms, "non-finite", stopped.loss, stopped.norm)

    def open_network(self, learner: Learner) -> NativeNetwork:
        """Return a network for training, without numbers, for a learner that has all its arrays.

        Raises:
            EngineError: this engine cannot train with the learner's settings.
            MemoryError: there is not enough memory.
        """
        kernels, config = self._kernels_for(learner), learner.config
        self.require(config)
        settings = self._settings(learner)
        network = kernels.open_training(
            shape=settings.shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            descent=settings.descent,
            seq_length=config.seq_length,
            streams=config.batch_size,
            threads=self._threads(config.batch_size),
        )
        return NativeNetwork(network, config, settings.shapes, learner.parameters["V"].dtype)

    def open_text(self, tokens: Ids) -> _native.Text:
        """Return the ids of a text in the form for the kernels.

        Raises:
            EngineError: the ids are not contiguous unsigned integers of at most 32 bits with one axis.
        """
        return _native.Text(ids=checked_text(tokens))

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        kernels = self._kernels_for(learner)
        if tokens.ndim != 2 or not tokens.size:
            raise EngineError(
                f"the ids have shape {tokens.shape}; they must have the shape (N, B), and N and B "
                f"must be at least 1."
            )
        state = copied_state(state)
        nats = np.empty((len(tokens) - 1, tokens.shape[1]))
        kernels.score(
            shape=self._settings(learner).shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            weights=self._weights(learner),
            state=checked_states(learner, state, tokens.shape[1]),
            tokens=checked_ids(tokens, learner),
            threads=self._threads(tokens.shape[1]),
            nats=nats,
        )
        return nats, state

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        kernels = self._kernels_for(learner)
        ids, state = np.asarray(ids), copied_state(state)
        logits = np.empty((len(ids), len(learner.vocabulary)), dtype=learner.config.dtype)
        kernels.step(
            shape=self._settings(learner).shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            weights=self._weights(learner),
            state=checked_states(learner, state, len(ids)),
            ids=checked_ids(ids, learner),
            logits=logits,
        )
        return logits, state

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        kernels, config = self._kernels_for(learner), learner.config
        state = copied_state(state)
        shape = (len(tokens), config.layers, config.hidden_size)
        values = {name: np.empty(shape, dtype=config.dtype) for name in hidden_arrays(state)}
        kernels.activations(
            shape=self._settings(learner).shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            weights=self._weights(learner),
            state=checked_states(learner, state, 1),
            tokens=checked_ids(tokens, learner),
            values=tuple(values.values()),
        )
        return values, state

    def generate(
        self,
        learner: Learner,
        read: Ids,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        kernels = self._kernels_for(learner)
        state = copied_state(state)
        ids = np.empty(len(uniforms), dtype=np.int32)
        finite = kernels.generate(
            shape=self._settings(learner).shape,
            ngrams=self._ngrams(learner),
            pairs=self._pairs(learner),
            weights=self._weights(learner),
            state=checked_states(learner, state, 1),
            read=checked_ids(np.asarray(read), learner),
            sampler=native_sampler(sampler),
            uniforms=np.ascontiguousarray(uniforms, dtype=np.float64),
            threads=self._sampling_threads(learner),
            ids=ids,
        )
        if not finite:
            raise EngineError(
                "the model's logits are not finite, because its training diverged; use an earlier "
                "checkpoint."
            )
        return ids.astype(learner.vocabulary.id_dtype), state

    def _kernels_for(self, learner: Learner) -> Kernels:
        """Return the kernels for the dtype of the learner's parameters."""
        dtype = learner.parameters["V"].dtype
        if dtype not in self._kernels:
            raise EngineError(
                f"the parameters are {dtype}; the native engine computes in float32 or float64. "
                f"Use the reference engine for other types."
            )
        return self._kernels[dtype]

    def _settings(self, learner: Learner) -> _Settings:
        """Return the learner's settings for the kernels.

        The engine keeps the returned object, and returns it again in the next call if the learner's config
        and vocabulary size are still the same, and the boundary of items.
        """
        config, characters, last = learner.config, len(learner.vocabulary), self._last
        boundary = learner.vocabulary.boundary
        if (
            last is None
            or last.config is not config
            or (last.characters, last.boundary) != (characters, boundary)
        ):
            last = _Settings(
                config,
                characters,
                boundary,
                native_shape(config, characters, boundary),
                native_descent(config),
                parameter_shapes(config, characters),
            )
            self._last = last
        return last

    def _weights(self, learner: Learner) -> tuple[Array, ...]:
        """Return the learner's parameters for the kernels, after checking them."""
        return checked_arrays(learner, learner.parameters, self._settings(learner).shapes)

    def _ngrams(self, learner: Learner) -> _native.NGrams | None:
        """Return the learner's n-grams in the form for the kernels; None if it has none.

        The kernels check all entries, which takes a tenth of a second for a million characters. So the
        result is kept as long as the learner's n-grams are in memory.
        """
        ngrams = required_ngrams(learner)
        if ngrams is None:
            return None
        if ngrams not in self._checked:
            self._checked[ngrams] = native_ngrams(ngrams)
        return self._checked[ngrams]

    def _pairs(self, learner: Learner) -> _native.Pairs | None:
        """Return the learner's pairs in the form for the kernels; None if it has none.

        The result is kept as long as the learner's pairs are in memory.
        """
        pairs = required_pairs(learner)
        if pairs is None:
            return None
        if pairs not in self._checked_pairs:
            self._checked_pairs[pairs] = native_pairs(pairs)
        return self._checked_pairs[pairs]

    def _threads(self, streams: int) -> int:
        """Return how many threads to use for `streams` streams."""
        return min(self.threads, streams, MAX_THREADS)

    def _sampling_threads(self, learner: Learner) -> int:
        """Return how many threads to use for sampling one text.

        One thread is best if the weights that each character reads fit into the cache of one core. For a
        plain RNN with one layer, the kernels can use only one thread.
        """
        parameters = learner.parameters
        size = weights_per_character(parameters) * parameters["V"].itemsize
        alone = size < SHARED_SAMPLING or (learner.config.cell, learner.config.layers) == ("rnn", 1)
        return 1 if alone else min(self.threads, MAX_THREADS)
