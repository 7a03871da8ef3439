"""Holds the format numbers that this version of charloom reads and writes, and refuses later numbers.

The specification lists what changed with each number (spec/formats.md: Format numbers). This module does
not know the other contents of the files.
"""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from typing import Any, Final, TypeGuard

from charloom.canonical_form import SEAL
from charloom.errors import DamagedError, NewerFormatError

# The format numbers that this version of charloom writes. It also reads all earlier numbers.
CONFIG_FORMAT: Final = 9  # format of config.json, journals and pointers; only config.json stores it
MODEL_FORMAT: Final = 11  # format of model files, and of the model.safetensors of a checkpoint
# Model files of this format must have the field `update`. Earlier formats do not have it; in later formats
# it is optional.
MODEL_WITH_UPDATE: Final = 3
# From this format on, model files may have the start: a state, and losses measured from it.
MODEL_WITH_START: Final = 5
# From this format on, model files may have the field `held`.
MODEL_WITH_HELD: Final = 9
STATE_FORMAT: Final = 4  # format of a checkpoint directory; its state.json stores it
TORCH_FORMAT: Final = 9  # format of model files for PyTorch
ONNX_FORMAT: Final = 1  # format of ONNX files, which charloom does not read
HTML_FORMAT: Final = 1  # format of the models in HTML files, which charloom does not read
GRADCHECK_FORMAT: Final = 4
LEARNING_RATES_FORMAT: Final = 1
STATUS_FORMAT: Final = 1
CONTROL_FORMAT: Final = 2
STUDY_FORMAT: Final = 2  # format of the files of a study; only study.json stores it

SEALED: Final = 2  # from this format on, config.json and model files have a checksum
MOST_FORMAT: Final = 1_000_000  # a format number above this is damage and not a later format


def require_format(values: Mapping[str, Any], newest: int, label: str) -> int:
    """Return a file's format number; raise an error if this version of charloom cannot read it.

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
    """Return True if a value is a whole number from 1 to the largest plausible format number."""
    return type(value) is int and 1 <= value <= MOST_FORMAT


def require_sealed_format(
    values: Mapping[str, Any], newest: int, seal: Callable[[dict[str, Any]], str], label: str
) -> int:
    """Return the format number of a JSON object with a checksum; raise if this version cannot read it.

    If the number is later than `newest`, the checksum shows whether a later version of charloom wrote the
    object, or whether damage changed the number.

    Args:
        values: the JSON object, with the format number in the field `format` and the checksum in the
            field `sha256`.
        newest: the latest number that this version of charloom reads.
        seal: function that computes the checksum of the object without the field `sha256`.
        label: the file's name for messages.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the number is missing or impossible, or the checksum shows that the number was
            changed.
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
    """Return True if the format number in `values` was changed after the file was written.

    The checksum in `values` was computed with the old format number. So the function tries each number from
    1 to `newest`: if the checksum is right with one of them, the number was changed. The arguments are
    those of `require_sealed_format`.
    """
    sealed = {name: value for name, value in values.items() if name != SEAL}
    # `seal` may raise DamagedError for a file of a later format. The number then counts as unchanged.
    with suppress(DamagedError):
        return any(
            seal({**sealed, "format": number}) == values.get(SEAL)
            for number in range(1, newest + 1)
        )
    return False


def require_fields(
    values: Mapping[str, Any], sealed: object, fields: Set[str], number: int, subject: str
) -> None:
    """Raise DamagedError if a JSON object has other fields than `fields`, or lacks a checksum.

    Args:
        values: the JSON object without its checksum.
        sealed: the checksum of the object; None if it has no checksum.
        fields: the names of the required fields, without the checksum.
        number: the format number of the object, which decides whether it needs a checksum.
        subject: the subject of the message, such as "config.json is damaged: it".
    """
    if set(values) == fields and (sealed is not None or number < SEALED):
        return
    given = values if sealed is None else {*values, SEAL}
    wanted = fields if number < SEALED else {*fields, SEAL}
    raise DamagedError(
        f"{subject} has the fields {', '.join(sorted(given))}; it must have {', '.join(sorted(wanted))}."
    )
