"""The parameters of a network: their names, shapes and first values.

`layers.0.U` (H × K), `layers.0.W` (H × H), `layers.0.b` (H); output `V` (K × H), `c` (K).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.random import normals

Parameters = dict[str, NDArray[Any]]


def parameter_shapes(config: Config, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of each parameter, in the order in which they are listed everywhere."""
    H, K = config.hidden_size, vocabulary_size
    return {
        "layers.0.U": (H, K),
        "layers.0.W": (H, H),
        "layers.0.b": (H,),
        "V": (K, H),
        "c": (K,),
    }


def short_name(name: str) -> str:
    """A parameter's name as the mathematics has it where there is one layer: U, W, b, V, c."""
    return name.removeprefix("layers.0.")


def initial_parameters(config: Config, vocabulary_size: int) -> Parameters:
    """First values: matrices N(0, sigma²), biases zero, in the config's dtype.

    Each number depends on the seed, the parameter's place in the list and its own place in the
    parameter, and on nothing else (SPEC: Random numbers).
    """
    parameters: Parameters = {}
    for place, (name, shape) in enumerate(parameter_shapes(config, vocabulary_size).items()):
        if len(shape) == 1:
            values = np.zeros(shape)
        else:
            count = shape[0] * shape[1]
            values = config.sigma * normals(config.seed, "init", count, stream=place).reshape(shape)
        parameters[name] = values.astype(config.dtype)
    return parameters
