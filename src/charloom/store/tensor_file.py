"""Writes arrays as a safetensors file in blocks that share the arrays' memory.

The bytes are those that the safetensors library would write, including the order of the tensors: the same
model must always give the same bytes. This module does not know models.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.store.atomic_files import Block

# The names of dtypes in safetensors, in the order in which the library writes tensors of different dtypes.
TYPES: Final = {
    "float64": "F64", "float32": "F32", "uint32": "U32", "int32": "I32", "uint16": "U16", "uint8": "U8"
}  # fmt: skip
FLOATS: Final = frozenset({"F64", "F32"})  # the types that parameters can have
ALIGNMENT: Final = 8  # the header is padded with spaces to a multiple of this number of bytes


def tensor_blocks(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> list[Block]:
    """Return the consecutive blocks of a safetensors file: its header, then the bytes of each array.

    Args:
        arrays: arrays by name, of the dtypes in TYPES. They must not change before the blocks are written.
        metadata: strings to store in the header, by name.
    """
    ranks = {name: rank for rank, name in enumerate(TYPES)}
    ordered = sorted(arrays.items(), key=lambda item: (ranks[item[1].dtype.name], item[0]))
    head: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        head[name] = {
            "dtype": TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return [len(text).to_bytes(8, "little") + text, *(block_of(array) for _, array in ordered)]


def block_of(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, little-endian and in row-major (C) order.

    They share the array's memory if it already has this byte order and layout.
    """
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return plain.reshape(-1).view(np.uint8).data
