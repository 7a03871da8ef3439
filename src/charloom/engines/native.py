"""The fast engine: checks every array at the door and hands it to the compiled kernels.

Everything that computes is in cpp/; here is only what makes a wrong array a clear error instead
of a crash. Instruction sets: x86-64 levels v2, v3 (AVX2 and FMA), v4 (AVX-512), or the baseline
of another processor; `CHARLOOM_ISA` forces one.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom import _native
from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.errors import EngineError
from charloom.model import Learner, State, parameter_shapes
from charloom.model.parameters import Parameters

MAX_ID_BITS = 32


def choose_instruction_set() -> str:
    """The best set that this processor runs, or the one that CHARLOOM_ISA names."""
    sets = _native.instruction_sets()
    wanted = os.environ.get("CHARLOOM_ISA") or sets[0]
    if wanted not in sets:
        raise EngineError(
            f"CHARLOOM_ISA is {wanted!r}; on this processor it can be {', '.join(sets)}, or unset."
        )
    return str(wanted)


class NativeEngine:
    """See `charloom.engines.base.Engine`, whose docstrings these methods keep.

    Raises:
        EngineError: CHARLOOM_ISA names a set that this processor does not run, or a call got
            arrays whose shape, dtype or contiguity do not fit, or ids out of range.
    """

    name = "native"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.isa = choose_instruction_set()

    def describe(self) -> str:
        return f"native ({self.isa}, 1 thread)"

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids
    ) -> tuple[float, Parameters, State]:
        kernels = _kernels(learner)
        if x.ndim != 2 or x.shape != y.shape or x.shape[1] != 1 or not len(x):
            raise EngineError(
                f"x has shape {x.shape} and y {y.shape}; the native engine takes windows of "
                f"shape (T, 1), T at least 1."
            )
        gradients = {name: np.empty_like(p) for name, p in learner.parameters.items()}
        h_next = np.empty_like(learner.state["h"])
        loss = kernels.gradients(
            self.isa,
            _bundle(learner, learner.parameters),
            _window_ids(x, learner),
            _window_ids(y, learner),
            _flat_state(learner, learner.state),
            tuple(gradients.values()),
            h_next.reshape(-1),
        )
        return loss, gradients, {"h": h_next}

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        kernels = _kernels(learner)
        count, T = len(plan.learning_rates), learner.config.seq_length
        start, end = learner.position, learner.position + count * T + 1
        if end > len(tokens):
            raise EngineError(
                f"{count} windows of {T} from position {start} need {end} characters; "
                f"the text has {len(tokens)}."
            )
        losses, norms = np.empty(count), np.empty(count)
        h = learner.state["h"].copy()
        done, not_finite, loss, norm = kernels.train(
            self.isa,
            _bundle(learner, learner.parameters),
            _bundle(learner, learner.slots["accumulator"]),
            _flat_state(learner, {"h": h}),
            _tokens(tokens[start:end], learner),
            T,
            plan.learning_rates,
            plan.clip,
            plan.epsilon,
            losses,
            norms,
        )
        learner.state = {"h": h}
        learner.position += done * T
        learner.update += done
        if not_finite:
            return Trace(losses[:done], norms[:done], "non-finite", loss, norm)
        return Trace(losses, norms)

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        kernels = _kernels(learner)
        if not len(tokens):
            raise EngineError("there is nothing to score; give at least one id.")
        nats, h = np.empty(len(tokens) - 1), state["h"].copy()
        kernels.score(
            self.isa,
            _bundle(learner, learner.parameters),
            _flat_state(learner, {"h": h}),
            _tokens(tokens, learner),
            nats,
        )
        return nats, {"h": h}

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        kernels = _kernels(learner)
        (id,) = _window_ids(np.asarray(ids).reshape(-1, 1), learner).tolist()
        h = state["h"].copy()
        logits = np.empty((1, len(learner.vocabulary)), dtype=h.dtype)
        kernels.step(
            self.isa,
            _bundle(learner, learner.parameters),
            _flat_state(learner, {"h": h}),
            id,
            logits.reshape(-1),
        )
        return logits, {"h": h}

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        kernels = _kernels(learner)
        h = state["h"].copy()
        values = np.empty((len(tokens), learner.config.hidden_size), dtype=h.dtype)
        kernels.activations(
            self.isa,
            _bundle(learner, learner.parameters),
            _flat_state(learner, {"h": h}),
            _tokens(tokens, learner),
            values,
        )
        return {"h": values[:, np.newaxis]}, {"h": h}

    def generate(
        self,
        learner: Learner,
        first: int,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        kernels = _kernels(learner)
        h = state["h"].copy()
        ids = np.empty(len(uniforms), dtype=np.int32)
        (first,) = _window_ids(np.array([[first]]), learner).tolist()
        finite = kernels.generate(
            self.isa,
            _bundle(learner, learner.parameters),
            _flat_state(learner, {"h": h}),
            first,
            sampler.temperature,
            np.ascontiguousarray(uniforms, dtype=np.float64),
            ids,
        )
        if not finite:
            raise EngineError(
                "the model's logits are not finite: it has diverged; use an earlier one."
            )
        return ids.astype(learner.vocabulary.id_dtype), {"h": h}


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


def _bundle(learner: Learner, arrays: Parameters) -> tuple[Array, ...]:
    """Arrays shaped like the parameters in the kernels' order U, W, b, V, c, all checked."""
    dtype = learner.parameters["V"].dtype
    shapes = parameter_shapes(learner.config, len(learner.vocabulary))
    if list(arrays) != list(shapes):
        raise EngineError(f"the arrays are {', '.join(arrays)}; wanted {', '.join(shapes)}.")
    for name, shape in shapes.items():
        _require_array(name, arrays[name], shape, dtype)
    return tuple(arrays.values())


