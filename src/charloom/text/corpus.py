"""A text to learn from: its ids, its vocabulary, and a fingerprint that tells it from any other.

It is put together from where texts come from, how they are read, and where the ids of a large one
are kept; it knows nothing of how texts are learnt.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.errors import TextError
from charloom.text import cache
from charloom.text.id_file import AllIds
from charloom.text.reading import (
    Scan,
    changed,
    encode,
    fingerprint,
    first_left_out,
    scan,
    text_bytes,
)
from charloom.text.sources import (
    IN_MEMORY,
    Source,
    Stamp,
    file_source,
    find_sources,
    string_source,
)
from charloom.text.vocabulary import ALL_KNOWN, Unknowns, Vocabulary

NAMED: Final = 3  # pieces that a text's name names


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        name: what people call it.
        sources: absolute file paths, or `builtin:NAME`, from which `open` makes it again; empty if
            a part of it was a string, or came through a pipe.
        ids: shape (ids,), smallest unsigned type, read-only; of a large text, in a file, of which
            a slice is an array.
        vocabulary: its symbols, unless another vocabulary was given.
        fingerprint: SHA-256 of the text in UTF-8 without byte-order marks, in hexadecimal; where
            the tokens are bytes, of all bytes.
        unknown: the symbols that the given vocabulary lacks, and what was done with them.
        notes: sentences about what was taken, left out or changed.
        kept: the pieces, where `sources` is empty.
    """

    name: str
    sources: tuple[str, ...]
    ids: AllIds
    vocabulary: Vocabulary
    fingerprint: str
    unknown: Unknowns = ALL_KNOWN
    notes: tuple[str, ...] = ()
    kept: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled or copied; NumPy forgets that an array was read-only."""
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
        unknown: str = "refuse",
        replacement: str = "",
    ) -> "Corpus":
        """A corpus from a string; arguments and errors as `open`."""
        tokens = vocabulary.tokens if vocabulary else tokens
        pieces = (string_source(text, name),)
        return _corpus(pieces, name, vocabulary, tokens, (unknown, replacement))

    @classmethod
    def from_kept(
        cls,
        path: Path,
        name: str,
        vocabulary: Vocabulary,
        *,
        unknown: str = "refuse",
        replacement: str = "",
    ) -> "Corpus":
        """A corpus from a file of `kept_bytes`; arguments and errors as `open`."""
        pieces = (dataclasses.replace(file_source(path, raw=True), place=""),)
        return _corpus(pieces, name, vocabulary, vocabulary.tokens, (unknown, replacement))

    @classmethod
    def open(
        cls,
        sources: Sequence[str | Path],
        vocabulary: Vocabulary | None = None,
        *,
        tokens: str = "characters",
        unknown: str = "refuse",
        replacement: str = "",
        verify: bool = False,
    ) -> "Corpus":
        """A corpus from files and other sources, read one after another.

        Args:
            sources: paths of files and directories, patterns such as `**/*.txt`, `-` for standard
                input, or names of built-in texts (a file of that name goes first). Of a directory
                the texts in it and below, hidden ones left out, in the order of their paths.
            vocabulary: the vocabulary to use; by default the text's own.
            tokens: what the text's own vocabulary is made of, characters or bytes.
            unknown: "refuse", "skip" or "replace" what the given vocabulary lacks.
            replacement: the known character that is written instead.
            verify: whether to read every byte again for the fingerprint, also where the times and
                sizes of large files say that they are as they were.

        Raises:
            TextError: a source is missing, empty, binary or not readable; the text has one
                distinct symbol, or nothing is left of it.
            EncodingError: bytes that are not UTF-8.
            UnknownCharacterError: the given vocabulary lacks a symbol, and that is refused.
            ConfigError: a replacement that is not known itself.
            MissingPartError: the built-in text needs an extra that is not installed.
        """
        tokens = vocabulary.tokens if vocabulary else tokens
        found = find_sources(sources, any_bytes=tokens == "bytes")
        pieces = tuple(source for one in found for source in one.sources)
        notes = tuple(one.note for one in found if one.note)
        name = " + ".join(one.name for one in found[:NAMED])
        if len(found) > NAMED:
            name += f" + {len(found) - NAMED} more"
        policy = (unknown, replacement)
        return _corpus(pieces, name, vocabulary, tokens, policy, notes, verify)

    def kept_bytes(self) -> Iterator[bytes]:
        """What a file must hold for `from_kept`, block by block; of a corpus without `sources`."""
        return text_bytes(self.kept, self.vocabulary.tokens)


def _corpus(
    pieces: tuple[Source, ...],
    name: str,
    vocabulary: Vocabulary | None,
    tokens: str,
    policy: tuple[str, str],
    notes: tuple[str, ...] = (),
    verify: bool = True,
) -> Corpus:
    """The corpus of these pieces; the ids of a large one lie in the cache."""
    large = sum(source.size for source in pieces) > IN_MEMORY
    stamps = [source.stamp for source in pieces]
    found = _known(pieces, stamps, tokens, verify) if large else None
    if found is None:
        found = scan(pieces, tokens)
        if large:
            cache.remember_scan(stamps, tokens, found)
    vocabulary = vocabulary or Vocabulary(map(chr, found.values), tokens)
    treatment = vocabulary.treatment(found.values, found.counts, *policy)
    table, unknown = treatment.table, treatment.unknown
    if treatment.refused:
        raise vocabulary.refusal(*first_left_out(pieces, tokens, table), unknown)
    count = int(found.counts.sum()) - unknown.total * treatment.skipping
    if not count:
        raise TextError(f"nothing is left of {name} without the {tokens} that are unknown.")
    if unknown.total:
        notes += (unknown.sentence,)

    def blocks() -> Iterator[NDArray[Any]]:
        try:
            yield from encode(pieces, tokens, table, treatment.skipping, found.fingerprint)
        except TextError:
            cache.forget_scan(stamps, tokens)  # perhaps it was of another text with these stamps
            raise

    ids: AllIds | None = None
    if large:
        used = policy if unknown.total else ()
        try:
            ids = cache.ids_of(found.fingerprint, vocabulary, used, count, blocks())
        except OSError as error:
            notes += (
                f"the ids of {name} are held in memory, for {cache.folder()} cannot be used "
                f"({error.strerror or error}); {cache.VARIABLE} names another folder",
            )
    if ids is None:
        ids = _in_memory(blocks(), count, vocabulary.id_dtype)
    if [source.stamp for source in pieces] != stamps:
        raise changed()
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


def _known(
    pieces: Sequence[Source], stamps: Sequence[Stamp | None], tokens: str, verify: bool
) -> Scan | None:
    """What is known of large files that are as they were."""
    found = cache.known_scan(stamps, tokens)
    if found and verify and fingerprint(pieces, tokens) != found.fingerprint:
        return None
    return found


def _in_memory(blocks: Iterator[NDArray[Any]], count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The ids in one array."""
    ids = np.empty(count, dtype=dtype)
    end = 0
    for block in blocks:
        start, end = end, end + len(block)
        if end > count:
            raise changed()
        ids[start:end] = block
    if end != count:
        raise changed()
    ids.flags.writeable = False
    return ids
