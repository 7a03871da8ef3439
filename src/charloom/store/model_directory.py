"""Recognizes a model directory, in which `export` put a model file for a hub (spec/formats.md: Model directories).

Files may be untrusted: only model.safetensors makes the model, and it is read as any other model file.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.errors import DamagedError
from charloom.run_file_names import CONFIG, MODEL
from charloom.store.atomic_files import reading
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE

CARD: Final = "README.md"
MODEL_FILES: Final = frozenset({CARD, CONFIG, MODEL})  # what `export` writes
# The field of config.json that says which program the model is for. The config.json of a run has no such field.
MODEL_TYPE: Final = "model_type"
OUR_TYPE: Final = "charloom"


def is_model_directory(path: Path) -> bool:
    """Return True if a path is a directory with a charloom model file and a config.json that names charloom.

    Links are followed, because the cache of a hub consists of links.

    Raises:
        OSError: the disk failed while reading.
    """
    if not ((path / MODEL).is_file() and (path / CONFIG).is_file()):
        return False
    with (path / CONFIG).open("rb") as file:
        data = file.read(MOST_STATE + 1)
    with suppress(DamagedError):
        return len(data) <= MOST_STATE and parse_object(data, CONFIG).get(MODEL_TYPE) == OUR_TYPE
    return False


def model_file_of(path: Path) -> Path:
    """Return the model file of a model directory. Return any other path as it is.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path):
        return path / MODEL if is_model_directory(path) else path
