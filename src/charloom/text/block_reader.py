"""Reads a text twice, in blocks: first for its symbols and fingerprint, then for its ids.

Symbols are code points or bytes. Only a few blocks are in memory at a time, however long the text
is. A block of ASCII is not decoded, because its bytes are equal to its code points.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import EncodingError, TextError
from charloom.messages import argument
from charloom.text.sources import Source
from charloom.text.vocabulary import BYTES, CODE_POINTS

# Bytes per block. A block and its symbols fit into the processor's last-level cache.
BLOCK: Final = 1 << 20
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
    """

    fingerprint: str
    values: NDArray[np.int64]
    counts: NDArray[np.int64]


def scan(sources: Iterable[Source], tokens: str) -> Scan:
    """Read a text; return its distinct symbols, their counts and its fingerprint.

    `sources` are the pieces of the text. `tokens` is "characters" or "bytes".

    Raises:
        TextError: a piece is empty or cannot be read.
        EncodingError: the tokens are characters, and a piece is not UTF-8 text.
    """
    digest = hashlib.sha256()
    counts = np.zeros(BYTES if tokens == "bytes" else CODE_POINTS, dtype=np.int64)
    for source in sources:
        for block, symbols in _blocks(source, tokens):
            digest.update(block)
            found = np.bincount(symbols)
            counts[: len(found)] += found
    values = np.flatnonzero(counts)
    return Scan(digest.hexdigest(), values, counts[values])


def fingerprint(sources: Iterable[Source], tokens: str) -> str:
    """Return the fingerprint of a text, its SHA-256. Reads all bytes without decoding them."""
    digest = hashlib.sha256()
    for block in text_bytes(sources, tokens):
        digest.update(block)
    return digest.hexdigest()


def text_bytes(sources: Iterable[Source], tokens: str) -> Iterator[bytes]:
    """Yield the bytes of a text in blocks, without byte-order marks."""
    for source in sources:
        for block, _ in _pieces(source, tokens):
            yield block


def encode(
    sources: Iterable[Source],
    tokens: str,
    table: NDArray[Any],
    skipping: bool,
    fingerprint: str,
) -> Iterator[NDArray[Any]]:
    """Yield the ids of a text in blocks, each of shape (ids,).

    Args:
        sources: the pieces of the text.
        tokens: "characters" or "bytes".
        table: at index n, the id of the code point or byte n; -1 if it is skipped.
        skipping: True if the text has symbols that are skipped.
        fingerprint: the expected fingerprint of the text.

    Raises:
        TextError: the bytes that were read have another fingerprint; raised after the last block.
    """
    digest = hashlib.sha256()
    for source in sources:
        for block, symbols in _blocks(source, tokens):
            digest.update(block)
            ids = table[symbols]
            yield ids[ids >= 0] if skipping else ids
    if digest.hexdigest() != fingerprint:
        raise changed_text_error()


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
    for source in sources:
        for _, symbols in _blocks(source, tokens):
            out = table[symbols] < 0
            if out.any():
                first = int(np.argmax(out))
                return int(symbols[first]), position + first
            position += len(symbols)
    raise changed_text_error()


def changed_text_error() -> TextError:
    """Return the error for a text that changed while it was read."""
    return TextError("the text changed while it was read; try again when no program writes to it.")


def _blocks(source: Source, tokens: str) -> Iterator[tuple[bytes, NDArray[Any]]]:
    """Yield the source in blocks, each as its bytes and as an array of its code points or bytes."""
    for block, offset in _pieces(source, tokens):
        if tokens == "bytes" or block.isascii():
            yield block, np.frombuffer(block, dtype=np.uint8)
            continue
        try:
            text = block.decode("utf-8", "surrogatepass" if source.raw else "strict")
        except UnicodeDecodeError as error:
            at = offset + error.start
            raise EncodingError(
                f"{source.name} is not UTF-8: byte 0x{block[error.start]:02x} at offset {at} "
                f"({error.reason}). If it is Latin-1 or Windows text, convert it: iconv -f "
                f"WINDOWS-1252 -t UTF-8 FILE > NEW. To train on any bytes, use {argument('tokens', 'bytes')}.",
                at,
            ) from None
        yield block, np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


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
