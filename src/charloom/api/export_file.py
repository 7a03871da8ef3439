"""Writes a learner as a file for another framework."""

from pathlib import Path
from typing import Final

from charloom.api.text_arguments import as_file
from charloom.config import require_one_of
from charloom.model import Learner
from charloom.pytorch_format import torch_bytes
from charloom.store import replace_file

FRAMEWORKS: Final = ("torch",)


def export_learner(learner: Learner, path: str | Path, to: str) -> Path:
    """Write a learner as a file for the framework `to`, such as "torch", and return the file's path.

    The errors are those of `charloom.export`.
    """
    require_one_of("to", to, FRAMEWORKS)
    path = as_file(path)
    replace_file(path, torch_bytes(learner, path.name))
    return path
