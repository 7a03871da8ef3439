"""The messages of process 0 to the others, and their answer. Each of them has some of the B streams."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.base import Ids, Plan
from charloom.model import State
from charloom.model.input_pairs import InputPairs
from charloom.model.ngrams import NGrams
from charloom.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class OpenPart:
    """Make a network for some of the streams. A `LoadPart` follows, and then any number of `TrainPart`.

    Attributes:
        number: the number of the network.
        config: the settings; `batch_size` is the number of the process's own streams.
        vocabulary: the characters.
        ngrams: the n-grams; None without n-grams.
        pairs: the pairs; None without pairs.
        threads: the number of threads.
        first_stream: the number of the process's first stream among all.
        streams: the number of all streams, B.
    """

    number: int
    config: Config
    vocabulary: Vocabulary
    ngrams: NGrams | None
    pairs: InputPairs | None
    threads: int
    first_stream: int
    streams: int


@dataclass(frozen=True)
class LoadPart:
    """Take the state of the process's streams. The weights and slots follow in a broadcast."""

    number: int
    state: State


@dataclass(frozen=True)
class TrainPart:
    """Apply updates, and answer with a `TrainedPart`.

    Attributes:
        number: the number of the network.
        update: how many updates were applied before.
        ids: the windows of the process's streams, one after another.
        plan: the plan for `ids`.
    """

    number: int
    update: int
    ids: Ids
    plan: Plan


@dataclass(frozen=True)
class CloseParts:
    """Forget networks."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class TrainedPart:
    """The result of a `TrainPart`.

    Attributes:
        losses: the loss of each applied update, averaged over the process's own streams.
        failed_loss: the loss of the update that was not applied; 0 if all were.
        state: the state of the process's streams after the updates.
    """

    losses: NDArray[np.float64]
    failed_loss: float
    state: dict[str, Any]
