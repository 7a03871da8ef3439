"""Reads and writes everything that charloom stores on disk: checkpoints, run directories and models."""

from charloom.canonical_form import canonical_json
from charloom.store.atomic_files import replace_file
from charloom.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from charloom.store.control_files import (
    Control,
    Status,
    read_control,
    read_status,
    write_control,
)
from charloom.store.model_file import model_blocks, model_bytes, update_of_file
from charloom.store.resume_plan import ResumePlan, TrainingEnd, plan_to_resume
from charloom.store.run_inspection import RunHead, RunInspection, inspect_head, inspect_run
from charloom.store.run_list import RunList, list_runs
from charloom.store.run_lock import hold_existing_lock, unless_in_use
from charloom.store.run_model import Which, load_model, which_of, which_of_run
from charloom.store.run_reader import RunView, read_run
from charloom.store.run_removal import RunRemoval, plan_removal, remove_run
from charloom.store.run_renaming import rename_run
from charloom.store.run_settings import charloom_version
from charloom.store.run_summary import RunSummary
from charloom.store.run_writer import RunWriter
from charloom.store.training_state import require_finite

__all__ = [
    "Checkpoint",
    "Control",
    "ResumePlan",
    "RunHead",
    "RunInspection",
    "RunList",
    "RunRemoval",
    "RunSummary",
    "RunView",
    "RunWriter",
    "Status",
    "TrainingEnd",
    "Which",
    "canonical_json",
    "charloom_version",
    "hold_existing_lock",
    "inspect_head",
    "inspect_run",
    "list_runs",
    "load_checkpoint",
    "load_model",
    "model_blocks",
    "model_bytes",
    "plan_removal",
    "plan_to_resume",
    "read_control",
    "read_run",
    "read_status",
    "remove_run",
    "rename_run",
    "replace_file",
    "require_finite",
    "save_checkpoint",
    "unless_in_use",
    "update_of_file",
    "which_of",
    "which_of_run",
    "write_control",
]
