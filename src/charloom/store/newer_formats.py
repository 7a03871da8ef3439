"""Refuses a run with a file of a later version of charloom, before the run is read or changed.

This module does not change anything on the disk.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.canonical_form import seal_of
from charloom.errors import DamagedError
from charloom.run_file_names import (
    CHECKPOINTS,
    CONFIG,
    CONTROL,
    GRADCHECK,
    LEARNING_RATES,
    STATUS,
)
from charloom.store.atomic_files import read_file
from charloom.store.format_versions import (
    CONFIG_FORMAT,
    CONTROL_FORMAT,
    GRADCHECK_FORMAT,
    LEARNING_RATES_FORMAT,
    STATUS_FORMAT,
    refuse_later_format,
    require_sealed_format,
)
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE, require_modest
from charloom.store.run_checkpoints import RunCheckpoints
from charloom.store.run_settings import MOST_SETTINGS

UNSEALED: Final = {
    GRADCHECK: (GRADCHECK_FORMAT, MOST_SETTINGS),
    LEARNING_RATES: (LEARNING_RATES_FORMAT, MOST_STATE),
    STATUS: (STATUS_FORMAT, MOST_STATE),
    CONTROL: (CONTROL_FORMAT, MOST_STATE),
}  # JSON files without a checksum: the latest format that is read, and the largest allowed size in bytes


def refuse_newer_run(run: Path) -> None:
    """Raise NewerFormatError if a later version of charloom wrote any file or checkpoint of a run.

    Ignores damaged and missing files: the code that reads them reports the damage.
    """
    with suppress(DamagedError):
        values = object_in(run / CONFIG, MOST_SETTINGS)
        require_sealed_format(values, CONFIG_FORMAT, seal_of, str(run / CONFIG))
    for name in UNSEALED:
        refuse_newer_file(run / name)
    RunCheckpoints(run / CHECKPOINTS).refuse_newer()


def refuse_newer_file(path: Path) -> None:
    """Raise NewerFormatError if a later version of charloom wrote the file at `path`.

    The name of the file must be in UNSEALED, which lists the JSON files without a checksum.
    """
    newest, most = UNSEALED[path.name]
    with suppress(DamagedError):
        refuse_later_format(object_in(path, most), newest, str(path))


def object_in(path: Path, most: int) -> dict[str, Any]:
    """Return the JSON object in a file; an empty object if the file does not exist.

    Raises:
        DamagedError: the file is not a JSON object, or has more than `most` bytes.
    """
    data = read_file(path, most)
    if data is None:
        return {}
    require_modest(data, str(path))
    return parse_object(data, str(path))
