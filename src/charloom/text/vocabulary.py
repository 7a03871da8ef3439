"""The symbols that a model knows, characters or bytes, and the number of each.

Ids follow the code points (or the bytes), so that the same text gives the same ids in every process.
What to do with a symbol that is not known is said with each text (spec/mathematics.md: Unknown characters).
"""

import codecs
import dataclasses
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import TOKENS, UNKNOWNS, require_one_of
from charloom.errors import ConfigError, TextError, UnknownCharacterError
from charloom.messages import argument
from charloom.spelling import shortened

CODE_POINTS: Final = 0x110000
BYTES: Final = 256
COMMONEST: Final = 3  # unknown symbols that a sentence names

# What typographers write and typewriters lack; the right side is tried when the left is unknown.
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
    """The symbols of a text that a vocabulary did not know, and what was done with them.

    Attributes:
        total: how many there were, repeats counted.
        counts: each of them with how often it came, the commonest first; bytes as Latin-1.
        tokens: characters or bytes.
        replacement: the known character that was written instead; empty where they were skipped.
    """

    total: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    tokens: str = "characters"
    replacement: str = ""

    @property
    def sentence(self) -> str:
        """What was done, for people; empty where every symbol was known."""
        if not self.total:
            return ""
        done = f"replaced by {self.replacement!r}" if self.replacement else "skipped"
        named = [f"{_shown(symbol, self.tokens)} ({count:,})" for symbol, count in self.counts]
        listed = ", ".join(named[:COMMONEST]) + (", …" if len(named) > COMMONEST else "")
        if self.total == 1:
            return f"1 unknown {_noun(self.tokens)} was {done}: {listed}"
        return (
            f"{self.total:,} unknown {self.tokens}, {len(named):,} distinct, were {done}: {listed}"
        )


ALL_KNOWN: Final = Unknowns()


@dataclass(frozen=True)
class Encoded:
    """A text as ids, and what of it was not known."""

    ids: NDArray[Any]
    unknown: Unknowns


@dataclass(frozen=True)
class Treatment:
    """How a text is read by a vocabulary that may not know all of it.

    Attributes:
        table: the id of each symbol by its value, -1 for one that has none.
        unknown: the symbols that are not known.
        refused: whether the text must be refused for them.
        skipping: whether they are left out.
    """

    table: NDArray[np.int32]
    unknown: Unknowns
    refused: bool = False
    skipping: bool = False


