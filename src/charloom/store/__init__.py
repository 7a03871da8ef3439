"""Reads and writes everything on disk: checkpoints, run directories and models."""

from charloom.canonical_form import canonical_json
from charloom.store.atomic_files import replace_file
from charloom.store.checkpoint import (
    Checkpoint,
    load_checkpoint,
    model_blocks,
    model_bytes,
    require_finite,
    save_checkpoint,
    update_of_file,
)
from charloom.store.control_files import Control, read_control, read_status, write_control
from charloom.store.run_reader import (
    RunOutline,
    RunView,
    Which,
    damaged_models,
    load_model,
    read_outline,
    read_run,
    which_of,
    which_of_run,
)
from charloom.store.run_writer import RunWriter, charloom_version

__all__ = [
    "Checkpoint",
    "Control",
    "RunOutline",
    "RunView",
    "RunWriter",
    "Which",
    "canonical_json",
    "charloom_version",
    "damaged_models",
    "load_checkpoint",
    "load_model",
    "model_blocks",
    "model_bytes",
    "read_control",
    "read_outline",
    "read_run",
    "read_status",
    "replace_file",
    "require_finite",
    "save_checkpoint",
    "update_of_file",
    "which_of",
    "which_of_run",
    "write_control",
]
