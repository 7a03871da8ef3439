"""Refuses a run in which a later charloom wrote anything, before anybody reads or changes the rest.

Nothing here changes anything on the disk.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError
from charloom.store.canonical import parse_object
from charloom.store.checkpoint import MOST_STATE, refuse_newer, require_modest
from charloom.store.files import read_file
from charloom.store.formats import (
    CONFIG_FORMAT,
    CONTROL_FORMAT,
    GRADCHECK_FORMAT,
    STATUS_FORMAT,
    refuse_later_format,
    require_sealed_format,
)
from charloom.store.layout import (
    CONFIG,
    CONTROL,
    GRADCHECK,
    MOST_ABOUT,
    STATUS,
    about_seal,
    checkpoint_path,
    saved_updates,
)

UNSEALED: Final = {
    GRADCHECK: (GRADCHECK_FORMAT, MOST_ABOUT),
    STATUS: (STATUS_FORMAT, MOST_STATE),
    CONTROL: (CONTROL_FORMAT, MOST_STATE),
}  # the latest number that is read, and the most bytes that make sense


def refuse_newer_run(run: Path) -> None:
    """Refuse a run of which a later charloom wrote any file or checkpoint.

    What is damaged or missing is left for whoever reads it.

    Raises:
        NewerFormatError: so it is.
    """
    with suppress(DamagedError):
        values = object_in(run / CONFIG, MOST_ABOUT)
        require_sealed_format(values, CONFIG_FORMAT, about_seal, str(run / CONFIG))
    for name, (newest, most) in UNSEALED.items():
        with suppress(DamagedError):
            refuse_later_format(object_in(run / name, most), newest, str(run / name))
    for update in saved_updates(run):
        refuse_newer(checkpoint_path(run, update))


def object_in(path: Path, most: int) -> dict[str, Any]:
    """The JSON object in a file; one without fields where there is no such file.

    Raises:
        DamagedError: it holds anything else, or more than makes sense.
    """
    data = read_file(path, most)
    if data is None:
        return {}
    require_modest(data, str(path))
    return parse_object(data, str(path))
