"""Writes a learner as a file for another framework."""

from pathlib import Path
from typing import Final

from charloom.api.text_arguments import as_file
from charloom.config import require_one_of
from charloom.model import Learner, mixture_parts
from charloom.pytorch_format import torch_bytes
from charloom.store import replace_file

FRAMEWORKS: Final = ("torch",)


def write_exported(exported: Learner, path: str | Path, to: str) -> Path:
    """Write a learner as a file for the framework `to`, such as "torch", and return the file's path.

    `exported` is a result of `exported_learner`. The errors are those of `charloom.export`.
    """
    require_one_of("to", to, FRAMEWORKS)
    path = as_file(path)
    replace_file(path, torch_bytes(exported, path.name))
    return path


def exported_learner(learner: Learner, network_alone: bool) -> Learner:
    """Return the learner to export: without its n-grams if `network_alone` is True."""
    return mixture_parts.network_alone(learner) if network_alone and learner.ngrams else learner
