"""The research layer: the parts of training, for loops that you write yourself (docs/guides/research.md).

The names in `__all__` are public. Within version 1 they keep their meaning: a program that uses them
runs with every later version 1.x, and gives the same bits on the same machine with the same settings.
"""

from charloom.config import Config
from charloom.engines import Engine, Plan, Sampler, Trace, engine_for, open_engine
from charloom.model import (
    Learner,
    State,
    averaged,
    copy_learner,
    initial_parameters,
    new_learner,
    parameter_shapes,
    zero_state,
)
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.research.training_loop import TrainingLoop
from charloom.research.window_gradients import WindowGradients
from charloom.text import Corpus, Vocabulary, Windows

__all__ = [
    "Config",
    "Corpus",
    "Engine",
    "Learner",
    "Parameters",
    "Plan",
    "Sampler",
    "Schedule",
    "State",
    "Trace",
    "TrainingLoop",
    "Vocabulary",
    "WindowGradients",
    "Windows",
    "averaged",
    "configure",
    "copy_learner",
    "engine_for",
    "initial_parameters",
    "new_learner",
    "open_engine",
    "parameter_shapes",
    "zero_state",
]
