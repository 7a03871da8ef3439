"""Turns messages between training processes into bytes and back, as JSON and arrays. Nothing in them can execute.

A message is the size of its JSON (8 bytes, little-endian), the JSON, and the bytes of its arrays. Each part begins at a
multiple of 16 bytes.
"""

import dataclasses
import json
from typing import Any, Final

import numpy as np

from charloom.config import Config
from charloom.engines.base import Plan
from charloom.engines.torch.rank_messages import (
    CloseParts,
    LoadPart,
    OpenPart,
    TrainedPart,
    TrainPart,
)
from charloom.errors import EngineError
from charloom.model.input_pairs import InputPairs
from charloom.model.ngrams import NGrams
from charloom.text.vocabulary import Vocabulary

MESSAGES: Final = (OpenPart, LoadPart, TrainPart, CloseParts, TrainedPart)
KINDS: Final = {kind.__name__: kind for kind in (*MESSAGES, Config, Plan, NGrams, InputPairs)}
VOCABULARY: Final = "Vocabulary"  # it is made of its characters
KIND, VALUES, DTYPE, SHAPE = "kind", "values", "dtype", "shape"
NUMBERS: Final = "biuf"  # the kinds of dtypes that an array may have
PART_ALIGNMENT: Final = 16
SIZE_BYTES: Final = 8


def to_bytes(message: object) -> bytearray:
    """Return a message as bytes."""
    arrays: list[np.ndarray] = []
    head = json.dumps(plain(message, arrays)).encode()
    whole = bytearray(len(head).to_bytes(SIZE_BYTES, "little"))
    for part in (head, *(array.tobytes() for array in arrays)):
        whole.extend(bytes(-len(whole) % PART_ALIGNMENT))
        whole.extend(part)
    return whole


def from_bytes(data: bytes) -> Any:
    """Return the message that `to_bytes` turned into these bytes. Its arrays are read-only.

    Raises:
        EngineError: the bytes are not a message of this version of charloom.
    """
    try:
        return Reading(data).message()
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise EngineError(
            f"a message of another training process cannot be read ({error!r}). Use the same version of charloom in "
            f"all processes."
        ) from None


def plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return a value as plain data for JSON; add its arrays to `arrays`, in the order in which they occur."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {DTYPE: value.dtype.str, SHAPE: value.shape}
    if isinstance(value, Vocabulary):
        items = value.boundary is not None
        return {KIND: VOCABULARY, VALUES: ["".join(value.characters), value.tokens, items]}
    if isinstance(value, dict):
        return {VALUES: {name: plain(each, arrays) for name, each in value.items()}}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        values = {name: plain(getattr(value, name), arrays) for name in names}
        return {KIND: type(value).__name__, VALUES: values}
    return value


class Reading:
    """Reads a message from bytes, part by part."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, SIZE_BYTES

    def message(self) -> Any:
        """Return the message."""
        head = self._part(int.from_bytes(self._data[:SIZE_BYTES], "little"))
        message = self._value(json.loads(head))
        if not isinstance(message, MESSAGES) or self._place != len(self._data):
            raise ValueError("it is not a message, or too long")
        return message

    def _part(self, size: int) -> bytes:
        """Return the next part, which has a number of bytes."""
        begin = self._place + -self._place % PART_ALIGNMENT
        self._place = begin + size
        if size < 0 or self._place > len(self._data):
            raise ValueError("it is too short")
        return self._data[begin : self._place]

    def _value(self, found: Any) -> Any:
        """Return the value that `plain` turned into plain data."""
        if isinstance(found, list):
            return tuple(found)
        if not isinstance(found, dict):
            return found
        if DTYPE in found:
            return self._array(np.dtype(found[DTYPE]), found[SHAPE])
        if found.get(KIND) == VOCABULARY:
            return Vocabulary(*found[VALUES])
        values = {name: self._value(each) for name, each in found[VALUES].items()}
        return KINDS[found[KIND]](**values) if KIND in found else values

    def _array(self, dtype: np.dtype[Any], shape: list[int]) -> np.ndarray:
        """Return the next array."""
        if dtype.kind not in NUMBERS:
            raise ValueError(f"it has an array of {dtype}")
        size = dtype.itemsize
        for length in shape:
            size *= length
        return np.frombuffer(self._part(size), dtype).reshape(shape)
