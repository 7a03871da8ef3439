"""The fast engine: checks every array, then passes it to the compiled kernels.

Everything that computes is in cpp/; here is only what makes a wrong array a clear error instead
of a crash. Instruction sets: x86-64 levels v2, v3 (AVX2 and FMA), v4 (AVX-512), or the baseline
of another processor; `CHARLOOM_ISA` forces one.
"""

import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom import _native
from charloom.config import CELLS, OPTIMIZERS, Config
from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.errors import EngineError
from charloom.messages import argument
from charloom.model import Learner, State, parameter_shapes
from charloom.model.optimizers import SLOTS
from charloom.model.parameters import STATES, Parameters
from charloom.spelling import counted, shortened

MAX_ID_BITS: Final = 32
MAX_THREADS: Final = 256
MAX_LAYERS: Final = 64
SHARED_WRITING: Final = 2**21  # bytes of weights from which threads share a character
MAX_WINDOW: Final = 2**24 - 1  # characters: steps times streams


def choose_instruction_set() -> str:
    """The best set that this processor runs, or the one that CHARLOOM_ISA names."""
    sets = _native.instruction_sets()
    wanted = os.environ.get("CHARLOOM_ISA") or sets[0]
    if wanted not in sets:
        raise EngineError(
            f"CHARLOOM_ISA is {shortened(wanted)}; on this processor it can be {', '.join(sets)}, or unset."
        )
    return str(wanted)


