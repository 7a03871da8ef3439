"""Refuses a run in which a later version of charloom wrote a file, before it is read or changed.

This module does not change anything on the disk.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.canonical_form import seal_of
from charloom.errors import DamagedError
from charloom.store.atomic_files import read_file
from charloom.store.checkpoint import MOST_STATE, refuse_newer, require_modest
from charloom.store.format_versions import (
    CONFIG_FORMAT,
    CONTROL_FORMAT,
    GRADCHECK_FORMAT,
    STATUS_FORMAT,
    refuse_later_format,
    require_sealed_format,
)
from charloom.store.json_format import parse_object
from charloom.store.run_directory import (
    CONFIG,
    CONTROL,
    GRADCHECK,
    MOST_ABOUT,
    STATUS,
    checkpoint_path,
    saved_updates,
)

UNSEALED: Final = {
    GRADCHECK: (GRADCHECK_FORMAT, MOST_ABOUT),
    STATUS: (STATUS_FORMAT, MOST_STATE),
    CONTROL: (CONTROL_FORMAT, MOST_STATE),
}  # per file: the latest format that this version reads, and the largest allowed size in bytes


def refuse_newer_run(run: Path) -> None:
    """Raise NewerFormatError if a later version of charloom wrote any file or checkpoint of the run.

    Damaged and missing files are ignored here; reading them reports the damage.
    """
    with suppress(DamagedError):
        values = object_in(run / CONFIG, MOST_ABOUT)
        require_sealed_format(values, CONFIG_FORMAT, seal_of, str(run / CONFIG))
    for name, (newest, most) in UNSEALED.items():
        with suppress(DamagedError):
            refuse_later_format(object_in(run / name, most), newest, str(run / name))
    for update in saved_updates(run):
        refuse_newer(checkpoint_path(run, update))


def object_in(path: Path, most: int) -> dict[str, Any]:
    """Return the JSON object in a file; an empty object if the file does not exist.

    Raises:
        DamagedError: the file is not a JSON object or is too large.
    """
    data = read_file(path, most)
    if data is None:
        return {}
    require_modest(data, str(path))
    return parse_object(data, str(path))
