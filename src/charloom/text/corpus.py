"""The corpus: a text to train on, with its ids, its vocabulary and its fingerprint.

It uses `sources` to find texts, `block_reader` to read them, and `id_cache` for the ids of large
texts. It does not depend on training.
"""

import contextlib
import dataclasses
import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.cpu_limits import processors
from charloom.errors import TextError
from charloom.reading_progress import reading_of
from charloom.text import id_cache
from charloom.text.all_ids import AllIds
from charloom.text.block_reader import (
    Reading,
    Scan,
    changed_text_error,
    encode,
    fingerprint,
    first_left_out,
    scan,
    text_bytes,
)
from charloom.text.collection import Collection
from charloom.text.item_corpus import CollectionReader, read_collection
from charloom.text.item_ids import ItemIds
from charloom.text.sources import (
    IN_MEMORY,
    Source,
    Stamp,
    file_source,
    find_sources,
    string_source,
)
from charloom.text.unknown_policy import REFUSE, UnknownPolicy
from charloom.text.vocabulary import ALL_KNOWN, Unknowns, Vocabulary

MOST_NAMES: Final = 3  # largest number of files in the name of a corpus
# A text of fewer bytes is read in one thread: starting threads would take as long as they save.
LONG_TEXT: Final = 8 << 20
# More threads need memory and do not help: they wait for the thread that hashes, and for Python's decoder.
MOST_THREADS: Final = 8


