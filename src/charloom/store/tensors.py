"""Writes arrays as a safetensors file, block by block from where they lie, without a second copy.

The bytes are those that the safetensors library writes: an order of tensors is part of a format
that is compared byte by byte. It knows nothing of models.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.store.files import Block

TYPES: Final = {"float64": "F64", "float32": "F32"}  # as the library names them
ALIGNMENT: Final = 8  # bytes: the header is filled up with spaces


def tensor_blocks(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> list[Block]:
    """The blocks of a safetensors file, one after another: its header, then each array's bytes.

    Args:
        arrays: float32 and float64, by name. They must not change before the blocks are written.
        metadata: strings by name.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
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
    """The bytes of an array, little-endian and row by row; its own memory where it lies so."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return plain.reshape(-1).view(np.uint8).data
