"""Recognizes a run directory and lists its checkpoints. These are the files of a run:

config.json  metrics.jsonl  samples.jsonl  events.jsonl  gradcheck.json  passage.txt
learning_rates.json (only if a learning rate was searched)
status.json  control.json  lock  text.txt (only if the text was not read from a file)
damaged-events.jsonl (only if lines of events.jsonl could not be read)
checkpoints/<update>/  checkpoints/damaged-<update>/  checkpoints/latest  checkpoints/best
"""

import os
import re
from pathlib import Path
from typing import Final

from charloom.run_file_names import CHECKPOINTS, CONFIG
from charloom.store.atomic_files import reading
from charloom.store.model_directory import is_model_directory

UPDATE_NAME: Final = re.compile("0|[1-9][0-9]{0,18}")


def is_run(path: Path) -> bool:
    """Return True if a path is a run directory: one with a file config.json that is not a model directory.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path / CONFIG):
        return (path / CONFIG).is_file() and not is_model_directory(path)


def checkpoint_path(run: Path, update: int) -> Path:
    """Return the path of the checkpoint of `update` in a run. The checkpoint need not exist."""
    return run / CHECKPOINTS / str(update)


def updates_in(folder: Path) -> list[int]:
    """Return the update numbers of a run's checkpoints in ascending order; ignore links.

    Args:
        folder: the directory `checkpoints` of the run.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(folder):
        if folder.is_symlink() or not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(int(name) for name in found if UPDATE_NAME.fullmatch(name))
