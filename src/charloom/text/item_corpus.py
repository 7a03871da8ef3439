"""Makes the ids of a collection of items from its sources: counts its symbols, encodes its items, lays them out.

The text is read twice, in batches of items. The ids of a large collection are kept in the cache of ids.
"""

import contextlib
import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import TextError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.reading_progress import BytesListener, ignore_bytes
from charloom.text import id_cache
from charloom.text.block_reader import Block, Scan, changed_text_error, source_blocks
from charloom.text.collection import Collection
from charloom.text.id_file import IdFile
from charloom.text.item_ids import ItemIds, boundaries
from charloom.text.item_order import RandomOrder
from charloom.text.item_reader import TABLES, ItemReader
from charloom.text.sources import Source
from charloom.text.unknown_policy import UnknownPolicy
from charloom.text.vocabulary import (
    ALL_KNOWN,
    BYTES,
    CODE_POINTS,
    EncodingPlan,
    Unknowns,
    Vocabulary,
)

BATCH: Final = 1 << 18  # characters of a batch of items, about
BETWEEN_SOURCES: Final = b"\xff\0"  # is not text in UTF-8


@dataclass(frozen=True)
class CollectionReader:
    """Reads a collection of items.

    Attributes:
        pieces: the sources.
        tokens: "characters" or "bytes".
        collection: how the text is divided into items.
        listener: called with the number of bytes of each block.
    """

    pieces: tuple[Source, ...]
    tokens: str
    collection: Collection
    listener: BytesListener = ignore_bytes

    @property
    def division(self) -> tuple[str, str, str]:
        """What the items depend on, for the keys of the cache."""
        return self.collection.kind, self.collection.separator, self.collection.field

    def scan(self) -> Scan:
        """Return the symbols of all items, their counts, the number of items and the fingerprint of the text.

        Raises the errors of `ItemReader.items`.
        """
        counts = np.zeros(BYTES if self.tokens == "bytes" else CODE_POINTS, dtype=np.int64)
        digest = Fingerprint()
        items = empty = 0
        for symbols, lengths in self._batches(digest):
            found = np.bincount(symbols)
            counts[: len(found)] += found
            full = int(np.count_nonzero(lengths))
            items, empty = items + full, empty + len(lengths) - full
        values = np.flatnonzero(counts)
        return Scan(digest.hexdigest(), values, counts[values], items, empty)

    def encode(
        self, plan: EncodingPlan, boundary: int, dtype: np.dtype[Any], fingerprint: str
    ) -> Iterator[NDArray[Any]]:
        """Yield the ids of the items in batches, each item after a boundary. Empty items are left out.

        Args:
            plan: how to encode the symbols.
            boundary: the id of the boundary.
            dtype: the type of the ids.
            fingerprint: the expected fingerprint of the text.

        Raises:
            TextError: the text has another fingerprint; raised after the last batch.
        """
        digest = Fingerprint()
        for symbols, lengths in self._batches(digest):
            ids = plan.table[symbols]
            if plan.skipping:
                owner = np.repeat(np.arange(len(lengths)), lengths)[ids >= 0]
                ids, lengths = ids[ids >= 0], np.bincount(owner, minlength=len(lengths))
            if len(ids):
                yield with_boundaries(ids.astype(dtype), lengths[lengths > 0], boundary)
        if digest.hexdigest() != fingerprint:
            raise changed_text_error()

    def fingerprint(self) -> str:
        """Return the fingerprint of the text. Reads all bytes, but no items."""
        digest = Fingerprint()
        for block in self.blocks():
            digest.add(block)
            self.listener(len(block.data))
        return digest.hexdigest()

    def blocks(self) -> Iterator[Block]:
        """Yield the bytes of all sources in blocks, as `ItemReader` reads them."""
        tokens = "characters" if self.collection.kind in TABLES else self.tokens
        for source in self.pieces:
            yield from source_blocks(source, tokens)

    def first_without_id(self, table: NDArray[np.int32]) -> tuple[int, int]:
        """Return the value of the first symbol that has no id, and its index among the symbols of all items."""
        position = 0
        for symbols, _ in self._batches(Fingerprint()):
            out = table[symbols] < 0
            if out.any():
                first = int(np.argmax(out))
                return int(symbols[first]), position + first
            position += len(symbols)
        raise changed_text_error()

    def _batches(
        self, digest: "Fingerprint"
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
        """Yield the symbols and the lengths of some items at a time. Update `digest` with all bytes."""

        def read(block: Block) -> None:
            digest.add(block)
            self.listener(len(block.data))

        batch, size = list[str](), 0
        for item in ItemReader(self.collection, self.tokens, read).items(self.pieces):
            batch.append(item)
            size += len(item) + 1
            if size >= BATCH:
                yield symbols_of(batch)
                batch, size = [], 0
        if batch:
            yield symbols_of(batch)


class Fingerprint:
    """The SHA-256 of the bytes of a collection, with a mark between two sources, because no item crosses it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._source: Source | None = None

    def add(self, block: Block) -> None:
        """Add the next block of bytes."""
        if self._source is not None and self._source is not block.source:
            self._digest.update(BETWEEN_SOURCES)
        self._source = block.source
        self._digest.update(block.data)

    def hexdigest(self) -> str:
        """Return the fingerprint in hexadecimal."""
        return self._digest.hexdigest()


def symbols_of(items: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the code points of all items together, and the length of each item."""
    joined = "".join(items).encode("utf-32-le", "surrogatepass")
    lengths = np.fromiter(map(len, items), dtype=np.int64, count=len(items))
    return np.frombuffer(joined, dtype="<u4").astype(np.intp), lengths


def with_boundaries(ids: NDArray[Any], lengths: NDArray[np.int64], boundary: int) -> NDArray[Any]:
    """Return `ids` with the boundary before each item. `lengths` are the lengths of the items."""
    found = np.empty(len(ids) + len(lengths), dtype=ids.dtype)
    starts = np.cumsum(lengths) - lengths + np.arange(len(lengths))
    within = np.ones(len(found), dtype=np.bool_)
    within[starts] = False
    found[starts], found[within] = boundary, ids
    return found


@dataclass(frozen=True)
class ReadCollection:
    """The result of reading a collection.

    Attributes:
        ids: the ids of its items.
        vocabulary: the given vocabulary, or that of the items.
        fingerprint: the fingerprint of the text.
        unknown: the symbols that are not in the given vocabulary.
        notes: sentences about empty items, about unknown symbols, and about a cache folder that cannot be used.
    """

    ids: ItemIds
    vocabulary: Vocabulary
    fingerprint: str
    unknown: Unknowns
    notes: tuple[str, ...]


def read_collection(
    reader: CollectionReader,
    name: str,
    vocabulary: Vocabulary | None,
    policy: UnknownPolicy,
    large: bool,
    known: Scan | None,
) -> ReadCollection:
    """Return the ids of a collection, laid out in a random order.

    Args:
        reader: reads the items.
        name: the name of the collection in messages.
        vocabulary: the vocabulary to use; None takes that of the items.
        policy: what to do with symbols that the vocabulary does not have.
        large: True to keep the ids in the cache of ids.
        known: the result of an earlier scan of the same text; None scans it now.

    Raises:
        TextError: there is no item, or the vocabulary is not that of a collection, or the text changed.
        UnknownCharacterError: the policy is "refuse", and the vocabulary does not have a symbol.
    """
    stamps = [source.stamp for source in reader.pieces]
    found = known or reader.scan()
    if large and known is None:
        id_cache.remember_scan(stamps, reader.tokens, found, reader.division)
    if not found.items:
        raise no_items_error(reader.collection, name)
    vocabulary = vocabulary or Vocabulary(map(chr, found.values), reader.tokens, items=True)
    if vocabulary.boundary is None:
        raise TextError(
            f"{name} is read as a collection of items, but the model learned a stream of {vocabulary.tokens}; leave "
            f"out {argument('items')}."
        )
    added = ALL_KNOWN
    if policy.unknown == "add":
        vocabulary, added = vocabulary.with_symbols(found.values, found.counts)
    boundary, dtype = vocabulary.boundary, vocabulary.id_dtype
    assert boundary is not None  # it was checked above
    plan = vocabulary.encoding_plan(found.values, found.counts, policy)
    if plan.refused:
        raise vocabulary.refusal(*reader.first_without_id(plan.table), plan.unknown)

    def batches() -> Iterator[NDArray[Any]]:
        try:
            yield from reader.encode(plan, boundary, dtype, found.fingerprint)
        except TextError:
            id_cache.forget_scan(stamps, reader.tokens, reader.division)
            raise

    items, symbols = found.items, int(found.counts.sum())
    if plan.skipping and plan.unknown.total:
        # An item of which all symbols are skipped is left out too.
        sizes = [(np.count_nonzero(ids == boundary), len(ids)) for ids in batches()]
        items = int(sum(size[0] for size in sizes))
        symbols = int(sum(size[1] for size in sizes)) - items
        if not items:
            raise TextError(
                f"nothing is left of {name}: the model knows none of its {reader.tokens}. Give another text."
            )
    laid_out = _LaidOut(items, items + symbols + 1, boundary, vocabulary, reader.collection.seed)
    notes: tuple[str, ...] = (empty_items_note(found.empty),) if found.empty else ()
    notes += tuple(each.sentence for each in (added, plan.unknown) if each.total)
    ids: ItemIds | None = None
    if large:
        treatment = astuple(policy) if plan.unknown.total else ()
        try:
            ids = laid_out.in_cache(batches(), found.fingerprint, treatment, reader.division)
        except OSError as error:
            notes += (
                f"the ids of {name} are kept in memory because the cache folder {id_cache.folder()} cannot be used "
                f"({error.strerror or error}); to use another folder, set {id_cache.VARIABLE}",
            )
    ids = ids or laid_out.in_memory(batches())
    return ReadCollection(ids, vocabulary, found.fingerprint, plan.unknown, notes)


@dataclass(frozen=True)
class _LaidOut:
    """Lays out the items of a collection in a random order."""

    items: int
    count: int
    boundary: int
    vocabulary: Vocabulary
    seed: int

    def _blocks(self, batches: Iterator[NDArray[Any]], on_disk: bool) -> Generator[NDArray[Any]]:
        """Yield the ids of the laid-out items in blocks, and the last boundary."""
        order = RandomOrder(self.seed, 0, self.boundary)
        folder = id_cache.folder() / "ids" if on_disk else None
        yield from order.apply(batches, self.count, folder)
        yield np.array([self.boundary], dtype=self.vocabulary.id_dtype)

    def in_memory(self, batches: Iterator[NDArray[Any]]) -> ItemIds:
        """Return the laid-out ids as arrays."""
        ids = np.concatenate(list(self._blocks(batches, on_disk=False)))
        starts = np.flatnonzero(ids == self.boundary)
        if (len(ids), len(starts)) != (self.count, self.items + 1):
            raise changed_text_error()
        return ItemIds(ids, starts, self.boundary, self.seed)

    def in_cache(
        self,
        batches: Iterator[NDArray[Any]],
        fingerprint: str,
        treatment: Sequence[str],
        division: Sequence[str],
    ) -> ItemIds:
        """Return the laid-out ids in files of the cache. The arguments are described in `id_cache.ids_of`."""
        about: tuple[str | int, ...] = (*division, self.seed)
        with contextlib.closing(self._blocks(batches, on_disk=True)) as blocks:
            ids = id_cache.ids_of(
                fingerprint, self.vocabulary, treatment, self.count, blocks, (*about, "ids")
            )
        starts: IdFile = id_cache.ids_of(
            fingerprint,
            self.vocabulary,
            treatment,
            self.items + 1,
            boundaries(ids, self.boundary),
            (*about, "starts"),
            np.dtype(np.int64),
        )
        return ItemIds(ids, starts, self.boundary, self.seed)


def no_items_error(collection: Collection, name: str) -> TextError:
    """Return the error for a collection without an item."""
    return TextError(f"{name} has no items: all of its {collection.kind} are empty.")


def empty_items_note(count: int) -> str:
    """Return a sentence about items that were left out because they are empty."""
    was = "was" if count == 1 else "were"
    return f"{counted(count, 'empty item')} {was} left out"
