"""The Python interface: a function for each command, which takes and returns values.

It knows the order of the steps. It prints nothing.
"""

from charloom.api.costs import updates_per_second
from charloom.api.exchange import export, import_model
from charloom.api.experiment import Reported, Reproduction, reproduce, reproduction
from charloom.api.inside import Neurons, neurons
from charloom.api.model import Model, load
from charloom.api.parts import choose_part, judge, judge_others
from charloom.api.settling import settle, text_to_learn
from charloom.api.steering import control
from charloom.api.texts import DEMO_TEXTS, Text, demo_text, free_run, new_run, open_text
from charloom.api.training import Listener, Training, begin, learner_of, reopen, resume, train
from charloom.doctor import Diagnosis, doctor
from charloom.evaluation import Evaluation
from charloom.gradcheck import GradientCheck, gradcheck

__all__ = [
    "DEMO_TEXTS",
    "Diagnosis",
    "Evaluation",
    "GradientCheck",
    "Listener",
    "Model",
    "Neurons",
    "Reported",
    "Reproduction",
    "Text",
    "Training",
    "begin",
    "choose_part",
    "control",
    "demo_text",
    "doctor",
    "export",
    "free_run",
    "gradcheck",
    "import_model",
    "judge",
    "judge_others",
    "learner_of",
    "load",
    "neurons",
    "new_run",
    "open_text",
    "reopen",
    "reproduce",
    "reproduction",
    "resume",
    "settle",
    "text_to_learn",
    "train",
    "updates_per_second",
]
