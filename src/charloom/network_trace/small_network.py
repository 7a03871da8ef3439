"""The network and the window that a trace computes: random ones with short numbers, or those of a learner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config, require_one_of, require_whole
from charloom.errors import ConfigError
from charloom.formatting import count
from charloom.messages import argument
from charloom.model import Learner, hidden_arrays
from charloom.model.parameters import parameter_shapes
from charloom.network_trace.traced_value import Array
from charloom.random import uniforms

MOST_NUMBERS: Final = 200_000  # of the parameters of a traced network, times the steps
START_STATES: Final = ("zero", "non-zero")
# The streams of the random numbers of the purpose trace (spec/mathematics.md: Random numbers).
STATE_STREAM, ID_STREAM = 1000, 2000


@dataclass(frozen=True)
class Problem:
    """A network and a window of ids.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        parameters: float64 arrays by full name, such as layers.0.W.
        state: the initial state, arrays (L, H): "h", and for an LSTM "cell".
        x: ids that the network reads, one per step.
        y: ids that it must predict, one per step.
        characters: the vocabulary in the order of the ids; None if the ids stand for no characters.
        origin: where the parameters are from, such as "seed 0" or the name of a model.
    """

    cell: str
    parameters: Mapping[str, Array]
    state: Mapping[str, Array]
    x: tuple[int, ...]
    y: tuple[int, ...]
    characters: tuple[str, ...] | None = None
    origin: str = field(default="", kw_only=True)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the network and the window by their symbols: L, H, T and K."""
        L, H = self.state["h"].shape
        return {"L": L, "H": H, "T": len(self.x), "K": len(self.parameters["c"])}


def require_small(parameters: int, T: int) -> None:
    """Raise ConfigError if a trace over T steps would have too many numbers.

    `parameters` is how many numbers the parameters of the network have.
    """
    numbers = parameters * T
    if numbers > MOST_NUMBERS:
        raise ConfigError(
            f"the network has too many numbers for a trace: its parameters times the steps are "
            f"{count(numbers)}, and the most is {count(MOST_NUMBERS)}. Choose fewer steps "
            f"({argument('seq_length')}) or a smaller network."
        )


def random_problem(
    *,
    cell: str = "rnn",
    layers: int = 1,
    hidden_size: int = 2,
    seq_length: int = 3,
    vocabulary_size: int = 3,
    state: str = "non-zero",
    seed: int = 0,
    string: str | None = None,
) -> Problem:
    """Return a network with random parameters, each of ±0.1, ±0.2 … ±0.9, and a window of ids.

    Args:
        cell: "rnn", "lstm" or "gru".
        layers: number L of layers.
        hidden_size: number H of hidden units.
        seq_length: number T of steps.
        vocabulary_size: number K of ids. It is not used with `string`.
        state: initial state, "zero" or "non-zero" (numbers like the parameters).
        seed: seed of all random numbers.
        string: T + 1 characters; the network reads all but the last, and predicts all but the first. None
            for random ids.

    Raises:
        ConfigError: a setting is out of its range, or the network is too large for a trace.
    """
    characters = None if string is None else tuple(sorted(set(string)))
    K = len(characters) if characters else vocabulary_size
    K = require_whole("vocabulary_size", K, least=2)
    T = require_whole("seq_length", seq_length, least=1)
    config = Config(cell=cell, layers=layers, hidden_size=hidden_size, seed=seed)
    require_one_of("state", state, START_STATES)
    # A smaller number than the right one, before a list of very many layers is made
    require_small(config.layers * config.hidden_size**2, T)
    shapes = parameter_shapes(config, K)
    require_small(sum(map(math.prod, shapes.values())), T)
    parameters = {
        name: short_numbers(seed, shape, place)
        for place, (name, shape) in enumerate(shapes.items())
    }
    names = ("h", "cell") if cell == "lstm" else ("h",)
    size = (config.layers, config.hidden_size)
    start = {
        name: short_numbers(seed, size, STATE_STREAM + place) for place, name in enumerate(names)
    }
    if state == "zero":
        start = {name: np.zeros(size) for name in names}
    if string is None or characters is None:
        ids = random_ids(seed, T, K).tolist()
    else:
        ids = [characters.index(character) for character in string]
    return Problem(
        cell, parameters, start, tuple(ids[:-1]), tuple(ids[1:]), characters, origin=f"seed {seed}"
    )


def random_ids(seed: int, T: int, K: int) -> NDArray[np.int64]:
    """Return T + 1 random ids below K, each other than the one before it."""
    require_whole("seq_length", T, least=1)
    numbers = uniforms(seed, "trace", T + 1, stream=ID_STREAM)
    steps = 1 + np.floor((K - 1) * numbers)
    steps[0] = np.floor(K * numbers[0])
    return (np.cumsum(steps) % K).astype(np.int64)


def short_numbers(seed: int, shape: tuple[int, ...], stream: int) -> Array:
    """Return random numbers, each of ±0.1, ±0.2 … ±0.9, in an array of the given shape."""
    size = math.prod(shape)
    tenths = np.floor(18 * uniforms(seed, "trace", size, stream=stream)) - 9
    return ((tenths + (tenths >= 0)) / 10).reshape(shape)


def learner_problem(learner: Learner, ids: Sequence[int], origin: str) -> Problem:
    """Return the problem of a learner's weights and a window of T + 1 ids, from the zero state.

    Args:
        learner: a learner without n-grams and pairs.
        ids: T + 1 ids; the network reads all but the last, and predicts all but the first.
        origin: the name of the model.

    Raises:
        ConfigError: the network has n-grams or pairs, or it is too large for a trace.
    """
    config = learner.config
    for setting in ("ngram_order", "input_pairs"):
        if getattr(config, setting):
            raise ConfigError(
                f"a trace shows only the network of the lesson, but this model has "
                f"{argument(setting, getattr(config, setting))}; choose a model that was trained with "
                f"{argument(setting, 0)}."
            )
    require_small(sum(array.size for array in learner.parameters.values()), len(ids) - 1)
    state = {
        name: np.zeros(array[:, 0].shape) for name, array in hidden_arrays(learner.state).items()
    }
    return Problem(
        config.cell,
        {name: array.astype(np.float64) for name, array in learner.parameters.items()},
        state,
        tuple(ids[:-1]),
        tuple(ids[1:]),
        learner.vocabulary.characters,
        origin=origin,
    )
