"""The parameters of a network: their names, shapes and first values.

Layer l: `layers.l.U` (G·H × input), `layers.l.W` (G·H × H), `layers.l.b` (G·H), and for the GRU
`layers.l.d` (H); output `V` (K × H), `c` (K). The input of layer 0 has K entries, of the others H.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.random import normals, uniforms

Parameters = dict[str, NDArray[Any]]

GATES: Final = {"rnn": 1, "lstm": 4, "gru": 3}  # G; their order: LSTM i, f, g, o; GRU r, z, n
STATES: Final = {"rnn": ("h",), "lstm": ("h", "cell"), "gru": ("h",)}  # what each layer carries


def parameter_shapes(config: Config, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of each parameter, in the order in which they are listed everywhere."""
    H, K, G = config.hidden_size, vocabulary_size, GATES[config.cell]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.layers):
        shapes[f"layers.{layer}.U"] = (G * H, H if layer else K)
        shapes[f"layers.{layer}.W"] = (G * H, H)
        shapes[f"layers.{layer}.b"] = (G * H,)
        if config.cell == "gru":
            shapes[f"layers.{layer}.d"] = (H,)
    return {**shapes, "V": (K, H), "c": (K,)}


def short_name(name: str) -> str:
    """A parameter's name as the mathematics has it: U, W, b, d, V, c; above layer 0 with its layer."""
    return name.removeprefix("layers.0.").removeprefix("layers.")


def initial_parameters(config: Config, vocabulary_size: int) -> Parameters:
    """First values in the config's dtype, by its `init` (spec/mathematics.md: First values).

    Each number depends on the seed, the parameter's place in the list and its own place in the
    parameter, and on nothing else (spec/mathematics.md: Random numbers).
    """
    parameters: Parameters = {}
    for place, (name, shape) in enumerate(parameter_shapes(config, vocabulary_size).items()):
        values = _first_values(config, name, shape, place)
        if config.cell == "lstm" and name.endswith(".b"):
            values[config.hidden_size : 2 * config.hidden_size] = config.forget_bias
        parameters[name] = values.astype(config.dtype)
    return parameters


def _first_values(
    config: Config, name: str, shape: tuple[int, ...], place: int
) -> NDArray[np.float64]:
    """First values of one parameter in float64; `place` says which random numbers are its own."""
    H, count = config.hidden_size, int(np.prod(shape))
    matrix, recurrent = len(shape) == 2, name.endswith(".W")
    if config.init == "uniform" or (config.init == "orthogonal" and matrix and not recurrent):
        numbers = uniforms(config.seed, "init", count, stream=place)
        return np.asarray((2 * numbers - 1) / np.sqrt(H)).reshape(shape)
    if not matrix:
        return np.zeros(shape)
    numbers = normals(config.seed, "init", count, stream=place).reshape(shape)
    if config.init == "normal":
        return config.sigma * numbers
    if config.init == "course":
        inputs = shape[1]
        return np.asarray(numbers / np.sqrt(H if name == "V" else 2 * inputs))
    return np.concatenate([_orthogonal(block) for block in numbers.reshape(-1, H, H)])


def _orthogonal(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A random orthogonal matrix (H, H) from a normal one (Saxe, McClelland and Ganguli 2014)."""
    q, r = np.linalg.qr(normal)
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))
