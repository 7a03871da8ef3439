"""The characters that a model knows, and the number of each.

Ids follow the code points, so that the same text gives the same ids in every process.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.errors import TextError, UnknownCharacterError

CODE_POINTS = 0x110000

# What typographers write and typewriters lack; the right side is tried when the left is unknown.
PLAIN_FORMS = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u2026": ".", "\u00a0": " ", "\t": " ", "\r": "\n", "`": "'", "\u00b4": "'",
    }
)  # fmt: skip


class Vocabulary:
    """Unicode characters sorted by code point; the id of a character is its place.

    Args:
        characters: the characters, in any order; repeats are dropped.

    Raises:
        TextError: fewer than two distinct characters, from which nothing can be learnt.
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters: tuple[str, ...] = tuple(sorted(set(characters)))
        if len(self.characters) < 2:
            found = repr(self.characters[0]) if self.characters else "no character"
            raise TextError(
                f"the text has only {found}; a model needs at least two distinct characters."
            )
        self._ids = np.full(CODE_POINTS, -1, dtype=np.int32)
        self._ids[[ord(character) for character in self.characters]] = range(len(self))

    @classmethod
    def from_text(cls, text: str) -> "Vocabulary":
        """The vocabulary of all characters of a text."""
        present = np.bincount(_code_points(text), minlength=1) > 0
        return cls(chr(point) for point in np.flatnonzero(present))

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return len(character) == 1 and bool(self._ids[ord(character)] >= 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({''.join(self.characters)!r})"

    @property
    def id_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str) -> NDArray[Any]:
        """The ids of a text, shape (len(text),), in `id_dtype`.

        Raises:
            UnknownCharacterError: names the first unknown character, its place and the closest
                known one.
        """
        ids = self._ids[_code_points(text)]
        if ids.size and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            raise self._unknown(text[position], position)
        return ids.astype(self.id_dtype)

    def decode(self, ids: NDArray[Any] | list[int]) -> str:
        """The text of ids."""
        return "".join(map(self.characters.__getitem__, np.asarray(ids).tolist()))

    def closest(self, character: str) -> str | None:
        """The known character that is most like an unknown one, or None."""
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

    def _unknown(self, character: str, position: int) -> UnknownCharacterError:
        name = unicodedata.name(character, f"U+{ord(character):04X}")
        other = self.closest(character)
        mend = "" if other is None else f" The closest that it knows is {other!r}."
        return UnknownCharacterError(
            f"character {position + 1} is {character!r} ({name}), which the model has never read: "
            f"it knows {len(self)} characters.{mend}",
            character,
            position,
        )


def _code_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text, shape (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
