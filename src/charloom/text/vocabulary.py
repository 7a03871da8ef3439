"""The vocabulary: the characters or bytes (symbols) that a model knows, and the id of each.

Ids follow the order of the code points (or bytes), so the same text gives the same ids in every
process. A policy says how the unknown symbols of a text are treated (spec/mathematics.md: Unknown
characters).
"""

import codecs
import dataclasses
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import TOKENS, require_one_of
from charloom.errors import ConfigError, TextError, UnknownCharacterError
from charloom.formatting import one_of, shortened
from charloom.messages import argument
from charloom.text.unknown_policy import REFUSE, UnknownPolicy

CODE_POINTS: Final = 0x110000
BYTES: Final = 256
COMMONEST: Final = 3  # largest number of unknown symbols that a message lists

# Typographic characters and their plain forms. If a typographic character is unknown, messages suggest
# its plain form.
PLAIN_FORMS = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u2026": ".", "\u00a0": " ", "\t": " ", "\r": "\n", "`": "'", "\u00b4": "'",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Unknowns:
    """The symbols (characters or bytes) of a text that a vocabulary does not have, and their treatment.

    Attributes:
        total: number of unknown symbols in the text; a symbol that occurs twice counts twice.
        counts: each distinct unknown symbol with its count, the most frequent first. A byte is
            given as the character with the same number (Latin-1).
        tokens: "characters" or "bytes".
        replacement: the known character that replaced the unknown symbols; empty if they were
            skipped or added.
        added: True if the symbols were added to the vocabulary.
    """

    total: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    tokens: str = "characters"
    replacement: str = ""
    added: bool = False

    @property
    def sentence(self) -> str:
        """Return a message about the unknown symbols; an empty string if there were none."""
        if not self.total:
            return ""
        if self.added:
            done = "added to the vocabulary of the model, with new weights"
        else:
            done = f"replaced by {self.replacement!r}" if self.replacement else "skipped"
        named = [f"{_shown(symbol, self.tokens)} ({count:,})" for symbol, count in self.counts]
        listed = ", ".join(named[:COMMONEST]) + (", …" if len(named) > COMMONEST else "")
        if self.total == 1:
            return f"1 unknown {one_of(self.tokens)} was {done}: {listed}"
        return (
            f"{self.total:,} unknown {self.tokens}, {len(named):,} distinct, were {done}: {listed}"
        )


ALL_KNOWN: Final = Unknowns()


@dataclass(frozen=True)
class Encoded:
    """The ids of a text, and the unknown symbols that were skipped or replaced in it."""

    ids: NDArray[Any]
    unknown: Unknowns


@dataclass(frozen=True)
class EncodingPlan:
    """How a text is encoded with a vocabulary that may lack some symbols of the text.

    Attributes:
        table: at index n, the id of the code point or byte n; -1 if it has no id.
        unknown: the unknown symbols of the text.
        refused: True if the text must be refused because it has unknown symbols.
        skipping: True if unknown symbols are skipped.
    """

    table: NDArray[np.int32]
    unknown: Unknowns
    refused: bool = False
    skipping: bool = False


class Vocabulary:
    """The symbols that a model knows, in rising order; the id of a symbol is its index.

    The vocabulary of a collection of items has one more id, the boundary, which begins and ends each item. It is the
    last id, it stands for no character, and no text has it (spec/mathematics.md: Items).

    Args:
        characters: the symbols in any order; repeats are dropped. Bytes are given as characters
            with the same number (Latin-1).
        tokens: "characters" for Unicode characters; "bytes" for the bytes of the text in UTF-8.
        items: True for the vocabulary of a collection of items.

    Raises:
        TextError: there are fewer than two distinct symbols.
        ConfigError: `tokens` has another value than "characters" and "bytes", or a character of a
            byte vocabulary is above U+00FF.
    """

    def __init__(
        self, characters: Iterable[str], tokens: str = "characters", items: bool = False
    ) -> None:
        require_one_of("tokens", tokens, TOKENS)
        self.characters: tuple[str, ...] = tuple(sorted(set(characters)))
        self.tokens = tokens
        self.boundary: int | None = len(self.characters) if items else None
        if len(self.characters) + items < 2:
            found = (
                _shown(self.characters[0], tokens)
                if self.characters
                else f"no {one_of(self.tokens)}"
            )
            raise TextError(
                f"the text has only {found}; a model needs at least two distinct {tokens}."
            )
        limit = BYTES if tokens == "bytes" else CODE_POINTS
        if ord(self.characters[-1]) >= limit:
            raise ConfigError(
                f"{self.characters[-1]!r} is not a byte; a byte vocabulary has U+0000 to U+00FF."
            )
        self._ids = np.full(limit, -1, dtype=np.int32)
        self._ids[[ord(character) for character in self.characters]] = range(len(self.characters))

    @classmethod
    def from_text(cls, text: str, tokens: str = "characters") -> "Vocabulary":
        """Return the vocabulary of all symbols in a text."""
        present = np.bincount(_symbols(text, tokens), minlength=1) > 0
        return cls(map(chr, np.flatnonzero(present)), tokens)

    def __len__(self) -> int:
        """Return the number of ids, K. The boundary of items counts."""
        return len(self.characters) + (self.boundary is not None)

    def __contains__(self, character: str) -> bool:
        """Return True if `character` is a single character that the model knows.

        If the tokens are bytes, the vocabulary must have all bytes of the character in UTF-8.
        """
        return len(character) == 1 and bool(
            (self._ids[_symbols(character, self.tokens)] >= 0).all()
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.tokens == other.tokens
            and self.boundary == other.boundary
            and self.characters == other.characters
        )

    def __hash__(self) -> int:
        return hash((self.tokens, self.boundary, self.characters))

    def __repr__(self) -> str:
        tokens = "" if self.tokens == "characters" else f", tokens={self.tokens!r}"
        items = "" if self.boundary is None else ", items=True"
        return f"Vocabulary({''.join(self.characters)!r}{tokens}{items})"

    @cached_property
    def text_of_ids(self) -> tuple[str, ...]:
        """The character that each id stands for, of length K; an empty string for the boundary of items."""
        return self.characters if self.boundary is None else (*self.characters, "")

    @property
    def id_dtype(self) -> np.dtype[Any]:
        """Return the smallest unsigned type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str) -> NDArray[Any]:
        """Return the ids of a text, shape (symbols,), in `id_dtype`.

        Raises:
            UnknownCharacterError: the text has unknown symbols. The message gives the number of
                unknown symbols, the first unknown symbol and its position in the text, and the known
                symbol that is most similar to the first unknown symbol.
        """
        return self.encode_with(text).ids

    def encode_with(self, text: str, policy: UnknownPolicy = REFUSE) -> Encoded:
        """Return the ids of a text and its unknown symbols.

        Args:
            text: the text.
            policy: what to do with unknown symbols.

        Raises:
            UnknownCharacterError: the policy is "refuse", and the text has unknown symbols.
            ConfigError: a symbol must be replaced, and the replacement is not exactly one symbol of
                the vocabulary.
        """
        symbols = _symbols(text, self.tokens)
        strange = self._ids[symbols] < 0
        values, counts = np.unique(symbols[strange], return_counts=True)
        encoding_plan = self.encoding_plan(values, counts, policy)
        if encoding_plan.refused:
            first = int(np.argmax(strange))
            raise self.refusal(int(symbols[first]), first, encoding_plan.unknown)
        ids = encoding_plan.table[symbols]
        if encoding_plan.skipping:
            ids = ids[~strange]
        return Encoded(ids.astype(self.id_dtype), encoding_plan.unknown)

    def encoding_plan(
        self, values: NDArray[Any], counts: NDArray[Any], policy: UnknownPolicy
    ) -> EncodingPlan:
        """Return how to encode a text that has the symbols `values`.

        Args:
            values: the distinct code points or bytes of the text, shape (distinct,). Symbols that
                the vocabulary knows may be left out.
            counts: how often each of the `values` occurs, shape (distinct,).
            policy: what to do with unknown symbols.

        Raises:
            ConfigError: a symbol must be replaced, and the replacement is not exactly one symbol of
                the vocabulary.
        """
        strange = self._ids[values] < 0
        values, counts = values[strange], counts[strange]
        order = np.argsort(-counts, kind="stable")
        found = tuple((chr(values[place]), int(counts[place])) for place in order)
        unknowns = Unknowns(int(counts.sum()), found, self.tokens)
        if not found:
            return EncodingPlan(self._ids, unknowns)
        if policy.unknown == "add":
            raise ConfigError(
                f"{argument('unknown')} is add, which gives a model weights for new {self.tokens} while it is trained further. "
                f"Here the model does not learn; give refuse, skip or replace."
            )
        if policy.unknown == "refuse":
            return EncodingPlan(self._ids, unknowns, refused=True)
        if policy.unknown == "skip":
            return EncodingPlan(self._ids, unknowns, skipping=True)
        replacement = policy.replacement
        known = self._ids[_symbols(replacement, self.tokens)]
        if len(known) != 1 or known[0] < 0:
            raise ConfigError(
                f"{argument('replacement')} is {shortened(replacement)}; it must be one of the "
                f"{len(self.characters):,} {self.tokens} that the model knows."
            )
        table = np.where(self._ids < 0, known[0], self._ids)
        return EncodingPlan(table, dataclasses.replace(unknowns, replacement=replacement))

    def with_symbols(
        self, values: NDArray[Any], counts: NDArray[Any]
    ) -> tuple["Vocabulary", Unknowns]:
        """Return a vocabulary that also has the symbols `values`, and those of them that are new.

        Args:
            values: code points or bytes, shape (distinct,).
            counts: how often each of the `values` occurs in a text, shape (distinct,).
        """
        new = self.encoding_plan(values, counts, UnknownPolicy("skip")).unknown
        if not new.total:
            return self, ALL_KNOWN
        symbols = (*self.characters, *(symbol for symbol, _ in new.counts))
        grown = Vocabulary(symbols, self.tokens, items=self.boundary is not None)
        return grown, dataclasses.replace(new, added=True)

    def ids_in(self, grown: "Vocabulary") -> NDArray[np.int64]:
        """Return the id in `grown` of each id of this vocabulary, shape (K,). `grown` has all of its symbols."""
        symbols = np.array([ord(character) for character in self.characters])
        boundary = [] if grown.boundary is None else [grown.boundary]
        return np.concatenate([grown._ids[symbols], boundary]).astype(np.int64)

    def decode(self, ids: NDArray[Any] | list[int]) -> str:
        """Return the text that `ids` stand for; bytes that are not UTF-8 become U+FFFD. Boundaries are left out."""
        return self.decoder().decode(ids, final=True)

    def completed(self, ids: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the characters that `ids` stand for, and where each character ends. Boundaries are left out.

        If the tokens are bytes, a character can have several ids, and bytes that are not UTF-8 become
        U+FFFD. A string of the result can have several characters: if an ASCII character follows an
        incomplete character, U+FFFD and the ASCII character are one string.

        Returns:
            The characters, and for each character the number of ids up to and including its last id.
        """
        if self.tokens == "characters":
            within = np.flatnonzero(np.asarray(ids) != self.boundary)
            characters = tuple(map(self.characters.__getitem__, np.asarray(ids)[within].tolist()))
            return characters, within + 1
        decoder = self.decoder()
        pieces, ends = [], []
        for n, last in enumerate(np.asarray(ids).tolist(), start=1):
            if completed := decoder.decode([last], final=n == len(ids)):
                pieces.append(completed)
                ends.append(n)
        return tuple(pieces), np.array(ends, dtype=np.int64)

    def decoder(self) -> "Decoder":
        """Return a new decoder, which turns ids into text, a few ids per call."""
        return Decoder(self)

    def to_bytes(self, ids: NDArray[Any]) -> bytes:
        """Return the bytes of the text that `ids` stand for. Characters are encoded in UTF-8."""
        text = "".join(map(self.text_of_ids.__getitem__, np.asarray(ids).tolist()))
        if self.tokens == "bytes":
            return text.encode("latin-1")
        return text.encode("utf-8", "surrogatepass")

    def closest(self, character: str) -> str | None:
        """Return the known character that is most similar to the unknown `character`.

        Return None if no known character is similar, or if the tokens are bytes.
        """
        if self.tokens == "bytes":
            # Bytes with similar numbers do not look similar, so a suggestion would not help users.
            return None
        base = unicodedata.normalize("NFKD", character)[:1]
        for other in (
            character.translate(PLAIN_FORMS),
            character.swapcase(),
            base,
            base.swapcase(),
        ):
            if other in self:
                return other
        plain = character.translate(PLAIN_FORMS)
        for other in self.characters:
            if other.translate(PLAIN_FORMS) == plain:
                return other
        if not character.isalnum():
            # For a punctuation mark or a symbol, do not suggest a character that only has the same
            # Unicode category: it would mislead users.
            return None
        kind = unicodedata.category(character)
        alike = [other for other in self.characters if unicodedata.category(other) == kind]
        return min(alike, key=lambda other: abs(ord(other) - ord(character)), default=None)

    def refusal(self, value: int, position: int, unknowns: Unknowns) -> UnknownCharacterError:
        """Return the error for a text with unknown symbols.

        Args:
            value: the code point or byte of the first unknown symbol.
            position: the index of that symbol in the text, from 0.
            unknowns: all unknown symbols of the text.
        """
        symbol = chr(value)
        shown = _shown(symbol, self.tokens)
        if self.tokens == "characters":
            shown += f" ({unicodedata.name(symbol, f'U+{value:04X}')})"
        other = self.closest(symbol)
        closest = "" if other is None else f" The closest one in the vocabulary is {other!r}."
        more = (
            f" The text has {unknowns.total:,} unknown {self.tokens}, {len(unknowns.counts):,} of them different."
            if unknowns.total > 1
            else ""
        )
        return UnknownCharacterError(
            f"{one_of(self.tokens)} {position + 1:,} is {shown}, which is not in the model's vocabulary of "
            f"{len(self.characters):,} {self.tokens}.{closest}{more} To read the text anyway, use "
            f"{argument('unknown', 'skip')}, or {argument('unknown', 'replace')} with a "
            f"{argument('replacement')} from the vocabulary.",
            symbol,
            position,
        )


class Decoder:
    """Turns ids into text, a few ids per call. Keeps an incomplete UTF-8 character for the next call."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._characters = vocabulary.text_of_ids
        self._read = 0
        self._utf8 = (
            codecs.getincrementaldecoder("utf-8")("replace")
            if vocabulary.tokens == "bytes"
            else None
        )

    def decode(self, ids: NDArray[Any] | list[int], final: bool = False) -> str:
        """Return the text of the next ids. The call that gets a character's last id returns the character.

        Args:
            ids: the next ids, after those of the earlier calls.
            final: True if no more ids follow: an incomplete UTF-8 character at the end becomes U+FFFD.
        """
        text = "".join(map(self._characters.__getitem__, np.asarray(ids).tolist()))
        self._read += len(text)
        return text if self._utf8 is None else self._utf8.decode(text.encode("latin-1"), final)

    def decode_with_ends(self, ids: NDArray[Any]) -> tuple[str, NDArray[np.int64]]:
        """Return the text of the next ids, as `decode` does, and where each of its characters ends.

        Returns:
            The text; and for each character, the number of ids from the first call up to and
            including the character's last id, shape (characters,). The last id of a U+FFFD is that of
            the last byte that it replaces.
        """
        before = self._read
        if self._utf8 is None:
            text = self.decode(ids)
            return text, np.arange(before + 1, self._read + 1)
        pieces: list[str] = []
        ends: list[int] = []
        for n, last in enumerate(ids.tolist(), start=before + 1):
            if completed := self.decode([last]):
                # A byte that does not continue the incomplete character before it turns that character
                # into U+FFFD. The byte itself is either a character or the start of a new character,
                # which the decoder keeps. The first two bytes of a surrogate become one U+FFFD each.
                waits = 1 if self._utf8.getstate()[0] else 0
                pieces.append(completed)
                ends += range(n + 1 - waits - len(completed), n + 1 - waits)
        return "".join(pieces), np.array(ends, dtype=np.int64)


def _symbols(text: str, tokens: str) -> NDArray[Any]:
    """Return the code points of a text, or its bytes in UTF-8, shape (symbols,)."""
    if tokens == "bytes":
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _shown(symbol: str, tokens: str) -> str:
    """Return the form of a symbol in messages: 'a' for a character, 0xe9 for a byte."""
    if tokens == "characters":
        return repr(symbol)
    plain = f" {symbol!r}" if symbol.isascii() and symbol.isprintable() else ""
    return f"0x{ord(symbol):02x}{plain}"
