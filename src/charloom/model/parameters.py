"""The parameters of a network: their names, shapes and initial values.

Layer l has `layers.l.U` (G·H × inputs), `layers.l.W` (G·H × H), `layers.l.b` (G·H), and for the GRU
also `layers.l.d` (H). The output has `V` (K × H) and `c` (K). Layer 0 has K inputs, the other
layers have H. G is the number of gates, or 1 for the plain cell. With n-grams (setting `ngram_order`), the
weight with which they are mixed in has `ngram.weight` (1 × H) and `ngram.bias` (1). With pairs (setting
`input_pairs`), the learned inputs of the R pairs are `pairs.weight` (R × G·H).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.model.input_pairs import PAIRS, pair_rows
from charloom.model.ngrams import INITIAL_BIAS
from charloom.random import normals, uniforms
from charloom.registered_cells import RegisteredCell, cell_named

Parameters = dict[str, NDArray[Any]]


def parameter_shapes(config: Config, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter by name. Every list of parameters has this order."""
    H, K, cell = config.hidden_size, vocabulary_size, cell_named(config.cell)
    layers = {
        f"layers.{layer}.{name}": shape
        for layer in range(config.layers)
        for name, shape in cell.shapes(H, H if layer else K).items()
    }
    mixture = {"ngram.weight": (1, H), "ngram.bias": (1,)} if config.ngram_order else {}
    pairs: dict[str, tuple[int, ...]] = {}
    if config.input_pairs and not isinstance(cell, RegisteredCell):
        pairs[PAIRS] = (pair_rows(config, K), len(cell.blocks) * H)
    return {**layers, "V": (K, H), "c": (K,), **mixture, **pairs}


def weights_per_character(parameters: Parameters) -> int:
    """Return how many weights a network reads for one character of one stream.

    Of a built-in cell's U of layer 0, this is only the column of the character, and of the inputs of pairs only the
    row of one pair. The network reads all of its other weights.
    """
    parts = {name: array[:, 0] for name, array in parameters.items() if name == "layers.0.U"}
    if PAIRS in parameters:
        parts[PAIRS] = parameters[PAIRS][0]
    return sum(array.size for array in {**parameters, **parts}.values())


def short_name(name: str) -> str:
    """Return the short form of a parameter's name: "U" for layers.0.U, "1.U" for layers.1.U."""
    return name.removeprefix("layers.0.").removeprefix("layers.")


def initial_parameters(config: Config, vocabulary_size: int) -> Parameters:
    """Return the initial parameters in the config's dtype, drawn with the method `config.init`.

    Each number depends only on the seed, on the index of its parameter in `parameter_shapes`, and
    on its own index in the parameter (spec/mathematics.md: First values, Random numbers).
    """
    cell = cell_named(config.cell)
    own = _own_values(config, cell, vocabulary_size) if isinstance(cell, RegisteredCell) else {}
    parameters: Parameters = {}
    for place, (name, shape) in enumerate(parameter_shapes(config, vocabulary_size).items()):
        values = own[name] if name in own else _first_values(config, name, shape, place)
        if not isinstance(cell, RegisteredCell) and "f" in cell.gates and name.endswith(".b"):
            values[cell.rows("f", config.hidden_size)] = config.forget_bias
        parameters[name] = values.astype(config.dtype)
    return parameters


def _own_values(config: Config, cell: RegisteredCell, vocabulary_size: int) -> Parameters:
    """Return the initial values, in float64, that a registered cell gives some of its parameters.

    Raises:
        ConfigError: a value is not a finite number or an array of finite numbers of the parameter's shape.
    """
    H, found = config.hidden_size, {}
    for layer in range(config.layers):
        inputs = H if layer else vocabulary_size
        shapes = cell.shapes(H, inputs)
        for name, value in cell.first_values(H, inputs).items():
            try:
                array = np.broadcast_to(np.asarray(value, np.float64), shapes[name]).copy()
            except (TypeError, ValueError, RuntimeError):
                array = np.full(1, np.nan)
            if not np.isfinite(array).all():
                raise ConfigError(
                    f"initial_values of the cell {cell.name} has for {name} neither a finite number nor an array of "
                    f"finite numbers of the shape {shapes[name]}."
                )
            found[f"layers.{layer}.{name}"] = array
    return found


def _first_values(
    config: Config, name: str, shape: tuple[int, ...], place: int
) -> NDArray[np.float64]:
    """Return the initial values of one parameter in float64.

    `place` is the parameter's index in `parameter_shapes`; it selects the random numbers.
    """
    if name == PAIRS:
        return np.zeros(shape)
    if name.startswith("ngram."):
        return np.full(shape, INITIAL_BIAS if name == "ngram.bias" else 0.0)
    H, count = config.hidden_size, int(np.prod(shape))
    matrix, recurrent = len(shape) == 2, _is_recurrent(name, shape, H)
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


def _is_recurrent(name: str, shape: tuple[int, ...], H: int) -> bool:
    """Return True for blocks of H × H that multiply the state: W, and in a registered cell weight_hh…."""
    own = name.rpartition(".")[2]
    return own == "W" or (own.startswith("weight_hh") and shape[1:] == (H,) and shape[0] % H == 0)


def _orthogonal(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a random orthogonal matrix, made from a matrix (H, H) of normal random numbers.

    Source: Saxe, McClelland and Ganguli 2014.
    """
    q, r = np.linalg.qr(normal)
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))
