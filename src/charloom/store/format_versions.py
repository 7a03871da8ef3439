"""The format numbers that this version of charloom reads and writes; refuses files with later ones.

What each number added is in spec/formats.md: Format numbers. This module does not know the other
contents of the files.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeGuard

from charloom.canonical_form import SEAL
from charloom.errors import DamagedError, NewerFormatError

# These numbers are written. All earlier numbers are read.
CONFIG_FORMAT: Final = 3  # config.json, and through it the journals and pointers of the run
MODEL_FORMAT: Final = 4  # model files, and the model.safetensors of a checkpoint
MODEL_WITH_UPDATE: Final = (
    3  # must have an update; earlier formats have none, later ones may have one
)
STATE_FORMAT: Final = 2  # state.json, and through it the whole checkpoint directory
TORCH_FORMAT: Final = 2  # files for PyTorch
GRADCHECK_FORMAT: Final = 2
STATUS_FORMAT: Final = 1
CONTROL_FORMAT: Final = 2

SEALED: Final = 2  # from this format on, config.json and models have a seal
MOST_FORMAT: Final = 1_000_000  # a larger number is damage and not a later format


def require_format(values: Mapping[str, Any], newest: int, label: str) -> int:
    """Return a file's format number; raise if this version of charloom cannot read it.

    Args:
        values: the JSON object with the number in the field `format`.
        newest: the latest number that this version reads.
        label: the file's name for messages.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the number is missing or impossible.
    """
    refuse_later_format(values, newest, label)
    found = values.get("format")
    if not is_format(found):
        raise DamagedError(
            f"{label} is damaged: its format is {found!r:.50}; it must be a number from 1 to {newest}."
        )
    return found


def refuse_later_format(values: Mapping[str, Any], newest: int, label: str) -> None:
    """Raise NewerFormatError if the file has a later format than this version of charloom reads."""
    found = values.get("format")
    if is_format(found) and found > newest:
        raise NewerFormatError(
            f"{label} was written by a later version of charloom (format {found}; this one reads up to "
            f"{newest}): upgrade charloom."
        )


def is_format(value: object) -> TypeGuard[int]:
    """Return True if a value can be a format number."""
    return type(value) is int and 1 <= value <= MOST_FORMAT


def require_sealed_format(
    values: Mapping[str, Any], newest: int, seal: Callable[[dict[str, Any]], str], label: str
) -> int:
    """Return the format number of an object with a seal; raise if this version cannot read it.

    The seal shows whether a number that looks later was written so or is damage.

    Args:
        values: the JSON object with the fields `format` and `sha256`.
        newest: the latest number that this version reads.
        seal: function that returns the seal of an object without one.
        label: the file's name for messages.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the number is missing, or the seal shows that it was changed.
    """
    try:
        return require_format(values, newest, label)
    except NewerFormatError:
        if was_renumbered(values, newest, seal):
            raise DamagedError(
                f"{label} is damaged: its format was changed to {values['format']} after it was written."
            ) from None
        raise


def was_renumbered(
    values: Mapping[str, Any], newest: int, seal: Callable[[dict[str, Any]], str]
) -> bool:
    """Return True if the object's seal fits a format number that this version reads."""
    sealed = {name: value for name, value in values.items() if name != SEAL}
    with suppress(DamagedError):  # this version may be unable to compute the seal of a later format
        return any(
            seal({**sealed, "format": number}) == values.get(SEAL)
            for number in range(1, newest + 1)
        )
    return False
