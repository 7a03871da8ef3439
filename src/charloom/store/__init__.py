"""Reads and writes everything on disk: checkpoints, run directories and models."""

from charloom.store.canonical import canonical_json
from charloom.store.checkpoint import (
    Checkpoint,
    load_checkpoint,
    model_blocks,
    model_bytes,
    require_finite,
    save_checkpoint,
    update_of_file,
)
from charloom.store.files import replace_file
from charloom.store.run import RunWriter, charloom_version
from charloom.store.steering import Control, read_control, read_status, write_control
from charloom.store.view import (
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