class Vocabulary:
    """Symbols in rising order; the id of a symbol is its place.

    Args:
        characters: the characters, in any order; repeats are dropped. A byte stands as the
            character of the same number (Latin-1).
        tokens: "characters", Unicode characters; or "bytes", those of the text in UTF-8.

    Raises:
        TextError: fewer than two distinct symbols, from which nothing can be learnt.
        ConfigError: a character that is no byte in a vocabulary of bytes.
    """

    def __init__(self, characters: Iterable[str], tokens: str = "characters") -> None:
        require_one_of("tokens", tokens, TOKENS)
        self.characters: tuple[str, ...] = tuple(sorted(set(characters)))
        self.tokens = tokens
        if len(self.characters) < 2:
            found = (
                _shown(self.characters[0], tokens)
                if self.characters
                else f"no {_noun(self.tokens)}"
            )
            raise TextError(
                f"the text has only {found}; a model needs at least two distinct {tokens}."
            )
        limit = BYTES if tokens == "bytes" else CODE_POINTS
        if ord(self.characters[-1]) >= limit:
            raise ConfigError(
                f"{self.characters[-1]!r} is no byte; a vocabulary of bytes has U+0000 to U+00FF."
            )
        self._ids = np.full(limit, -1, dtype=np.int32)
        self._ids[[ord(character) for character in self.characters]] = range(len(self))

    @classmethod
    def from_text(cls, text: str, tokens: str = "characters") -> "Vocabulary":
        """The vocabulary of all symbols of a text."""
        present = np.bincount(_symbols(text, tokens), minlength=1) > 0
        return cls(map(chr, np.flatnonzero(present)), tokens)

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        """Whether a single character can be written with what is known."""
        return len(character) == 1 and bool(
            (self._ids[_symbols(character, self.tokens)] >= 0).all()
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.tokens == other.tokens
            and self.characters == other.characters
        )

    def __hash__(self) -> int:
        return hash((self.tokens, self.characters))

    def __repr__(self) -> str:
        tokens = "" if self.tokens == "characters" else f", tokens={self.tokens!r}"
        return f"Vocabulary({''.join(self.characters)!r}{tokens})"

    @property
    def id_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str) -> NDArray[Any]:
        """The ids of a text, shape (symbols,), in `id_dtype`.

        Raises:
            UnknownCharacterError: names the first unknown symbol, its place, the closest known
                one, and how many others are unknown.
        """
        return self.encode_with(text).ids

    def encode_with(self, text: str, unknown: str = "refuse", replacement: str = "") -> Encoded:
        """The ids of a text that may have unknown symbols, and what was done with those.

        Args:
            text: the text.
            unknown: "refuse", "skip", or "replace" by the replacement.
            replacement: one known character; of a byte vocabulary, one byte.

        Raises:
            UnknownCharacterError: as `encode`, where unknown symbols are refused.
            ConfigError: no such treatment, or a replacement that is not known itself.
        """
        symbols = _symbols(text, self.tokens)
        strange = self._ids[symbols] < 0
        values, counts = np.unique(symbols[strange], return_counts=True)
        treatment = self.treatment(values, counts, unknown, replacement)
        if treatment.refused:
            first = int(np.argmax(strange))
            raise self.refusal(int(symbols[first]), first, treatment.unknown)
        ids = treatment.table[symbols]
        if treatment.skipping:
            ids = ids[~strange]
        return Encoded(ids.astype(self.id_dtype), treatment.unknown)

    def treatment(
        self, values: NDArray[Any], counts: NDArray[Any], unknown: str, replacement: str
    ) -> Treatment:
        """How a text is read that has these symbols, so often each.

        Args:
            values: code points or bytes, shape (distinct,); those that are known may be left out.
            counts: how often each is there, shape (distinct,).
            unknown: "refuse", "skip", or "replace" by the replacement.
            replacement: one known character.

        Raises:
            ConfigError: no such treatment, or a replacement that is not known itself.
        """
        require_one_of("unknown", unknown, UNKNOWNS)
        strange = self._ids[values] < 0
        values, counts = values[strange], counts[strange]
        order = np.argsort(-counts, kind="stable")
        found = tuple((chr(values[place]), int(counts[place])) for place in order)
        unknowns = Unknowns(int(counts.sum()), found, self.tokens)
        if not found:
            return Treatment(self._ids, unknowns)
        if unknown == "refuse":
            return Treatment(self._ids, unknowns, refused=True)
        if unknown == "skip":
            return Treatment(self._ids, unknowns, skipping=True)
        known = self._ids[_symbols(replacement, self.tokens)]
        if len(known) != 1 or known[0] < 0:
            raise ConfigError(
                f"{argument('replacement')} is {shortened(replacement)}; it must be one {_noun(self.tokens)} that the model "
                f"knows, of its {len(self)}."
            )
        table = np.where(self._ids < 0, known[0], self._ids)
        return Treatment(table, dataclasses.replace(unknowns, replacement=replacement))

    def decode(self, ids: NDArray[Any] | list[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decoder().decode(ids, final=True)

    def completed(self, ids: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The characters that ids complete one after another, and how many ids were read by then.

        Of bytes, one that shows that those before it are no UTF-8 completes them as U+FFFD together
        with what it begins: then a string is several characters long.
        """
        if self.tokens == "characters":
            characters = tuple(map(self.characters.__getitem__, np.asarray(ids).tolist()))
            return characters, np.arange(1, len(characters) + 1)
        decoder = self.decoder()
        pieces, ends = [], []
        for n, last in enumerate(np.asarray(ids).tolist(), start=1):
            if completed := decoder.decode([last], final=n == len(ids)):
                pieces.append(completed)
                ends.append(n)
        return tuple(pieces), np.array(ends, dtype=np.int64)

    def decoder(self) -> "Decoder":
        """What turns ids into text as they come."""
        return Decoder(self)

    def to_bytes(self, ids: NDArray[Any]) -> bytes:
        """The text of ids as bytes: UTF-8, or where the tokens are bytes exactly those."""
        text = "".join(map(self.characters.__getitem__, np.asarray(ids).tolist()))
        if self.tokens == "bytes":
            return text.encode("latin-1")
        return text.encode("utf-8", "surrogatepass")

    def closest(self, character: str) -> str | None:
        """The known character that is most like an unknown one, or None."""
        if self.tokens == "bytes":
            return None  # bytes are not alike in any sense that a person would have
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
            return None  # any other sign would be a wild guess
        kind = unicodedata.category(character)
        alike = [other for other in self.characters if unicodedata.category(other) == kind]
        return min(alike, key=lambda other: abs(ord(other) - ord(character)), default=None)

    def refusal(self, value: int, position: int, unknowns: Unknowns) -> UnknownCharacterError:
        """The error for a text with unknown symbols, the first of them at this position from 0."""
        symbol = chr(value)
        shown = _shown(symbol, self.tokens)
        if self.tokens == "characters":
            shown += f" ({unicodedata.name(symbol, f'U+{value:04X}')})"
        other = self.closest(symbol)
        mend = "" if other is None else f" The closest that it knows is {other!r}."
        more = (
            f" In all {unknowns.total:,} {self.tokens} of the text are unknown, "
            f"{len(unknowns.counts):,} distinct."
            if unknowns.total > 1
            else ""
        )
        return UnknownCharacterError(
            f"{_noun(self.tokens)} {position + 1} is {shown}, which the model has never read: "
            f"it knows {len(self)} {self.tokens}.{mend}{more} To read the text all the same: "
            f"{argument('unknown', 'skip')}, or {argument('unknown', 'replace')} with a "
            f"{argument('replacement')} that it knows.",
            symbol,
            position,
        )


class Decoder:
    """Ids to text, piece by piece: a character whose bytes are not all there yet waits."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._characters = vocabulary.characters
        self._read = 0
        self._utf8 = (
            codecs.getincrementaldecoder("utf-8")("replace")
            if vocabulary.tokens == "bytes"
            else None
        )

    def decode(self, ids: NDArray[Any] | list[int], final: bool = False) -> str:
        """The text that these ids complete; with `final`, all that is left as well."""
        text = "".join(map(self._characters.__getitem__, np.asarray(ids).tolist()))
        self._read += len(text)
        return text if self._utf8 is None else self._utf8.decode(text.encode("latin-1"), final)

    def decode_with_ends(self, ids: NDArray[Any]) -> tuple[str, NDArray[np.int64]]:
        """The same, and for each of its characters how many ids there were when it ended, those of
        all calls counted; the bytes of one that is no UTF-8 are what U+FFFD stands for."""
        before = self._read
        if self._utf8 is None:
            text = self.decode(ids)
            return text, np.arange(before + 1, self._read + 1)
        pieces: list[str] = []
        ends: list[int] = []
        for n, last in enumerate(ids.tolist(), start=before + 1):
            if completed := self.decode([last]):
                # A byte that does not fit ends what was before it, and begins or is something else;
                # of two U+FFFD for what was before it (half a surrogate), the second is one byte.
                waits = 1 if self._utf8.getstate()[0] else 0
                pieces.append(completed)
                ends += range(n + 1 - waits - len(completed), n + 1 - waits)
        return "".join(pieces), np.array(ends, dtype=np.int64)


def _symbols(text: str, tokens: str) -> NDArray[Any]:
    """The code points of a text, or its bytes in UTF-8, shape (symbols,)."""
    if tokens == "bytes":
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _noun(tokens: str) -> str:
    """What one symbol is called."""
    return tokens.removesuffix("s")


def _shown(symbol: str, tokens: str) -> str:
    """A symbol as a message shows it."""
    if tokens == "characters":
        return repr(symbol)
    plain = f" {symbol!r}" if symbol.isascii() and symbol.isprintable() else ""
    return f"0x{ord(symbol):02x}{plain}"