class NativeEngine:
    """See `charloom.engines.base.Engine`, whose docstrings these methods keep.

    Args:
        threads: how many may share the streams of a batch; a stream is never divided.

    Raises:
        EngineError: CHARLOOM_ISA names a set that this processor does not run, or a call got
            arrays whose shape, dtype or contiguity do not fit, ids out of range, or a network or
            window that is too large.
        OSError: a call was not given as many threads by the system.
    """

    name = "native"

    def __init__(self, threads: int = 1) -> None:
        self.threads = max(1, threads)
        self.isa = choose_instruction_set()
        self._workspace = _native.Workspace()

    def __reduce__(self) -> tuple[type["NativeEngine"], tuple[int]]:
        """How it is pickled and copied: its memory is not, each engine has its own."""
        return NativeEngine, (self.threads,)

    def describe(self) -> str:
        return f"native ({self.isa}, {self.threads} thread{'s' if self.threads > 1 else ''})"

    def require(self, config: Config) -> None:
        reference = (
            f"use {argument('engine', 'reference')}, which takes any number, many times slower"
        )
        if config.layers > MAX_LAYERS:
            raise EngineError(
                f"the network has {config.layers:,} layers, and the native engine takes {MAX_LAYERS} at "
                f"most. Give fewer, or {reference}."
            )
        if config.seq_length * config.batch_size > MAX_WINDOW:
            raise EngineError(
                f"a window has {counted(config.seq_length, 'step')} of "
                f"{counted(config.batch_size, 'stream')}, and the "
                f"native engine takes {MAX_WINDOW:,} characters at most. Give fewer, or {reference}."
            )

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids, update: int | None = None
    ) -> tuple[float, Parameters, State]:
        kernels = _kernels(learner)
        if x.ndim != 2 or x.shape != y.shape or not x.size:
            raise EngineError(
                f"x has shape {x.shape} and y {y.shape}; wanted windows of the same shape (T, B), "
                f"each at least 1."
            )
        gradients = {name: np.empty_like(p) for name, p in learner.parameters.items()}
        state = {name: np.empty_like(s) for name, s in learner.state.items()}
        loss = kernels.gradients(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _whole(x, learner),
            _whole(y, learner),
            _states(learner, learner.state, x.shape[1]),
            _rule(learner.config if update else learner.config.replace(dropout=0.0)),
            update or 0,
            tuple(gradients.values()),
            tuple(state.values()),
        )
        return loss, gradients, state

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        kernels, config = _kernels(learner), learner.config
        count, T, B = len(plan.learning_rates), config.seq_length, config.batch_size
        self.require(config)
        starts = np.ascontiguousarray(plan.starts, dtype=np.int64) + learner.position
        if starts.shape != (B,):
            raise EngineError(f"the plan has starts of shape {starts.shape}; wanted {(B,)}.")
        end = int(starts.max()) + count * T + 1
        if end > len(tokens) or starts.min() < 0:
            raise EngineError(
                f"{count} windows of {T} from position {starts.max()} need {end} characters; "
                f"the text has {len(tokens)}."
            )
        losses, norms = np.empty(count), np.empty(count)
        state = _copied(learner.state)
        done, not_finite, bad_id, loss, norm = kernels.train(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _slots(learner),
            _states(learner, state, B),
            _tokens(tokens),
            starts,
            T,
            np.ascontiguousarray(plan.learning_rates, dtype=np.float64),
            learner.update,
            _rule(config),
            self._threads(B),
            self._workspace,
            losses,
            norms,
        )
        learner.state = state
        learner.position += done * T
        learner.update += done
        if bad_id:
            raise EngineError(
                f"the text has an id beyond the model's {len(learner.vocabulary)} characters; "
                f"ids must lie in 0 … {len(learner.vocabulary) - 1}."
            )
        if not_finite:
            return Trace(losses[:done], norms[:done], "non-finite", loss, norm)
        return Trace(losses, norms)

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        kernels = _kernels(learner)
        if tokens.ndim != 2 or not tokens.size:
            raise EngineError(f"the ids have shape {tokens.shape}; wanted (N, B), each at least 1.")
        state = _copied(state)
        nats = np.empty((len(tokens) - 1, tokens.shape[1]))
        kernels.score(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _states(learner, state, tokens.shape[1]),
            _whole(tokens, learner),
            self._threads(tokens.shape[1]),
            nats,
        )
        return nats, state

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        kernels = _kernels(learner)
        ids, state = np.asarray(ids), _copied(state)
        logits = np.empty((len(ids), len(learner.vocabulary)), dtype=learner.config.dtype)
        kernels.step(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _states(learner, state, len(ids)),
            _whole(ids, learner),
            logits,
        )
        return logits, state

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        kernels, config = _kernels(learner), learner.config
        state = _copied(state)
        shape = (len(tokens), config.layers, config.hidden_size)
        values = {name: np.empty(shape, dtype=config.dtype) for name in state}
        kernels.activations(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _states(learner, state, 1),
            _whole(tokens, learner),
            tuple(values.values()),
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
        kernels = _kernels(learner)
        state = _copied(state)
        ids = np.empty(len(uniforms), dtype=np.int32)
        finite = kernels.generate(
            self.isa,
            _shape(learner),
            _arrays(learner, learner.parameters),
            _states(learner, state, 1),
            _whole(np.asarray(read), learner),
            (
                sampler.temperature,
                sampler.top_p,
                sampler.min_p,
                sampler.repetition_penalty,
                sampler.top_k,
                sampler.repetition_window,
            ),
            np.ascontiguousarray(uniforms, dtype=np.float64),
            self._writers(learner),
            ids,
        )
        if not finite:
            raise EngineError(
                "the model's logits are not finite: it has diverged; use an earlier one."
            )
        return ids.astype(learner.vocabulary.id_dtype), state

    def _threads(self, streams: int) -> int:
        """How many threads so many streams can use."""
        return min(self.threads, streams, MAX_THREADS)

    def _writers(self, learner: Learner) -> int:
        """How many threads write a text: all where the weights are too many for one's cache."""
        size = sum(array.nbytes for array in learner.parameters.values())
        alone = size < SHARED_WRITING or (learner.config.cell, learner.config.layers) == ("rnn", 1)
        return 1 if alone else min(self.threads, MAX_THREADS)


def _kernels(learner: Learner) -> Any:
    """The compiled functions for the learner's dtype."""
    dtype = learner.parameters["V"].dtype
    if dtype == np.float32:
        return _native.float32
    if dtype == np.float64:
        return _native.float64
    raise EngineError(
        f"the parameters are {dtype}; the native engine computes in float32 and float64, "
        f"the reference engine in any type."
    )


def _shape(learner: Learner) -> tuple[int, int, int, int]:
    """Cell, layers, K, H as the kernels take them."""
    config = learner.config
    if config.layers > MAX_LAYERS:
        raise EngineError(
            f"the network has {config.layers:,} layers, and the native engine takes {MAX_LAYERS} at "
            f"most; use {argument('engine', 'reference')}, which takes any number."
        )
    cell = CELLS.index(config.cell)
    return cell, config.layers, len(learner.vocabulary), config.hidden_size


def _rule(config: Config) -> tuple[float, ...]:
    """How updates are made, as the kernels take it."""
    return (
        OPTIMIZERS.index(config.optimizer),
        config.momentum,
        config.decay,
        config.beta1,
        config.beta2,
        config.epsilon,
        config.weight_decay,
        config.clip,
        config.clip_by == "norm",
        config.reduction == "mean",
        config.dropout,
        config.seed,
    )


def _arrays(learner: Learner, arrays: Parameters) -> tuple[Array, ...]:
    """Arrays shaped like the parameters, in their order, all checked."""
    dtype = learner.parameters["V"].dtype
    shapes = parameter_shapes(learner.config, len(learner.vocabulary))
    if list(arrays) != list(shapes):
        raise EngineError(f"the arrays are {', '.join(arrays)}; wanted {', '.join(shapes)}.")
    for name, shape in shapes.items():
        _require_array(name, arrays[name], shape, dtype)
    return tuple(arrays.values())


def _slots(learner: Learner) -> tuple[tuple[Array, ...], ...]:
    """The arrays of each of the rule's slots, in the kernels' order, all checked."""
    names = SLOTS[learner.config.optimizer]
    if sorted(learner.slots) != sorted(names):
        raise EngineError(f"the slots are {', '.join(learner.slots)}; wanted {', '.join(names)}.")
    return tuple(_arrays(learner, learner.slots[name]) for name in names)


def _states(learner: Learner, state: State, streams: int) -> tuple[Array, ...]:
    """The arrays of a state in the kernels' order, all checked."""
    config = learner.config
    names = STATES[config.cell]
    if tuple(state) != names:
        raise EngineError(f"the state has {', '.join(state)}; wanted {', '.join(names)}.")
    shape = (config.layers, streams, config.hidden_size)
    for name, array in state.items():
        _require_array(f"the state {name}", array, shape, learner.parameters["V"].dtype)
    return tuple(state.values())


def _copied(state: State) -> State:
    """A state that the kernels may change."""
    return {name: array.copy(order="C") for name, array in state.items()}


def _require_array(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that the kernels cannot take as it is."""
    if array.shape != shape or array.dtype != dtype:
        raise EngineError(
            f"{name} is {array.dtype} of shape {array.shape}; wanted {dtype} of shape {shape}."
        )
    if not array.flags.c_contiguous:
        raise EngineError(f"{name} is not C-contiguous; wanted numpy.ascontiguousarray of it.")
    if not array.flags.writeable:
        raise EngineError(f"{name} is read-only; wanted a copy of it.")


def _tokens(tokens: Ids) -> Ids:
    """A text's ids as the kernels read them where they lie, perhaps in a file: unsigned, one axis.

    The kernels look at each id as they come to it.
    """
    if (
        tokens.ndim != 1
        or tokens.dtype.kind != "u"
        or tokens.dtype.itemsize > MAX_ID_BITS // 8
        or not tokens.flags.c_contiguous
    ):
        raise EngineError(
            f"the ids are {tokens.dtype} of shape {tokens.shape}; wanted contiguous uint8, uint16 "
            f"or uint32 with one axis."
        )
    return tokens.view(np.ndarray)


def _whole(ids: Ids, learner: Learner) -> NDArray[np.int32]:
    """Some ids as int32, each checked."""
    if ids.dtype.kind not in "ui":
        raise EngineError(f"the ids are {ids.dtype}; wanted whole numbers.")
    K = len(learner.vocabulary)
    if ids.size and (ids.min() < 0 or ids.max() >= K):
        raise EngineError(
            f"the ids run from {ids.min()} to {ids.max()}; the model has {K} characters, "
            f"so they must lie in 0 … {K - 1}."
        )
    return np.ascontiguousarray(ids, dtype=np.int32)
