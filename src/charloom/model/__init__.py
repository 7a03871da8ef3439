"""What is learnt and how, as plain data: the learner, its parameters, its optimizer."""

from charloom.model.learner import Learner, State, copy_learner, new_learner, zero_state
from charloom.model.parameters import initial_parameters, parameter_shapes

__all__ = [
    "Learner",
    "State",
    "copy_learner",
    "initial_parameters",
    "new_learner",
    "parameter_shapes",
    "zero_state",
]
