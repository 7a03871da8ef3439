"""The learner, its parameters and its optimizer, as plain data."""

from charloom.model.learner import (
    Learner,
    State,
    copy_learner,
    first_stream_state,
    new_learner,
    restore_learner,
    zero_slots,
    zero_state,
)
from charloom.model.parameters import initial_parameters, parameter_shapes

__all__ = [
    "Learner",
    "State",
    "copy_learner",
    "first_stream_state",
    "initial_parameters",
    "new_learner",
    "parameter_shapes",
    "restore_learner",
    "zero_slots",
    "zero_state",
]
