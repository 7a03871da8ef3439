"""Makes the bytes of hostile model files: pickles, bombs, false headers, tensors, weights and metadata."""

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors.numpy import save as serialize

HEADER_SIZE = 90 << 20  # bytes of a header that safetensors still writes
METADATA_SIZE = 7 << 20  # bytes of the metadata of a model or a run; the limit is 8 MiB


def metadata(**changes: Any) -> dict[str, Any]:
    """Return the metadata of a model file with three characters and two units."""
    from charloom.config import Config

    config = {**Config(hidden_size=2).to_dict(), **changes.pop("config", {})}
    return {"format": 1, "config": config, "vocabulary": [97, 98, 99], **changes}


def arrays(K: int = 3, H: int = 2) -> dict[str, Any]:
    """Return the parameters of a plain network."""
    shapes = {
        "layers.0.U": (H, K),
        "layers.0.W": (H, H),
        "layers.0.b": (H,),
        "V": (K, H),
        "c": (K,),
    }
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def model(tensors: dict[str, Any] | None = None, text: str | None = None, **changes: Any) -> bytes:
    """Return a model file with changed tensors or changed metadata."""
    header = {"charloom": json.dumps(metadata(**changes)) if text is None else text}
    return serialize({**arrays(), **(tensors or {})}, metadata=header)


def ngrams(contexts: int = 4) -> dict[str, Any]:
    """Return the tensors of n-grams of three characters, without followers: a tree as low as possible."""
    first = 3 * np.arange(contexts) + 1  # the first child of each context
    return {
        "ngram.weight": np.ones((1, 2), np.float32),
        "ngram.bias": np.ones(1, np.float32),
        "ngrams/child_counts": np.clip(contexts - first, 0, 3).astype(np.uint8),
        "ngrams/child_ids": ((np.arange(contexts) + 2) % 3 * (first > 1)).astype(np.uint8),
        "ngrams/factors": np.ones(contexts, np.float32),
        "ngrams/follower_counts": np.zeros(contexts, np.uint8),
        "ngrams/follower_ids": np.zeros(0, np.uint8),
        "ngrams/shares": np.zeros(0, np.float32),
    }


def ngram_model(order: int = 16, contexts: int = 4, **tensors: Any) -> bytes:
    """Return a model file with n-grams, with changed tensors of these."""
    changed = {f"ngrams/{name}": array for name, array in tensors.items()}
    return model({**ngrams(contexts), **changed}, config={"ngram_order": order})


def safetensors_file(
    header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None
) -> bytes:
    """Return a file in the safetensors format with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_wrong_entry(name: str, **changes: Any) -> bytes:
    """Return a model file whose header describes one tensor wrongly."""
    whole = model()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header[name] = {**header[name], **changes}
    return safetensors_file(header, whole[8 + length :])


def many_fields(size: int) -> str:
    """Return a JSON object of about `size` bytes with many empty fields."""
    return "{" + ",".join(f'"{n:x}":""' for n in range(size // 11)) + "}"


def zip_bomb(size: int) -> bytes:
    """Return an archive that expands to `size` bytes, about a thousand times its own size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * size)
    return file.getvalue()