@dataclass(frozen=True)
class Corpus:
    """A text, encoded as ids.

    Attributes:
        name: a short name for messages.
        sources: absolute file paths, or `builtin:NAME`, from which `open` can make the corpus
            again. Empty if a part of the text was a string or came through a pipe.
        ids: read-only array of shape (ids,), in the smallest unsigned type. For a large text, an
            `IdFile`, whose slices are arrays. For a collection of items, `ItemIds`.
        vocabulary: the vocabulary that was given to `open`, or else the vocabulary of the text. With the policy "add",
            both together.
        fingerprint: SHA-256 of the text in UTF-8 without byte-order marks, in hexadecimal. If the
            tokens are bytes, SHA-256 of all bytes of the text.
        unknown: the symbols that are not in the given vocabulary, and how they were treated.
        notes: sentences about files that were read or skipped, about symbols that were skipped or
            replaced, and about a cache folder that cannot be used.
        kept: the pieces of the text if `sources` is empty, so that the text can be read again;
            otherwise empty.
        collection: how the text is divided into items; None if it is a stream.
    """

    name: str
    sources: tuple[str, ...]
    ids: AllIds
    vocabulary: Vocabulary
    fingerprint: str
    unknown: Unknowns = ALL_KNOWN
    notes: tuple[str, ...] = ()
    kept: tuple[Source, ...] = ()
    collection: Collection | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def items(self) -> int | None:
        """The number of items of a collection; None if the text is a stream."""
        return self.ids.items if isinstance(self.ids, ItemIds) else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied corpus. Make `ids` read-only again, as before the pickling."""
        self.__dict__.update(state)
        if isinstance(self.ids, np.ndarray):
            self.ids.flags.writeable = False

    @classmethod
    def from_text(
        cls,
        text: str,
        name: str = "text",
        vocabulary: Vocabulary | None = None,
        *,
        tokens: str = "characters",
        policy: UnknownPolicy = REFUSE,
        collection: Collection | None = None,
    ) -> "Corpus":
        """Return a corpus from the string `text`, with the short name `name` for messages.

        The other arguments and the errors are those of `open`.
        """
        tokens = vocabulary.tokens if vocabulary else tokens
        pieces = (string_source(text, name),)
        return _corpus(pieces, name, vocabulary, tokens, policy, collection=collection)

    @classmethod
    def from_kept(
        cls,
        path: Path,
        name: str,
        vocabulary: Vocabulary,
        *,
        policy: UnknownPolicy = REFUSE,
        collection: Collection | None = None,
    ) -> "Corpus":
        """Return a corpus from a file that holds the text of another corpus.

        Args:
            path: a file with the bytes that the method `kept_bytes` of the other corpus yielded.
            name: a short name of the corpus for messages.
            vocabulary: the vocabulary to use.
            policy: what to do with symbols that the vocabulary does not have.
            collection: how the text is divided into items; None for a stream.

        Raises:
            TextError: the text cannot be used, or the file changed while it was read.
            UnknownCharacterError: the policy is "refuse", and the vocabulary does not have a
                symbol.
            ConfigError: an unknown symbol must be replaced, and the replacement is not one known
                symbol.
        """
        kept = dataclasses.replace(file_source(path, raw=True), place="")
        stamp = kept.stamp
        tokens = vocabulary.tokens
        if stamp is None or stamp[1] > IN_MEMORY:
            return _corpus((kept,), name, vocabulary, tokens, policy, collection=collection)
        with kept.opened() as file:
            read = dataclasses.replace(kept, content=io.BytesIO(file.read()))
        corpus = _corpus((read,), name, vocabulary, tokens, policy, collection=collection)
        return dataclasses.replace(corpus, kept=(kept,))

    @classmethod
    def open(
        cls,
        sources: str | Path | Sequence[str | Path],
        vocabulary: Vocabulary | None = None,
        *,
        tokens: str = "characters",
        policy: UnknownPolicy = REFUSE,
        verify: bool = False,
        collection: Collection | None = None,
    ) -> "Corpus":
        """Return a corpus from files and other sources, read one after another.

        Args:
            sources: one or several paths of files and directories, patterns such as `**/*.txt`, `-` for standard
                input, or names of built-in texts. If a file has the name of a built-in text, the
                file is read. A directory stands for all texts in the directory and below it, in the
                order of their paths, without hidden files and run directories.
            vocabulary: the vocabulary to use. By default, all symbols of the text.
            tokens: whether the symbols are "characters" or "bytes". Ignored if `vocabulary` is
                given.
            policy: what to do with symbols that the given vocabulary does not have.
            verify: matters only for a large text whose symbol counts are already in the cache. True
                reads all bytes again to compare the fingerprint. False trusts files whose sizes and
                times have not changed.
            collection: how the text is divided into items; None for a stream.

        Raises:
            TextError: a source is missing, empty or not readable; or the text has only one distinct
                symbol; or all symbols of the text are unknown and were skipped; or the text changed
                while it was read; or a collection has no items, or a line of it is broken.
            EncodingError: the tokens are characters, and a file is not UTF-8 or has a NUL byte.
            UnknownCharacterError: the policy is "refuse", and the vocabulary does not have a
                symbol.
            ConfigError: `tokens` has another value than "characters" and "bytes"; or an unknown symbol
                must be replaced, and the replacement is not exactly one symbol of the vocabulary.
            MissingPartError: the built-in text needs an optional package that is not installed.
        """
        tokens = vocabulary.tokens if vocabulary else tokens
        several = [sources] if isinstance(sources, str | Path) else sources
        found = find_sources(several, any_bytes=tokens == "bytes")
        pieces = tuple(source for one in found for source in one.pieces)
        notes = tuple(one.note for one in found if one.note)
        name = " + ".join(one.name for one in found[:MOST_NAMES])
        if len(found) > MOST_NAMES:
            name += f" + {len(found) - MOST_NAMES} more"
        return _corpus(pieces, name, vocabulary, tokens, policy, notes, verify, collection)

    def kept_bytes(self) -> Iterator[bytes]:
        """Yield the bytes of the text in blocks. `from_kept` can read a file with these bytes.

        Call it only if `sources` is empty.
        """
        if self.collection is not None:
            reader = CollectionReader(self.kept, self.vocabulary.tokens, self.collection)
            return (block.data for block in reader.blocks())
        return text_bytes(self.kept, self.vocabulary.tokens)


def _corpus(
    pieces: tuple[Source, ...],
    name: str,
    vocabulary: Vocabulary | None,
    tokens: str,
    policy: UnknownPolicy,
    notes: tuple[str, ...] = (),
    verify: bool = True,
    collection: Collection | None = None,
) -> Corpus:
    """Return the corpus of the text that consists of `pieces`. The ids of a large text are cached.

    `name` is a short name for messages. `notes` are the first notes of the corpus. The other arguments are
    those of `Corpus.open`.
    """
    if collection is not None:
        return _collection(pieces, name, vocabulary, tokens, policy, notes, verify, collection)
    size = sum(source.size for source in pieces)
    large = size > IN_MEMORY
    stamps = [source.stamp for source in pieces]
    found = _known(pieces, stamps, tokens, verify) if large else None
    with reading_of(size if found else 2 * size) as listener:
        reading = Reading(threads_for(size), listener)
        if found is None:
            found = scan(pieces, tokens, reading)
            if large:
                id_cache.remember_scan(stamps, tokens, found)
        vocabulary = vocabulary or Vocabulary(map(chr, found.values), tokens)
        added = ALL_KNOWN
        if policy.unknown == "add":
            vocabulary, added = vocabulary.with_symbols(found.values, found.counts)
        encoding_plan = vocabulary.encoding_plan(found.values, found.counts, policy)
        table, unknown = encoding_plan.table, encoding_plan.unknown
        if encoding_plan.refused:
            raise vocabulary.refusal(*first_left_out(pieces, tokens, table), unknown)
        count = int(found.counts.sum()) - unknown.total * encoding_plan.skipping
        if not count:
            raise TextError(
                f"nothing is left of {name}: the model knows none of its {tokens}. Give another text."
            )
        notes += tuple(each.sentence for each in (added, unknown) if each.total)

        def blocks() -> Generator[NDArray[Any], None, None]:
            try:
                skipping, fingerprint = encoding_plan.skipping, found.fingerprint
                yield from encode(pieces, tokens, table, skipping, fingerprint, reading)
            except TextError:
                # The cached scan (the symbols and their counts) does not fit the text. It may come from an
                # earlier version of the files with the same sizes and times.
                id_cache.forget_scan(stamps, tokens)
                raise

        ids: AllIds | None = None
        if large:
            used = dataclasses.astuple(policy) if unknown.total else ()
            try:
                with contextlib.closing(blocks()) as made:
                    ids = id_cache.ids_of(found.fingerprint, vocabulary, used, count, made)
            except OSError as error:
                notes += (
                    f"the ids of {name} are kept in memory because the cache folder {id_cache.folder()} cannot be used "
                    f"({error.strerror or error}); to use another folder, set {id_cache.VARIABLE}",
                )
        if ids is None:
            ids = _in_memory(blocks(), count, vocabulary.id_dtype)
    if [source.stamp for source in pieces] != stamps:
        raise changed_text_error()
    places = tuple(source.place for source in pieces)
    lasting = all(places)
    return Corpus(
        name=name,
        sources=places if lasting else (),
        ids=ids,
        vocabulary=vocabulary,
        fingerprint=found.fingerprint,
        unknown=unknown,
        notes=notes,
        kept=() if lasting else pieces,
    )


def _collection(
    pieces: tuple[Source, ...],
    name: str,
    vocabulary: Vocabulary | None,
    tokens: str,
    policy: UnknownPolicy,
    notes: tuple[str, ...],
    verify: bool,
    collection: Collection,
) -> Corpus:
    """Return the corpus of a collection of items. `_corpus` describes the arguments."""
    size = sum(source.size for source in pieces)
    large = size > IN_MEMORY
    stamps = [source.stamp for source in pieces]
    places = tuple(source.place for source in pieces)
    lasting = all(places)
    if not lasting and len(pieces) > 1:
        raise TextError(
            f"{name}: a collection of items cannot join standard input or a pipe with other files; give one of them."
        )
    with reading_of(2 * size) as listener:
        reader = CollectionReader(pieces, tokens, collection, listener)
        known = id_cache.known_scan(stamps, tokens, reader.division) if large else None
        if known and verify and reader.fingerprint() != known.fingerprint:
            known = None
        read = read_collection(reader, name, vocabulary, policy, large, known)
    if [source.stamp for source in pieces] != stamps:
        raise changed_text_error()
    return Corpus(
        name=name,
        sources=places if lasting else (),
        ids=read.ids,
        vocabulary=read.vocabulary,
        fingerprint=read.fingerprint,
        unknown=read.unknown,
        notes=notes + read.notes,
        kept=() if lasting else pieces,
        collection=collection,
    )


def _known(
    pieces: Sequence[Source], stamps: Sequence[Stamp | None], tokens: str, verify: bool
) -> Scan | None:
    """Return the cached scan of a text: its distinct symbols, their counts and its fingerprint.

    Return None if the cache has no scan of files with these paths, sizes, times and inodes.

    Args:
        pieces: the pieces of the text.
        stamps: the path, size, time and inode of the file of each piece.
        tokens: "characters" or "bytes".
        verify: True to read the text, and return None if its fingerprint differs from the scan's.
    """
    found = id_cache.known_scan(stamps, tokens)
    if not (found and verify):
        return found
    with reading_of(sum(source.size for source in pieces)) as listener:
        return found if fingerprint(pieces, tokens, listener) == found.fingerprint else None


def threads_for(size: int) -> int:
    """Return the number of threads in which to read a text of `size` bytes."""
    return 1 if size < LONG_TEXT else min(processors(), MOST_THREADS)


def _in_memory(blocks: Iterator[NDArray[Any]], count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the ids of all blocks in one read-only array.

    Raises:
        TextError: the blocks do not have `count` ids together.
    """
    ids = np.empty(count, dtype=dtype)
    end = 0
    for block in blocks:
        start, end = end, end + len(block)
        if end > count:
            raise changed_text_error()
        ids[start:end] = block
    if end != count:
        raise changed_text_error()
    ids.flags.writeable = False
    return ids
