"""Types of the compiled module. charloom.engines.native checks the arrays that it passes.

Shapes: T steps, B streams, K characters, H hidden units, L layers, N tokens. The constructor of each
class checks its arguments. Only a _Training can change.
"""

from enum import Enum
from typing import Any, Generic, TypeVar, final, type_check_only

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", np.float32, np.float64)

class Cell(Enum):
    rnn = 0
    lstm = 1
    gru = 2

class Rule(Enum):
    adagrad = 0
    sgd = 1
    rmsprop = 2
    adam = 3
    adamw = 4

@final
class Shape:
    def __init__(
        self,
        *,
        cell: Cell,
        layers: int,
        K: int,
        H: int,
        ngram_order: int = 0,
        pairs: int = 0,
        boundary: int = -1,
    ) -> None: ...
    @property
    def cell(self) -> Cell: ...
    @property
    def layers(self) -> int: ...
    @property
    def K(self) -> int: ...
    @property
    def H(self) -> int: ...
    @property
    def ngram_order(self) -> int: ...  # 0 without n-grams
    @property
    def pairs(self) -> int: ...  # of characters with an input of their own
    @property
    def boundary(self) -> int: ...  # the id at which items begin; -1 without one
    @property
    def blocks(self) -> int: ...  # of H rows, in U, W and b
    @property
    def states(self) -> int: ...  # arrays of a layer's state
    @property
    def arrays(self) -> int: ...  # of the whole network

@final
class Descent:
    def __init__(
        self,
        *,
        rule: Rule,
        momentum: float,
        decay: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
        decays_biases: bool,
        averaging: float,
        clip: float,
        clip_by_norm: bool,
        mean: bool,
        dropout: float,
        seed: int,
    ) -> None: ...
    @property
    def rule(self) -> Rule: ...
    @property
    def momentum(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def decays_biases(self) -> bool: ...
    @property
    def averaging(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def clip_by_norm(self) -> bool: ...
    @property
    def mean(self) -> bool: ...
    @property
    def dropout(self) -> float: ...
    @property
    def seed(self) -> int: ...

@final
class Sampler:
    def __init__(
        self,
        *,
        temperature: float,
        top_p: float,
        min_p: float,
        penalty: float,
        top_k: int,
        window: int,
    ) -> None: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...
    @property
    def penalty(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def window(self) -> int: ...

@final
class NGrams:
    def __init__(
        self,
        *,
        order: int,
        K: int,
        counted: int,
        children: NDArray[np.uint32],
        child_ids: NDArray[np.uint32],
        followers: NDArray[np.uint32],
        follower_ids: NDArray[np.uint32],
        shares: NDArray[np.float32],
        factors: NDArray[np.float32],
    ) -> None: ...
    @property
    def order(self) -> int: ...
    @property
    def K(self) -> int: ...
    @property
    def counted(self) -> int: ...  # characters that the parts divide

@final
class Pairs:
    def __init__(self, *, ids: NDArray[np.int32], K: int) -> None: ...
    @property
    def count(self) -> int: ...  # rows of ids
    @property
    def K(self) -> int: ...

@final
class Text:
    def __init__(self, *, ids: NDArray[Any]) -> None: ...
    @property
    def length(self) -> int: ...

@final
class TrainResult:
    @property
    def updates(self) -> int: ...
    @property
    def not_finite(self) -> bool: ...
    @property
    def bad_id(self) -> bool: ...
    @property
    def loss(self) -> float: ...
    @property
    def norm(self) -> float: ...

@type_check_only
class _Training(Generic[_Float]):
    """A network that is trained, in the layout of the kernels. One thread at a time may call it."""

    def load(
        self,
        *,
        weights: tuple[NDArray[_Float], ...],
        slots: tuple[tuple[NDArray[_Float], ...], ...],
        state: tuple[NDArray[Any], ...],
    ) -> None: ...
    def store(
        self,
        *,
        weights: tuple[NDArray[_Float], ...],
        slots: tuple[tuple[NDArray[_Float], ...], ...],
        state: tuple[NDArray[Any], ...],
    ) -> None: ...
    def train(
        self,
        *,
        text: Text,
        starts: NDArray[np.int64],
        places: NDArray[np.int64] | None,
        resets: NDArray[np.bool_] | None,
        columns: NDArray[np.uint8] | None,
        position: int,
        learning_rates: NDArray[np.float64],
        update: int,
        results: NDArray[np.float64],
    ) -> TrainResult | None: ...

@final
class Training32(_Training[np.float32]): ...

@final
class Training64(_Training[np.float64]): ...

@type_check_only
class _Kernels(Generic[_Float]):
    """The kernels of one instruction set for arrays of one dtype."""

    def __init__(self, isa: str) -> None: ...
    def gradients(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        weights: tuple[NDArray[_Float], ...],
        x: NDArray[np.int32],
        y: NDArray[np.int32],
        columns: NDArray[np.int32],
        state: tuple[NDArray[Any], ...],
        descent: Descent,
        update: int,
        gradients: tuple[NDArray[_Float], ...],
        next: tuple[NDArray[Any], ...],
    ) -> float: ...
    def open_training(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        descent: Descent,
        seq_length: int,
        streams: int,
        threads: int,
    ) -> _Training[_Float]: ...
    def score(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        weights: tuple[NDArray[_Float], ...],
        state: tuple[NDArray[Any], ...],
        tokens: NDArray[np.int32],
        threads: int,
        nats: NDArray[np.float64],
    ) -> None: ...
    def activations(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        weights: tuple[NDArray[_Float], ...],
        state: tuple[NDArray[Any], ...],
        tokens: NDArray[np.int32],
        values: tuple[NDArray[_Float], ...],
    ) -> None: ...
    def step(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        weights: tuple[NDArray[_Float], ...],
        state: tuple[NDArray[Any], ...],
        ids: NDArray[np.int32],
        logits: NDArray[_Float],
    ) -> None: ...
    def generate(
        self,
        *,
        shape: Shape,
        ngrams: NGrams | None,
        pairs: Pairs | None,
        weights: tuple[NDArray[_Float], ...],
        state: tuple[NDArray[Any], ...],
        read: NDArray[np.int32],
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        threads: int,
        ids: NDArray[np.int32],
    ) -> bool: ...
    def apply(self, function: str, x: NDArray[_Float], y: NDArray[_Float]) -> None: ...
    def multiply_adds(self, operations: float) -> None: ...

@final
class Kernels32(_Kernels[np.float32]): ...

@final
class Kernels64(_Kernels[np.float64]): ...

def count_ngrams(
    *,
    ids: NDArray[Any],
    segments: NDArray[np.int64],
    K: int,
    order: int,
    parts: int,
    least: int,
    free: int,
    context_bytes: int,
    entry_bytes: int,
    most_bytes: int,
    most_memory: int,
    boundary: int = -1,
) -> tuple[
    NDArray[np.uint32],  # children
    NDArray[np.uint32],  # child_ids
    NDArray[np.uint32],  # followers
    NDArray[np.uint32],  # follower_ids
    NDArray[np.float32],  # shares
    NDArray[np.float32],  # factors
]: ...
def instruction_sets() -> list[str]: ...
