"""A cache of the ids of large texts in the user's cache folder, so that they need not fit into memory.

The cache also keeps the scan of each large text: its distinct symbols, their counts and its
fingerprint. Users may delete the folder at any time. Files that are missing, damaged or of another
format are made again (spec/formats.md: The cache of ids).
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.canonical_form import SEAL, canonical_json, seal_of
from charloom.temporary_names import ABANDONED_SECONDS, TEMPORARY
from charloom.text.block_reader import Scan, changed_text_error
from charloom.text.id_file import HEADER, IdFile, header, open_ids
from charloom.text.sources import Stamp
from charloom.text.vocabulary import BYTES, CODE_POINTS, Vocabulary

FORMAT: Final = 2
VARIABLE: Final = "CHARLOOM_CACHE"
# Nanoseconds. A file that changed less than this time ago may change again without a new time stamp.
SETTLED_NS: Final = 2_000_000_000


def folder() -> Path:
    """Return the cache folder: $CHARLOOM_CACHE, or else `charloom` in the system's cache folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(base) / "charloom" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "charloom"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache") / "charloom"


def known_scan(
    stamps: Sequence[Stamp | None], tokens: str, collection: Sequence[str] = ()
) -> Scan | None:
    """Return the cached scan of the files with these stamps; None if it is missing or damaged.

    A scan has the distinct symbols of a text, their counts and the text's fingerprint. A stamp is
    the path, size, modification time and inode of a file. `tokens` is "characters" or "bytes". `collection` says
    how a collection of items is divided; it is empty for a stream.
    """
    try:
        found = json.loads(_scan_path(stamps, tokens, collection).read_bytes())
        sealed = found.pop(SEAL)
        values = np.array(found["values"], dtype=np.int64)
        counts = np.array(found["counts"], dtype=np.int64)
        limit = BYTES if tokens == "bytes" else CODE_POINTS
        sound = (
            sealed == seal_of(found)
            and found["format"] == FORMAT
            and values.ndim == 1
            and values.shape == counts.shape
            and bool((np.diff(values) > 0).all() and (counts > 0).all())
            and len(values) > 0
            and values[0] >= 0
            and values[-1] < limit
            and isinstance(found["fingerprint"], str)
            and all(type(found.get(name, 0)) is int for name in ("items", "empty"))
        )
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError
    ):  # fmt: skip
        return None
    if not sound:
        return None
    return Scan(found["fingerprint"], values, counts, found.get("items", 0), found.get("empty", 0))


def remember_scan(
    stamps: Sequence[Stamp | None], tokens: str, scan: Scan, collection: Sequence[str] = ()
) -> None:
    """Store `scan`, the symbols of a text and their counts, in the cache.

    Store nothing if a file changed less than two seconds ago, or if a piece of the text is not a file.

    Args:
        stamps: for each piece of the text, the path, size, modification time and inode of its file;
            None if the piece is not a file.
        tokens: "characters" or "bytes".
        scan: what to store.
        collection: how a collection of items is divided; empty for a stream.
    """
    now = time.time_ns()
    if any(stamp is None or now - stamp[2] < SETTLED_NS for stamp in stamps):
        # Do not store the scan: without a stamp, it cannot be found again; and a file that has just
        # changed may change again with the same stamp.
        return
    values = {
        "counts": scan.counts.tolist(),
        "fingerprint": scan.fingerprint,
        "format": FORMAT,
        "values": scan.values.tolist(),
    }
    if collection:
        values |= {"items": scan.items, "empty": scan.empty}
    path = _scan_path(stamps, tokens, collection)
    with contextlib.suppress(OSError), _replacing(path) as file:
        file.write(canonical_json({**values, SEAL: seal_of(values)}))


def forget_scan(
    stamps: Sequence[Stamp | None], tokens: str, collection: Sequence[str] = ()
) -> None:
    """Delete the scan of a text, its symbols and their counts, from the cache.

    The arguments are those with which `remember_scan` stored the scan.
    """
    with contextlib.suppress(OSError):
        _scan_path(stamps, tokens, collection).unlink()


