"""Reads a text twice, in blocks: first for its symbols and fingerprint, then for its ids.

Symbols are code points or bytes. Only a few blocks are in memory at a time, however long the text
is. A block of ASCII is not decoded, because its bytes are equal to its code points. One thread reads
the blocks and computes the fingerprint; if the text is long, others decode, count and encode them.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charloom.errors import EncodingError, TextError
from charloom.messages import argument
from charloom.reading_progress import BytesListener, ignore_bytes
from charloom.text.ordered_threads import in_order
from charloom.text.sources import Source
from charloom.text.vocabulary import BYTES, CODE_POINTS

# Bytes per block. The arrays of a block have eight bytes for each of its symbols, and fit into a processor's
# cache. Each thread has such arrays, so larger blocks would need more memory than one thread needed.
BLOCK: Final = 1 << 18
BOM: Final = b"\xef\xbb\xbf"
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
LONGEST: Final = 4  # largest number of bytes of a character in UTF-8


@dataclass(frozen=True)
class Scan:
    """The result of the first reading of a text.

    Attributes:
        fingerprint: SHA-256 of the text's bytes, without byte-order marks, in hexadecimal.
        values: the distinct code points or bytes of the text in rising order, shape (distinct,).
        counts: how often each of the `values` occurs in the text, shape (distinct,).
        items: of a collection, the number of items that are not empty; 0 for a stream.
        empty: of a collection, the number of empty items.
    """

    fingerprint: str
    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    items: int = 0
    empty: int = 0


@dataclass(frozen=True)
class Reading:
    """How a text is read: in how many threads, and what is called with the size of each block.

    Attributes:
        threads: the number of threads that decode, count and encode blocks; with 1, the calling
            thread does it.
        listener: called with the number of bytes of each block when it has been read.
    """

    threads: int = 1
    listener: BytesListener = ignore_bytes


IN_ONE_THREAD: Final = Reading()


class Block(NamedTuple):
    """A block of a text: its source, its bytes, and its offset in the source in bytes."""

    source: Source
    data: bytes
    offset: int


def scan(sources: Iterable[Source], tokens: str, reading: Reading = IN_ONE_THREAD) -> Scan:
    """Read a text; return its distinct symbols, their counts and its fingerprint.

    Args:
        sources: the pieces of the text.
        tokens: "characters" or "bytes".
        reading: how the text is read. The result does not depend on it.

    Raises:
        TextError: a piece is empty or cannot be read.
        EncodingError: the tokens are characters, and a piece is not UTF-8 text.
    """
    digest = hashlib.sha256()
    counts = np.zeros(BYTES if tokens == "bytes" else CODE_POINTS, dtype=np.int64)
    indices = _Indices()

    def count_symbols(block: Block) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.bincount(indices.of(_symbols(block, tokens)))
        return found

    blocks = _hashed(sources, tokens, digest, reading)
    with closing(in_order(count_symbols, blocks, reading.threads)) as all_found:
        for found in all_found:
            counts[: len(found)] += found
    values = np.flatnonzero(counts)
    return Scan(digest.hexdigest(), values, counts[values])


def fingerprint(
    sources: Iterable[Source], tokens: str, listener: BytesListener = ignore_bytes
) -> str:
    """Return the fingerprint of a text, its SHA-256. Reads all bytes without decoding them.

    `listener` is called with the number of bytes of each block.
    """
    digest = hashlib.sha256()
    for _ in _hashed(sources, tokens, digest, Reading(listener=listener)):
        pass
    return digest.hexdigest()


def text_bytes(sources: Iterable[Source], tokens: str) -> Iterator[bytes]:
    """Yield the bytes of a text in blocks, without byte-order marks."""
    for block in _blocks(sources, tokens):
        yield block.data


def encode(
    sources: Iterable[Source],
    tokens: str,
    table: NDArray[Any],
    skipping: bool,
    fingerprint: str,
    reading: Reading = IN_ONE_THREAD,
) -> Iterator[NDArray[Any]]:
    """Yield the ids of a text in blocks, each of shape (ids,).

    Args:
        sources: the pieces of the text.
        tokens: "characters" or "bytes".
        table: at index n, the id of the code point or byte n; -1 if it is skipped.
        skipping: True if the text has symbols that are skipped.
        fingerprint: the expected fingerprint of the text.
        reading: how the text is read. The ids do not depend on it.

    Raises:
        TextError: the bytes that were read have another fingerprint; raised after the last block.
    """
    digest = hashlib.sha256()
    indices = _Indices()

    def encode_block(block: Block) -> NDArray[Any]:
        # Every symbol is an index of the table, so no index is clipped; but this mode is twice as fast.
        ids: NDArray[Any] = np.take(table, indices.of(_symbols(block, tokens)), mode="clip")
        return ids[ids >= 0] if skipping else ids

    yield from in_order(encode_block, _hashed(sources, tokens, digest, reading), reading.threads)
    if digest.hexdigest() != fingerprint:
        raise changed_text_error()


class _Indices(threading.local):
    """Converts symbols to the type of NumPy's indices, for each thread in an array that it reuses.

    Otherwise NumPy would make such an array for each block, and the system would have to provide its
    memory each time, which takes as long as the conversion to ids.
    """

    def __init__(self) -> None:
        self._array = np.empty(0, dtype=np.intp)

    def of(self, symbols: NDArray[Any]) -> NDArray[np.intp]:
        """Return the symbols as indices. They are valid until this thread calls `of` again."""
        if len(symbols) > len(self._array):
            self._array = np.empty(len(symbols), dtype=np.intp)
        indices = self._array[: len(symbols)]
        indices[:] = symbols
        return indices


def first_left_out(
    sources: Iterable[Source], tokens: str, table: NDArray[np.int32]
) -> tuple[int, int]:
    """Return the value and the index of the first symbol of a text that has no id.

    The value is a code point or a byte. The index counts the symbols of the text from 0. At index n,
    `table` has the id of the code point or byte n; -1 if there is no id.

    Raises:
        TextError: every symbol has an id, so the text must have changed since the first reading.
    """
    position = 0
    for block in _blocks(sources, tokens):
        symbols = _symbols(block, tokens)
        out = table[symbols] < 0
        if out.any():
            first = int(np.argmax(out))
            return int(symbols[first]), position + first
        position += len(symbols)
    raise changed_text_error()


def changed_text_error() -> TextError:
    """Return the error for a text that changed while it was read."""
    return TextError("the text changed while it was read; try again when no program writes to it.")


def _symbols(block: Block, tokens: str) -> NDArray[Any]:
    """Return the code points or bytes of a block as an array."""
    if tokens == "bytes" or block.data.isascii():
        return np.frombuffer(block.data, dtype=np.uint8)
    text = text_of(block, tokens)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def text_of(block: Block, tokens: str) -> str:
    """Return the text of a block. If the tokens are bytes, each character stands for the byte with its number.

    Raises:
        EncodingError: the tokens are characters, and the block is not UTF-8.
    """
    source, data, offset = block
    if tokens == "bytes":
        return data.decode("latin-1")
    try:
        return data.decode("utf-8", "surrogatepass" if source.raw else "strict")
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise EncodingError(
            f"{source.name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {at} "
            f"({error.reason}). If it is Latin-1 or Windows text, convert it: iconv -f "
            f"WINDOWS-1252 -t UTF-8 FILE > NEW. To train on any bytes, use {argument('tokens', 'bytes')}.",
            at,
        ) from None


def _hashed(
    sources: Iterable[Source], tokens: str, digest: "hashlib._Hash", reading: Reading
) -> Iterator[Block]:
    """Yield the blocks of a text. Update `digest` with each, and tell the listener its size."""
    for block in _blocks(sources, tokens):
        digest.update(block.data)
        reading.listener(len(block.data))
        yield block


def _blocks(sources: Iterable[Source], tokens: str) -> Iterator[Block]:
    """Yield the blocks of all sources, one source after another."""
    for source in sources:
        yield from source_blocks(source, tokens)


def source_blocks(source: Source, tokens: str) -> Iterator[Block]:
    """Yield the blocks of a source, without its byte-order mark.

    If `tokens` is "characters", no block of valid UTF-8 ends inside a character.

    Raises:
        TextError: the source is empty or cannot be read.
        EncodingError: `tokens` is "characters", and the source has a NUL byte or is UTF-16.
    """
    for data, offset in _pieces(source, tokens):
        yield Block(source, data, offset)


def _pieces(source: Source, tokens: str) -> Iterator[tuple[bytes, int]]:
    """Yield blocks of bytes, each with its offset in the source in bytes.

    If the tokens are characters, no block of valid UTF-8 ends inside a character.
    """
    raw = source.raw or tokens == "bytes"
    offset, rest, size = 0, b"", 0
    with source.opened() as file:
        while data := file.read(BLOCK):
            block = rest + data
            if not raw and offset == 0:
                _refuse_utf16(block, source.name)
                if block.startswith(BOM):
                    block, offset = block[len(BOM) :], len(BOM)
            nul = -1 if raw else block.find(b"\0")
            if nul >= 0:
                # Yield the bytes before the NUL byte first: if they have an encoding error, that error is
                # reported instead of the NUL byte.
                if nul:
                    yield block[:nul], offset
                raise _nul(offset + nul, source.name)
            cut = len(block) if tokens == "bytes" else _last_boundary(block)
            if cut:
                yield block[:cut], offset
            rest, offset, size = block[cut:], offset + cut, size + cut
        if rest:
            yield rest, offset
    if not size and not rest:
        raise TextError(
            f"{source.name} is empty; give a text with at least two distinct characters."
        )


def _last_boundary(block: bytes) -> int:
    """Return the number of bytes of the block that come before an incomplete character at its end.

    If the block ends with a complete character, or with bytes that no character can begin with,
    return the length of the whole block.
    """
    for back in range(1, min(LONGEST, len(block)) + 1):
        byte = block[-back]
        # The first byte of a character shows how many bytes the character has: two from 0xc0 on,
        # three from 0xe0 on, four from 0xf0 on.
        if byte >= 0xC0:
            wanted = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(block) - back if wanted > back else len(block)
        if byte < 0x80:
            break
    return len(block)


def _refuse_utf16(block: bytes, name: str) -> None:
    """Raise EncodingError if the block starts with a byte-order mark of UTF-16."""
    if block[:2] in UTF16_MARKS:
        raise EncodingError(
            f"{name} begins with the bytes {block[:2].hex(' ')} (at offset 0), the mark of UTF-16, but "
            f"charloom reads UTF-8. Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.",
            0,
        )


def _nul(offset: int, name: str) -> EncodingError:
    """Return the error for the text `name` with a NUL byte at `offset`."""
    return EncodingError(
        f"{name} has a NUL byte at offset {offset}: it is not plain text. If it is UTF-16 "
        f"or UTF-32, convert it to UTF-8. To train on any bytes, use {argument('tokens', 'bytes')}.",
        offset,
    )