class RunsCommand:
    """An object whose pickle runs a command when it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo executed > executed",)


def hostile_model_files(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each hostile model file. The large ones have about `size` bytes."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    yield "an empty file", b""
    yield "a text", b"Once upon a time there was a model. " * 9
    yield "a pickle", pickle.dumps(RunsCommand())
    yield "a pickle as a safetensors header", safetensors_file(pickle.dumps(RunsCommand()))
    yield "a zip bomb", zip_bomb(size)
    yield "a gzip bomb", gzip.compress(b"\0" * size)
    yield "a shell script", b"#!/bin/sh\necho executed > executed\n"
    # Headers
    yield "a header longer than the file", safetensors_file(b"{}", length=2**20)
    yield "a header of 2**63 bytes", safetensors_file(b"{}", length=2**63)
    yield "a header of 2**64 - 1 bytes", safetensors_file(b"{}", length=2**64 - 1)
    yield "an empty header", safetensors_file(b"")
    yield "a header that is not JSON", safetensors_file(b"{'a': 1}")
    yield "a header that is not UTF-8", safetensors_file(b'{"\xff": 1}')
    yield "a header with a NUL", safetensors_file(b'{"\0": 1}')
    yield (
        "a deeply nested header",
        safetensors_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    )
    yield "a header of many tensors", safetensors_file(
        b"{" + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n
                         for n in range(size // 60)) + b"}"
    )  # fmt: skip
    yield "a header of spaces", safetensors_file(b"{" + b" " * size + b"}")
    yield "a header of objects", safetensors_file(b'{"a":[' + b"{}," * (size // 3) + b"{}]}")
    # Tensors
    yield "overlapping tensors", safetensors_file({"a": tensor, "b": tensor}, bytes(8))
    yield (
        "a hole between tensors",
        safetensors_file({"a": tensor, "b": {**tensor, "data_offsets": [8, 12]}}, bytes(12)),
    )
    yield "a tensor beyond the end", with_wrong_entry("c", data_offsets=[0, 2**40])
    yield "a tensor that ends before it begins", with_wrong_entry("c", data_offsets=[12, 0])
    yield "a tensor at a negative offset", with_wrong_entry("c", data_offsets=[-12, 0])
    yield "a tensor of a wrong length", with_wrong_entry("c", shape=[4])
    yield "a tensor larger than any memory", with_wrong_entry("c", shape=[2**62])
    yield "a shape whose product wraps around", with_wrong_entry("c", shape=[2**33, 2**33])
    yield "a shape with fractions", with_wrong_entry("c", shape=[1.5, 2])
    yield "a shape with 100,001 dimensions", with_wrong_entry("c", shape=[1] * 100_000 + [3])
    yield "an unknown dtype", with_wrong_entry("c", dtype="PICKLE")
    yield "an object dtype", with_wrong_entry("c", dtype="|O")
    yield "bytes after the last tensor", model() + b"\0" * 64
    yield "a tensor name like a path", model({"../../../tmp/x": np.ones(1, np.float32)})
    yield (
        "a tensor name with control characters",
        model({"\x1b[2J\x1b]0;x\x07": np.ones(1, np.float32)}),
    )
    for value in (np.nan, np.inf, -np.inf):
        yield f"a weight that is {value}", model({"c": np.array([0, value, 0], np.float32)})
    # N-grams
    yield (
        "n-grams with a context that is its own child",
        ngram_model(child_counts=_bytes(0, 3, 0, 0)),
    )
    yield "n-grams with children beyond the end", ngram_model(child_counts=_bytes(255, 0, 0, 0))
    yield "n-grams with followers beyond the end", ngram_model(follower_counts=_bytes(9, 0, 0, 0))
    yield "n-grams with an id beyond the vocabulary", ngram_model(child_ids=_bytes(0, 1, 2, 3))
    yield "n-grams longer than their order", ngram_model(order=1)
    yield (
        "n-grams with a factor that is nan",
        ngram_model(factors=np.array([1, np.nan, 1, 1], np.float32)),
    )
    yield "valid n-grams", ngram_model()
    yield "valid n-grams that need much memory", ngram_model(contexts=size // 7)
    # Metadata
    yield (
        "metadata with a number instead of text",
        safetensors_file({"__metadata__": {"charloom": 1}}),
    )
    yield "deeply nested metadata", model(text="[" * 200_000)
    yield (
        "metadata of objects",
        model(text='{"config":[' + "{}," * (min(size, HEADER_SIZE) // 3) + "{}]}"),
    )
    yield (
        "metadata of lists",
        model(text='{"vocabulary":[' + "[]," * (min(size, HEADER_SIZE) // 3) + "[]]}"),
    )
    yield "metadata with many fields", model(text=many_fields(min(size, METADATA_SIZE)))
    yield (
        "a header with many metadata fields",
        safetensors_file(f'{{"__metadata__":{many_fields(min(size, METADATA_SIZE))}}}'.encode()),
    )
    yield "metadata of objects, with escaped braces", safetensors_file(
        b'{"__metadata__":{"charloom":"' + rb"{\u007b},".replace(b"{", b"\\u007b")[:7] * (size // 8)
        + b'"}}'
    )  # fmt: skip
    yield "a vocabulary of a million ids", model(vocabulary=list(range(1_000_000)))
    yield "a vocabulary of all code points", big_vocabulary(0x110000)
    yield "a vocabulary beyond Unicode", model(vocabulary=[97, 98, 2**31])
    yield "a vocabulary of huge numbers", model(vocabulary=[97, 98, 10**4000])
    yield "a number with 100,000 digits", model(text='{"format":' + "1" * 100_000 + "}")
    yield "a huge learning rate", model(config={"learning_rate": 1e308}, text=None) + b"\0"
    yield (
        "an infinity written as 1e999",
        model(text=json.dumps(metadata()).replace("0.1,", "1e999,", 1)),
    )
    for name in ("hidden_size", "layers", "batch_size", "seq_length"):
        for value in (0, -1, 2**31 - 1, 2**63, 10**30):
            yield f"{name} {value}", model(config={name: value})
    yield "a setting that names code", model(config={"cell": "os.system"})
    yield "a setting without a name", model(config={"": 1})
    yield "a setting that is an object", model(config={"optimizer": {"__reduce__": "os.system"}})
    yield "a seal of another file", model(sha256="0" * 64)
    yield "a seal that is a list", model(sha256=[1])
    yield "a valid model that needs much memory", big_model(size)


# Unusual files that are valid models.
VALID = {
    "a valid model that needs much memory", "a vocabulary of all code points", "valid n-grams",
    "valid n-grams that need much memory",
    f"batch_size {2**31 - 1}", f"seq_length {2**31 - 1}",
}  # fmt: skip


def _bytes(*values: int) -> Any:
    """Return an array of unsigned bytes."""
    return np.array(values, np.uint8)


def big_model(size: int) -> bytes:
    """Return a valid model of about `size` bytes, whose optimizer slots would need memory too."""
    H = int((size / 4) ** 0.5)
    config = {"hidden_size": H, "optimizer": "adam"}
    return serialize(arrays(3, H), metadata={"charloom": json.dumps(metadata(config=config))})


def big_vocabulary(K: int) -> bytes:
    """Return a model with `K` characters and one unit."""
    text = json.dumps(metadata(config={"hidden_size": 1}, vocabulary=list(range(K))))
    return serialize(arrays(K, 1), metadata={"charloom": text})