def _flat_state(learner: Learner, state: State) -> Array:
    """The state's h as the kernels read it, shape (H,), sharing memory."""
    h = state["h"]
    shape = (1, 1, learner.config.hidden_size)
    _require_array("the state h", h, shape, learner.parameters["V"].dtype)
    return h.reshape(-1)


def _require_array(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that the kernels cannot take as it is."""
    if array.shape != shape or array.dtype != dtype:
        raise EngineError(
            f"{name} is {array.dtype} of shape {array.shape}; wanted {dtype} of shape {shape}."
        )
    if not array.flags.c_contiguous:
        raise EngineError(f"{name} is not C-contiguous; wanted numpy.ascontiguousarray of it.")


def _tokens(tokens: Ids, learner: Learner) -> Ids:
    """Ids as the kernels read them: unsigned, one axis, contiguous, each below K."""
    if tokens.ndim != 1 or tokens.dtype.kind != "u" or tokens.dtype.itemsize > MAX_ID_BITS // 8:
        raise EngineError(
            f"the ids are {tokens.dtype} of shape {tokens.shape}; wanted uint8, uint16 or uint32 "
            f"with one axis."
        )
    _require_range(tokens, learner)
    return np.ascontiguousarray(tokens)


def _window_ids(ids: Ids, learner: Learner) -> NDArray[np.int32]:
    """Ids of shape (T, 1) as int32 of shape (T,), each checked."""
    if ids.dtype.kind not in "ui":
        raise EngineError(f"the ids are {ids.dtype}; wanted whole numbers.")
    _require_range(ids, learner)
    return np.ascontiguousarray(ids[:, 0], dtype=np.int32)


def _require_range(ids: Ids, learner: Learner) -> None:
    K = len(learner.vocabulary)
    if ids.size and (ids.min() < 0 or ids.max() >= K):
        raise EngineError(
            f"the ids run from {ids.min()} to {ids.max()}; the model has {K} characters, "
            f"so they must lie in 0 … {K - 1}."
        )
