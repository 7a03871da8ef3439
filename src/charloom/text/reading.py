"""Reads a text in blocks, twice: once for its symbols and fingerprint, once for its ids.

However long the text, no more than a few blocks of it are in memory. A block of ASCII needs no
decoding: its bytes are its code points.
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

BLOCK: Final = 1 << 20  # bytes; what is made of a block fits into a processor's outer cache
BOM: Final = b"\xef\xbb\xbf"
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
LONGEST: Final = 4  # bytes of a character in UTF-8


@dataclass(frozen=True)
class Scan:
    """What the first reading of a text finds.

    Attributes:
        fingerprint: SHA-256 of the text's bytes, without byte-order marks, in hexadecimal.
        values: the code points or bytes that are there, rising, shape (distinct,).
        counts: how often each is there, shape (distinct,).
    """

    fingerprint: str
    values: NDArray[np.int64]
    counts: NDArray[np.int64]


def scan(sources: Iterable[Source], tokens: str) -> Scan:
    """Read a text for its symbols and its fingerprint.

    Raises:
        TextError: a piece is empty or cannot be read.
        EncodingError: bytes that are not text in UTF-8, with their offset; bytes as tokens may be
            anything.
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
    """The fingerprint alone: every byte is read, none is decoded."""
    digest = hashlib.sha256()
    for block in text_bytes(sources, tokens):
        digest.update(block)
    return digest.hexdigest()


def text_bytes(sources: Iterable[Source], tokens: str) -> Iterator[bytes]:
    """The text's own bytes, block by block."""
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
    """The ids of a text, block by block, each of shape (ids,).

    Args:
        sources: the text's pieces.
        tokens: characters or bytes.
        table: the id of each symbol by its value, -1 for one that is left out.
        skipping: whether any symbol of the text is left out.
        fingerprint: of the text that is meant.

    Raises:
        TextError: at the end, it was another text.
    """
    digest = hashlib.sha256()
    for source in sources:
        for block, symbols in _blocks(source, tokens):
            digest.update(block)
            ids = table[symbols]
            yield ids[ids >= 0] if skipping else ids
    if digest.hexdigest() != fingerprint:
        raise changed()


def first_left_out(
    sources: Iterable[Source], tokens: str, table: NDArray[np.int32]
) -> tuple[int, int]:
    """The first symbol without an id and its position from 0, both in tokens.

    Raises:
        TextError: there is none, so that the text is another one now.
    """
    position = 0
    for source in sources:
        for _, symbols in _blocks(source, tokens):
            out = table[symbols] < 0
            if out.any():
                first = int(np.argmax(out))
                return int(symbols[first]), position + first
            position += len(symbols)
    raise changed()


def changed() -> TextError:
    """The error for a text whose two readings differ."""
    return TextError("the text changed while it was read; give it again once it is whole.")


def _blocks(source: Source, tokens: str) -> Iterator[tuple[bytes, NDArray[Any]]]:
    """Blocks of bytes with their symbols: code points or bytes, shape (symbols,)."""
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
                f"WINDOWS-1252 -t UTF-8 FILE > NEW. Any bytes are learnt by {argument('tokens', 'bytes')}.",
                at,
            ) from None
        yield block, np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _pieces(source: Source, tokens: str) -> Iterator[tuple[bytes, int]]:
    """Blocks of bytes that end between two characters, each with its offset in the source."""
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
                if nul:
                    yield block[:nul], offset  # what is wrong before it is the first that is wrong
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
    """Where the last whole character ends, or that is no UTF-8 anyway."""
    for back in range(1, min(LONGEST, len(block)) + 1):
        byte = block[-back]
        if byte >= 0xC0:  # leads two bytes, three from 0xe0 on, four from 0xf0 on
            wanted = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(block) - back if wanted > back else len(block)
        if byte < 0x80:
            break
    return len(block)


def _refuse_utf16(block: bytes, name: str) -> None:
    """Refuse what begins with the mark of another encoding."""
    if block[:2] in UTF16_MARKS:
        raise EncodingError(
            f"{name} begins with the bytes {block[:2].hex(' ')} (at offset 0), the mark of UTF-16; "
            f"charloom reads UTF-8. Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.",
            0,
        )


def _nul(offset: int, name: str) -> EncodingError:
    """The error for what no text has."""
    return EncodingError(
        f"{name} has a NUL byte at offset {offset}: it is no plain text. If it is UTF-16 "
        f"or UTF-32, convert it to UTF-8 first. Any bytes are learnt by {argument('tokens', 'bytes')}.",
        offset,
    )
