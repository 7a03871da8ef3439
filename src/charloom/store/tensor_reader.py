"""Reads the metadata and the arrays of a safetensors file from its bytes, which may be untrusted.

This module does not know what the arrays are for: the caller gives their names, shapes and dtype.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError
from charloom.formatting import count, counted, name_differences, shortened
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_METADATA, require_modest
from charloom.store.tensor_file import TYPES

SAFETENSORS_DTYPES: Final = {type_name: dtype for dtype, type_name in TYPES.items()}

Arrays = dict[str, NDArray[Any]]


def metadata_of(data: bytes, label: str) -> dict[str, Any]:
    """Return the metadata in the bytes of a safetensors file, without parsing the tensors."""
    header = parse_object(header_of(data, label), f"the header of {label}")
    metadata = header.get("__metadata__") or {}
    if not isinstance(metadata, dict):
        raise DamagedError(f"{label} is damaged: its metadata is not a JSON object.")
    return metadata


def parse_tensors(data: bytes, label: str) -> Arrays:
    """Return the arrays in the bytes of a safetensors file, by name.

    The arrays take only as much memory as the file has bytes: the safetensors library copies each tensor
    once, and each array shares the memory of this copy.
    """
    header_of(data, label)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise DamagedError(
            f"{label} is damaged: its header does not fit the data after it; the end of the file may be missing. "
            f"Use an intact copy of the file."
        ) from None
    arrays: Arrays = {}
    for name, tensor in tensors:
        if tensor["dtype"] not in SAFETENSORS_DTYPES:
            raise DamagedError(
                f"{label}: {shortened(name)} has the type {shortened(tensor['dtype'])}; only "
                f"{', '.join(SAFETENSORS_DTYPES)} are allowed."
            )
        dtype = np.dtype(SAFETENSORS_DTYPES[tensor["dtype"]]).newbyteorder("<")
        values = np.frombuffer(tensor["data"], dtype).astype(dtype.newbyteorder("="), copy=False)
        if not values.flags.writeable:  # older versions of safetensors return read-only bytes
            values = values.copy()
        try:
            arrays[name] = values.reshape(tensor["shape"])
        # numpy refuses some shapes, for example the shape (0, 2**63) of an empty tensor.
        except (ValueError, OverflowError):
            raise DamagedError(
                f"{label}: {shortened(name)} has the impossible shape {shortened(tensor['shape'])}."
            ) from None
    return arrays


def header_of(data: bytes, label: str) -> bytes:
    """Return the JSON header in the bytes of a safetensors file.

    Raises:
        NotAModelError: `data` is not a safetensors file.
        DamagedError: the header is too large to be parsed safely.
    """
    if data[8:9] != b"{":  # the JSON header begins at byte 8
        raise NotAModelError(f"{label} is not a model: it is not a safetensors file.")
    length = int.from_bytes(data[:8], "little")
    if length > MOST_METADATA:
        raise DamagedError(
            f"{label} is damaged: its header has {counted(length, 'byte')}; at most "
            f"{count(MOST_METADATA)} are allowed."
        )
    header = data[8 : 8 + length]
    require_modest(header, f"the header of {label}")
    return header


def require_arrays(
    arrays: Arrays,
    shapes: Mapping[str, tuple[int, ...]],
    config: Config,
    label: str,
    dtypes: Mapping[str, np.dtype[Any]] | None = None,
) -> None:
    """Raise DamagedError unless the arrays are those that a model needs, and all entries are finite.

    Args:
        arrays: the arrays by name.
        shapes: the required shape of each array, by name.
        config: the settings, which give the required dtype.
        label: the name of the file in messages.
        dtypes: the required dtype of each array that does not have the dtype of the settings, by name.
    """
    if set(arrays) != set(shapes):
        raise DamagedError(f"{label} is damaged: {name_differences(shapes, arrays)}.")
    for name, shape in shapes.items():
        array, dtype = arrays[name], (dtypes or {}).get(name, np.dtype(config.dtype))
        if array.shape != shape or array.dtype != dtype:
            raise DamagedError(
                f"{label}: {name} is {array.dtype} of shape {array.shape}; "
                f"it must be {dtype} of shape {shape}."
            )
        if not all_finite(array):
            raise DamagedError(f"{label}: {name} has entries that are not finite numbers.")


def all_finite(array: NDArray[Any]) -> bool:
    """Return True if every entry of an array is finite.

    Checks only the minimum and the maximum, because this is fast: a NaN makes both of them NaN.
    """
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.min(initial=0)) and np.isfinite(array.max(initial=0)))
