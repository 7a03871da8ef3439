"""Checks parameters that a user's program may have replaced or changed, so that a message names the wrong one."""

import numpy as np

from charloom.errors import ConfigError, DivergedError
from charloom.formatting import shortened
from charloom.model.learner import Learner
from charloom.model.parameters import parameter_shapes


def require_sound_parameters(learner: Learner) -> None:
    """Check that each parameter is an array with the shape and dtype of the network and finite numbers.

    Raises:
        ConfigError: a parameter is missing, or has another type, shape, dtype or memory layout.
        DivergedError: a parameter has numbers that are not finite.
    """
    dtype = np.dtype(learner.config.dtype)
    for name, shape in parameter_shapes(learner.config, len(learner.vocabulary)).items():
        found: object = learner.parameters.get(name)
        problem = ""
        if not isinstance(found, np.ndarray):
            problem = f"is {shortened(found)}; it must be an array of shape {shape}"
        elif found.shape != shape:
            problem = f"has shape {found.shape}; it must have shape {shape}"
        elif found.dtype != dtype:
            problem = f"has dtype {found.dtype}; it must have the dtype of the settings, {dtype}"
        elif not found.flags.c_contiguous:
            problem = "is not C-contiguous"
        elif not np.isfinite(found).all():
            raise DivergedError(
                f"the parameter {name} has numbers that are not finite since your program changed it."
            )
        if problem:
            raise ConfigError(
                f"the parameter {name} {problem}. Change it in place: parameters[{name!r}][...] = array."
            )