def ids_of(
    fingerprint: str,
    vocabulary: Vocabulary,
    treatment: Sequence[str],
    count: int,
    blocks: Iterable[NDArray[Any]],
    collection: Sequence[str | int] = (),
    dtype: np.dtype[Any] | None = None,
) -> IdFile:
    """Return the ids of a text from the cache. If the cache does not have them, write them to it first.

    Args:
        fingerprint: the fingerprint of the text.
        vocabulary: the vocabulary with which the text is encoded.
        treatment: how unknown symbols are treated, such as ("skip", ""); empty if all symbols are
            known.
        count: number of ids.
        blocks: yields the ids in blocks; used only if the cache does not have them.
        collection: how a collection of items is divided and laid out, and what the file has of it; empty for a
            stream.
        dtype: the type of the numbers; None takes that of the vocabulary's ids.

    Raises:
        OSError: the cache folder cannot be written, or the disk is full.
        TextError: the blocks do not have `count` ids together.
    """
    about = {
        "count": count,
        "fingerprint": fingerprint,
        "format": FORMAT,
        "tokens": vocabulary.tokens,
        "treatment": list(treatment),
        "vocabulary": [ord(character) for character in vocabulary.characters],
    }
    if collection:
        about["collection"] = list(collection)
    key = seal_of(about)
    dtype = (dtype or vocabulary.id_dtype).newbyteorder("<")
    path = folder() / "ids" / f"{key}.ids"
    about_ids = f"charloom ids {FORMAT}\n{key}\n{dtype.str}\n{count}\n"
    if ids := open_ids(path, about_ids, count, dtype):
        return ids
    with _replacing(path) as file:
        _write_ids(file, about_ids, count, dtype, blocks)
    if ids := open_ids(path, about_ids, count, dtype):
        return ids
    raise OSError(f"{path} does not contain the bytes that were just written to it")


def temporary_ids(count: int, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]) -> IdFile:
    """Return ids in a file that is deleted when it is no longer used.

    Args:
        count: number of ids.
        dtype: the type of the ids.
        blocks: yields the ids in blocks.

    Raises:
        OSError: the cache folder cannot be written, or the disk is full.
        TextError: the blocks do not have `count` ids together.
    """
    parent = folder() / "ids"
    parent.mkdir(parents=True, exist_ok=True)
    stored, about = dtype.newbyteorder("<"), f"charloom ids {FORMAT}\ntemporary\n"
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=parent)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_ids(file, about, count, stored, blocks)
        ids = IdFile(path, about, count, stored)
    except BaseException:
        _remove(path)
        raise
    # An open file can be deleted now, except on Windows, where it is deleted when it has been closed.
    _remove(path)
    if path.exists():
        weakref.finalize(ids, _remove, path)
    if not ids.is_whole():
        raise OSError(f"{path} does not contain the bytes that were just written to it")
    return ids


def _remove(path: Path) -> None:
    """Delete a file if that is possible."""
    with contextlib.suppress(OSError):
        path.unlink()


def _write_ids(
    file: IO[bytes], about: str, count: int, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]
) -> None:
    """Write a file of ids: the ids of all blocks, then the header at the beginning of the file.

    The header comes last because it contains the checksum of the ids.
    """
    file.seek(HEADER)
    written = checksum = 0
    for block in blocks:
        data = np.ascontiguousarray(block, dtype=dtype).data
        file.write(data)
        checksum = zlib.crc32(data, checksum)
        written += len(block)
    if written != count:
        raise changed_text_error()
    file.seek(0)
    file.write(header(about, checksum))


def _scan_path(stamps: Sequence[Stamp | None], tokens: str, collection: Sequence[str]) -> Path:
    """Return the path of the cache file for the scan of a text: its symbols and their counts.

    The arguments are those of `remember_scan`.
    """
    about = [FORMAT, tokens, stamps, *collection]
    key = hashlib.sha256(json.dumps(about).encode("ascii")).hexdigest()
    return folder() / "scans" / f"{key}.json"


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Return a context with a temporary file to write, which is moved to `path` at the end.

    If the body of the `with` statement raises an error, the temporary file is deleted instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _remove_abandoned(parent: Path) -> None:
    """Delete the temporary files in `parent` that are older than a day.

    The process that wrote such a file is assumed to have ended.
    """
    for path in parent.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
