"""Tests of safetensors files: same bytes as the library's, written without a copy of the arrays."""

import hashlib

import numpy as np
import pytest
from safetensors.numpy import save

from charloom.store.tensor_file import block_of, tensor_blocks

RNG = np.random.default_rng(0)
SETS = {
    "names out of order": {"b": RNG.random((3, 4)), "a": RNG.random(5), "B": RNG.random(1)},
    "numbers in names": {f"layers.{n}.U": RNG.random((2, 2)) for n in (10, 2, 1)},
    "two widths": {"narrow": np.ones((3, 3), np.float32), "wide": np.ones(2)},
    "one entry and none": {"one": np.ones(1), "none": np.zeros((0, 3))},
    "columns first": {"W": np.asfortranarray(RNG.random((4, 3)))},
    "names beyond ASCII": {"größe": np.ones(2), "\U0001f600": np.ones(2)},
    "no arrays": {},
    "all types": {
        f"{name} {size}": np.arange(size).astype(name)
        for name in ("uint8", "int32", "float32", "uint16", "float64", "uint32")
        for size in (3, 0, 1)
    },
}
METADATA = {"charloom": '{"a":"\\u00e9 \\"\\\\"}\n\t\b\x01\x7f/é'}


@pytest.mark.parametrize("metadata", [None, METADATA])
@pytest.mark.parametrize("name", SETS)
def test_the_bytes_equal_those_of_the_library(name, metadata):
    arrays = {key: np.ascontiguousarray(array) for key, array in SETS[name].items()}
    assert b"".join(tensor_blocks(SETS[name], metadata)) == save(arrays, metadata=metadata)


def test_a_file_has_these_bytes():
    golden = (
        b'{"__metadata__":{"m":"x"},"b":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},'
        b'"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}'
    )
    arrays = {"a": np.array([[1, -2]], np.float32), "b": np.array([0.5])}
    data = b"".join(tensor_blocks(arrays, {"m": "x"}))
    head = 8 + int.from_bytes(data[:8], "little")
    assert data[8:head].rstrip(b" ") == golden
    assert head % 8 == 0
    assert data[head:].hex() == "000000000000e03f" + "0000803f" + "000000c0"


def test_blocks_share_the_memory_of_the_arrays():
    array = np.ones((1000, 1000))
    block = block_of(array)
    assert np.shares_memory(np.frombuffer(block, np.uint8), array)
    assert hashlib.sha256(block).digest() == hashlib.sha256(array.tobytes()).digest()
