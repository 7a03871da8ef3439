"""The numbers of file formats: which this charloom reads and writes, and how later ones are refused.

The table of what each number added is in the specification (spec/formats.md: Format numbers). This module knows nothing of
what else the files contain.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeGuard

from charloom.errors import DamagedError, NewerFormatError

# What is written. Every earlier number is read.
CONFIG_FORMAT: Final = 3  # config.json, and through it the journals and pointers of the run
MODEL_FORMAT: Final = 4  # model files, and the model.safetensors of a checkpoint
MODEL_WITH_UPDATE: Final = (
    3  # those that must tell their update; earlier ones do not, later ones may
)
STATE_FORMAT: Final = 2  # state.json, and through it the whole checkpoint directory
TORCH_FORMAT: Final = 2  # files for PyTorch
GRADCHECK_FORMAT: Final = 2
STATUS_FORMAT: Final = 1
CONTROL_FORMAT: Final = 2

SEAL: Final = "sha256"
SEALED: Final = 2  # from this number on, config.json and models have a seal
MOST_FORMAT: Final = 1_000_000  # no charloom will ever write so many


def require_format(values: Mapping[str, Any], newest: int, what: str) -> int:
    """Return the number of a file's format; refuse a file that this charloom does not read.

    Args:
        values: the JSON object that has the number under `format`.
        newest: the latest number that this charloom reads.
        what: the file, for the message.

    Raises:
        NewerFormatError: a later charloom wrote the file.
        DamagedError: there is no number, or none that a charloom writes.
    """
    refuse_later_format(values, newest, what)
    found = values.get("format")
    if not is_format(found):
        raise DamagedError(
            f"{what} is damaged: its format is {found!r:.50}; it must be a number from 1 to {newest}."
        )
    return found


def refuse_later_format(values: Mapping[str, Any], newest: int, what: str) -> None:
    """Refuse a file of a later charloom, and no other.

    Raises:
        NewerFormatError: its format is a later one than this charloom reads.
    """
    found = values.get("format")
    if is_format(found) and found > newest:
        raise NewerFormatError(
            f"{what} was written by a later charloom (format {found}; this one reads up to "
            f"{newest}): upgrade charloom."
        )


def is_format(value: object) -> TypeGuard[int]:
    """Whether a value can be the number of a format."""
    return type(value) is int and 1 <= value <= MOST_FORMAT


def require_sealed_format(
    values: Mapping[str, Any], newest: int, seal: Callable[[dict[str, Any]], str], what: str
) -> int:
    """`require_format` of an object with a seal, which tells a later number from a damaged one.

    Args:
        seal: makes the seal of an object without one.

    Raises:
        NewerFormatError: a later charloom wrote the file.
        DamagedError: there is no number, or the seal shows that another one was written.
    """
    try:
        return require_format(values, newest, what)
    except NewerFormatError:
        if was_renumbered(values, newest, seal):
            raise DamagedError(
                f"{what} is damaged: its format was changed to {values['format']} after it was written."
            ) from None
        raise


def was_renumbered(
    values: Mapping[str, Any], newest: int, seal: Callable[[dict[str, Any]], str]
) -> bool:
    """Whether the seal of an object fits with one of the numbers that this charloom reads."""
    sealed = {name: value for name, value in values.items() if name != SEAL}
    with suppress(DamagedError):  # a later format may hold what this charloom cannot seal
        return any(
            seal({**sealed, "format": number}) == values.get(SEAL)
            for number in range(1, newest + 1)
        )
    return False
