"""The learner, its parameters and its optimizer, as plain data."""

from charloom.model.learner import (
    Learner,
    State,
    averaged,
    copy_learner,
    finished_model,
    first_slots,
    first_stream_state,
    hidden_arrays,
    new_learner,
    restore_learner,
    state_arrays,
    zero_slots,
    zero_state,
)
from charloom.model.parameters import (
    initial_parameters,
    parameter_shapes,
    weights_per_character,
)
from charloom.model.start_losses import DEFAULT_START, Start, StartLosses, require_start
from charloom.model.writing_start import beginning, start_id, stored_state

__all__ = [
    "DEFAULT_START",
    "Learner",
    "Start",
    "StartLosses",
    "State",
    "averaged",
    "beginning",
    "copy_learner",
    "finished_model",
    "first_slots",
    "first_stream_state",
    "hidden_arrays",
    "initial_parameters",
    "new_learner",
    "parameter_shapes",
    "require_start",
    "restore_learner",
    "start_id",
    "state_arrays",
    "stored_state",
    "weights_per_character",
    "zero_slots",
    "zero_state",
]
