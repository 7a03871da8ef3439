"""The Python interface: a function for each command, which takes and returns values.

The functions call the steps of a command in the right order. They print nothing. A module is imported only when one
of its names is first used: a worker process of a study needs few of them, and starts in half the time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from charloom.api.cell_registration import register_cell
    from charloom.api.class_diagnosis import doctor_class
    from charloom.api.classic_experiment import Reported, Reproduction, reproduce, reproduction
    from charloom.api.compare_runs import compare
    from charloom.api.evaluation_text import (
        TextChoice,
        choose_part,
        evaluate_baselines,
        evaluate_part,
    )
    from charloom.api.exchange import export, import_model, push
    from charloom.api.existing_run import GivenTraining, changes_to_continue, run_to_continue
    from charloom.api.fixed_point_search import FixedPoints, fixed_points
    from charloom.api.learning_rate import (
        find_learning_rate,
        refuse_given_rate,
        search_before_training,
    )
    from charloom.api.linear_probe import Probe, probe
    from charloom.api.memorization import Memorization, memorized
    from charloom.api.model import Model, learner_of, load
    from charloom.api.network_tracing import trace
    from charloom.api.notebook_display import Listener
    from charloom.api.run_changes import RunChanges
    from charloom.api.run_comparison import RunComparison
    from charloom.api.run_control import control
    from charloom.api.run_folder import remove_run, rename_run, runs
    from charloom.api.text_arguments import (
        DEMO_TEXTS,
        Text,
        demo_text,
        free_run,
        new_run,
        open_text,
    )
    from charloom.api.text_classification import Classification, classify
    from charloom.api.time_estimates import updates_per_second
    from charloom.api.training import Training, begin, reopen, resume, train
    from charloom.api.training_plan import plan_settings, plan_training, text_to_learn
    from charloom.api.unit_ablation import UnitAblation, ablate
    from charloom.api.unit_search import Neurons, neurons
    from charloom.diagnosis import DiagnosedClass, Diagnosis, Judged, adapt, doctor
    from charloom.evaluation import Evaluation
    from charloom.gradient_check import GradientCheck, gradcheck
    from charloom.network_trace import NumberCheck, Trace
    from charloom.sampling_grid import SampleGrid
    from charloom.store import RunSummary
    from charloom.training.learning_rate_search import LearningRateSearch

    judge, judge_others, settle = evaluate_part, evaluate_baselines, plan_settings

__all__ = [
    "DEMO_TEXTS",
    "Classification",
    "DiagnosedClass",
    "Diagnosis",
    "Evaluation",
    "FixedPoints",
    "GivenTraining",
    "GradientCheck",
    "Judged",
    "LearningRateSearch",
    "Listener",
    "Memorization",
    "Model",
    "Neurons",
    "NumberCheck",
    "Probe",
    "Reported",
    "Reproduction",
    "RunChanges",
    "RunComparison",
    "RunSummary",
    "SampleGrid",
    "Text",
    "TextChoice",
    "Trace",
    "Training",
    "UnitAblation",
    "ablate",
    "adapt",
    "begin",
    "changes_to_continue",
    "choose_part",
    "classify",
    "compare",
    "control",
    "demo_text",
    "doctor",
    "doctor_class",
    "evaluate_baselines",
    "evaluate_part",
    "export",
    "find_learning_rate",
    "fixed_points",
    "free_run",
    "gradcheck",
    "import_model",
    "judge",
    "judge_others",
    "learner_of",
    "load",
    "memorized",
    "neurons",
    "new_run",
    "open_text",
    "plan_settings",
    "plan_training",
    "probe",
    "push",
    "refuse_given_rate",
    "register_cell",
    "remove_run",
    "rename_run",
    "reopen",
    "reproduce",
    "reproduction",
    "resume",
    "run_to_continue",
    "runs",
    "search_before_training",
    "settle",
    "text_to_learn",
    "trace",
    "train",
    "updates_per_second",
]

# The module that defines each name.
MODULES: Final = {
    "charloom.api.class_diagnosis": ("doctor_class",),
    "charloom.api.classic_experiment": (
        "Reported",
        "Reproduction",
        "reproduce",
        "reproduction",
    ),
    "charloom.api.compare_runs": ("compare",),
    "charloom.api.evaluation_text": (
        "TextChoice",
        "choose_part",
        "evaluate_baselines",
        "evaluate_part",
    ),
    "charloom.api.cell_registration": ("register_cell",),
    "charloom.api.exchange": (
        "export",
        "import_model",
        "push",
    ),
    "charloom.api.existing_run": (
        "GivenTraining",
        "changes_to_continue",
        "run_to_continue",
    ),
    "charloom.api.fixed_point_search": (
        "FixedPoints",
        "fixed_points",
    ),
    "charloom.api.learning_rate": (
        "find_learning_rate",
        "refuse_given_rate",
        "search_before_training",
    ),
    "charloom.api.linear_probe": (
        "Probe",
        "probe",
    ),
    "charloom.api.memorization": (
        "Memorization",
        "memorized",
    ),
    "charloom.api.model": (
        "Model",
        "learner_of",
        "load",
    ),
    "charloom.api.network_tracing": ("trace",),
    "charloom.api.notebook_display": ("Listener",),
    "charloom.api.run_changes": ("RunChanges",),
    "charloom.api.run_comparison": ("RunComparison",),
    "charloom.api.run_control": ("control",),
    "charloom.api.run_folder": (
        "remove_run",
        "rename_run",
        "runs",
    ),
    "charloom.api.text_arguments": (
        "DEMO_TEXTS",
        "Text",
        "demo_text",
        "free_run",
        "new_run",
        "open_text",
    ),
    "charloom.api.text_classification": (
        "Classification",
        "classify",
    ),
    "charloom.api.time_estimates": ("updates_per_second",),
    "charloom.api.training": (
        "Training",
        "begin",
        "reopen",
        "resume",
        "train",
    ),
    "charloom.api.training_plan": (
        "plan_settings",
        "plan_training",
        "text_to_learn",
    ),
    "charloom.api.unit_ablation": (
        "UnitAblation",
        "ablate",
    ),
    "charloom.api.unit_search": (
        "Neurons",
        "neurons",
    ),
    "charloom.diagnosis": (
        "DiagnosedClass",
        "Diagnosis",
        "Judged",
        "adapt",
        "doctor",
    ),
    "charloom.evaluation": ("Evaluation",),
    "charloom.gradient_check": (
        "GradientCheck",
        "gradcheck",
    ),
    "charloom.network_trace": (
        "NumberCheck",
        "Trace",
    ),
    "charloom.sampling_grid": ("SampleGrid",),
    "charloom.store": ("RunSummary",),
    "charloom.training.learning_rate_search": ("LearningRateSearch",),
}
# Earlier names, which old programs may still import, with the present ones.
EARLIER_NAMES: Final = {
    "judge": "evaluate_part",
    "judge_others": "evaluate_baselines",
    "settle": "plan_settings",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, and keep it (PEP 562)."""
    wanted = EARLIER_NAMES.get(name, name)
    for module, names in MODULES.items():
        if wanted in names:
            globals()[name] = found = getattr(import_module(module), wanted)
            return found
    raise AttributeError(f"module 'charloom.api' has no attribute {name!r}")
