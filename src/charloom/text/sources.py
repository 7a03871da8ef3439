"""The sources of a text: files, directories, patterns, standard input, built-in texts, strings.

This module finds the sources, puts them in order, notes which files were skipped, and opens them.
While it searches, it reads only the beginning of each file, to find out whether the file is text.
"""

import dataclasses
import errno
import glob
import io
import os
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final

from charloom.config import STDIN, refuse_empty_path
from charloom.errors import TextError
from charloom.formatting import counted, shortened
from charloom.messages import words_by_face
from charloom.run_file_names import CHECKPOINTS, CONFIG
from charloom.text.builtin_texts import BUILTIN_TEXTS

IN_MEMORY: Final = 64 << 20  # largest number of bytes of a text that is kept in memory
CHECKED_BYTES: Final = 1 << 16  # bytes at the beginning of a file that show whether it is text
MOST_WORDS: Final = 8  # largest number of words of a string that is taken for a file name
LONGEST_NAME: Final = 255  # bytes of the longest name of a file or directory on common file systems
MOST_NAMES: Final = 3  # largest number of file names in a message

Stamp = tuple[str, int, int, int]
BY_FOLDER: Final = attrgetter("parts")  # sort key: keeps the files of a directory together


@dataclass(frozen=True)
class Source:
    """One piece of the text of a corpus: a file, a built-in text, a string or the content of a stream.

    Attributes:
        name: the name of the piece in messages.
        place: an absolute path or `builtin:NAME`, from which the piece can be read again; empty if
            only this process has the piece.
        raw: True for bytes that charloom encoded itself: they have no byte-order mark, and may have
            NUL bytes and surrogates. False for other bytes: if the tokens are characters, a
            byte-order mark is removed, and NUL bytes and surrogates are errors.
        path: the file on disk; empty if the piece is not a file.
        content: a stream with the bytes of the piece, in memory or in a temporary file; None if the
            piece is a file.
    """

    name: str
    place: str
    raw: bool = False
    path: str = ""
    content: IO[bytes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return this source's attributes, for pickling and copying, with a copy of `content` in memory."""
        if self.content is None:
            return self.__dict__
        with self.opened() as file:
            return {**self.__dict__, "content": io.BytesIO(file.read())}

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open this source at its first byte, for a `with` statement.

        Raises:
            TextError: the source cannot be read.
        """
        try:
            if self.content is not None:
                self.content.seek(0)
                yield self.content
            else:
                with Path(self.path).open("rb", buffering=0) as file:
                    yield file
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error) from None

    @property
    def size(self) -> int:
        """Return the size of this source's text in bytes."""
        with self.opened() as file:
            return file.seek(0, io.SEEK_END)

    @property
    def stamp(self) -> Stamp | None:
        """Return the path, size in bytes, modification time in ns and inode of this source's file.

        Return None if the source is not a file. If two stamps of a file differ, the file has changed.
        """
        if not self.path:
            return None
        try:
            found = Path(self.path).stat()
        except OSError as error:
            raise unreadable(self.name, error) from None
        return (self.path, found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class FoundText:
    """The pieces of text found for one argument of the user, such as a path or a pattern.

    Attributes:
        name: a short name of the argument for messages.
        pieces: the pieces of text; several for a directory or a pattern.
        note: a sentence for users: which files are read and which were skipped, or that the
            argument was given more than once. Empty if there is nothing to say.
    """

    name: str
    pieces: tuple[Source, ...]
    note: str = ""


def string_source(text: str, name: str, place: str = "") -> Source:
    """Return a `Source` that holds the string `text` in UTF-8.

    `name` is its name in messages; `place` is `builtin:NAME` for a built-in text, or else empty.
    """
    content = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return Source(name, place, raw=True, content=content)


def file_source(path: Path, raw: bool = False) -> Source:
    """Return a `Source` that is the file `path`. `raw` is True if charloom wrote the file itself."""
    place = str(path.resolve())
    return Source(str(path), place, raw, place)


def find_sources(requested: Sequence[str | Path], any_bytes: bool) -> list[FoundText]:
    """Return the texts for each of the user's arguments, in the order in which they are read.

    A directory or a pattern leaves out the files that an earlier argument already gave.

    Args:
        requested: the user's arguments: paths of files and directories, patterns, `-`, or names of
            built-in texts.
        any_bytes: True if a directory or a pattern also gives files that are not text in UTF-8.
            Directories and patterns never give empty files.

    Raises:
        TextError: there is no text for an argument, or a text cannot be read.
        MissingPartError: a built-in text needs an optional package that is not installed.
    """
    if not requested:
        raise TextError("no text was given; give one or more files, or a built-in text.")
    seen: set[str] = set()
    found = []
    for name in map(str, requested):
        refuse_empty_path(name, "the path of a text", TextError)
        one = _find_text(name, any_bytes)
        fresh = tuple(source for source in one.pieces if source.place not in seen)
        # Of the texts that `_find_text` returns, only a directory or a pattern has a note.
        if one.note:
            one = dataclasses.replace(one, pieces=fresh)
        elif not fresh:
            one = dataclasses.replace(
                one, note=f"{shortened(Path(name))} was given more than once, and is read each time"
            )
        seen |= {source.place for source in one.pieces}
        found.append(one)
    return found


def _find_text(requested: str, any_bytes: bool) -> FoundText:
    """Return the texts for `requested`, one argument of the user.

    A file takes precedence over a built-in text or a pattern of the same name.
    """
    if requested == STDIN:
        return _single_text(_copied_source("stdin", _standard_input))
    path = Path(requested)
    builtin = requested.removeprefix("builtin:")
    try:
        if path.is_dir():
            return _several_texts(
                path.resolve().name or requested, _under(path), requested, any_bytes
            )
        if not path.exists() and builtin in BUILTIN_TEXTS:
            text = BUILTIN_TEXTS[builtin].read()
            return _single_text(string_source(text, builtin, f"builtin:{builtin}"))
        if not path.exists() and glob.has_magic(requested):
            # Use glob.glob because Path.glob does not accept absolute patterns.
            matches = list(map(Path, glob.glob(requested, recursive=True)))  # noqa: PTH207
            if not matches and looks_like_a_text(requested):
                raise missing_text_error(requested)
            files = sorted((match for match in matches if match.is_file()), key=BY_FOLDER)
            return _several_texts(requested, files, requested, any_bytes)
        path.stat()  # raises OSError with the reason if the path cannot be accessed
        return _single_text(_file(path))
    except FileNotFoundError:
        raise missing_text_error(requested) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise missing_text_error(requested) from None
        raise unreadable(str(getattr(error, "filename", None) or requested), error) from None


def looks_like_a_text(requested: str) -> bool:
    """Return True if `requested` may be the text itself, which the user gave instead of its path.

    This is so if `requested` has a line break, or is too long or has too many words for a file name.
    """
    return "\n" in requested or len(requested) > LONGEST_NAME or len(requested.split()) > MOST_WORDS


def missing_text_error(requested: str) -> TextError:
    """Return the error for a path or name `requested` for which there is no file and no built-in text."""
    name = shortened(Path(requested))
    if looks_like_a_text(requested):
        way = words_by_face(
            in_python="pass it as string=… instead of text",
            elsewhere="write it to a file, or pipe it in and give - for TEXT",
        )
        return TextError(f"{name}: no such file. If this is the text itself, {way}.")
    known = ", ".join(BUILTIN_TEXTS)
    return TextError(
        f"{name}: no such file; give the path of a text, or a built-in text ({known})."
    )


def _single_text(source: Source) -> FoundText:
    """Return a `FoundText` whose only piece of text is `source`."""
    return FoundText(Path(source.name).name, (source,))


def _file(path: Path) -> Source:
    """Return a `Source` with the content of the file, pipe or device at `path`.

    The content of a pipe or device is copied, because it can be read only once.
    """
    if path.is_file() and path.resolve().exists():
        return file_source(path)
    return _copied_source(str(path), lambda: path.open("rb"))


def _several_texts(name: str, paths: Sequence[Path], requested: str, any_bytes: bool) -> FoundText:
    """Return the texts among the files `paths`, for a directory or a pattern.

    Args:
        name: a short name of the directory or the pattern for messages.
        paths: the files that are in the directory or match the pattern.
        requested: the directory or the pattern as the user gave it.
        any_bytes: True to also return files that are not text in UTF-8.

    Raises:
        TextError: `paths` is empty, or none of the files can be used.
    """
    taken = [path for path in paths if path.stat().st_size and (any_bytes or _is_text(path))]
    left = [path for path in paths if path not in set(taken)]
    if not paths:
        raise TextError(
            f"{shortened(Path(requested))}: no file found; give the path of a text, a directory of texts, or a "
            f"pattern in quotes, such as '**/*.txt'."
        )
    if not taken:
        raise TextError(
            f"{shortened(Path(requested))}: no text in UTF-8 among {counted(len(paths), 'file')}; give the path of a text, a "
            f"directory of texts, or a pattern in quotes, such as '**/*.txt'."
        )
    note = (
        f"{shortened(Path(requested))}: {counted(len(taken), 'file')}, read in the order of their paths from "
        f"{shortened(taken[0])} on"
    )
    if left:
        named = ", ".join(map(shortened, left[:MOST_NAMES])) + (
            " …" if len(left) > MOST_NAMES else ""
        )
        note += f"; skipped {counted(len(left), 'file')} without text in UTF-8: {named}"
    return FoundText(name, tuple(map(file_source, taken)), note)


def _under(folder: Path) -> list[Path]:
    """Return the files in a directory and below it, in the order of their paths.

    Skips hidden files and directories, links to directories, and run directories of charloom.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_entered(Path(parent, name))]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.is_file()]
    return sorted(found, key=BY_FOLDER)


def _is_entered(folder: Path) -> bool:
    """Return True if a directory is not hidden and is not a run directory."""
    is_run = (folder / CONFIG).exists() and (folder / CHECKPOINTS).is_dir()
    return not folder.name.startswith(".") and not is_run


def _is_text(path: Path) -> bool:
    """Return True if the first 64 KiB of a file are text in UTF-8 without NUL bytes."""
    with path.open("rb") as file:
        start = file.read(CHECKED_BYTES)
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # The first CHECKED_BYTES bytes may end inside a character, which is not an error in the file.
        return len(start) == CHECKED_BYTES and error.start >= len(start) - 3
    return True


def _standard_input() -> AbstractContextManager[IO[bytes]]:
    """Return standard input as a binary stream, for a `with` statement."""
    if sys.stdin is None:
        raise TextError("- stands for standard input, but this process has none; give a file.")
    return nullcontext(sys.stdin.buffer)


def require_end(name: str, stream: IO[bytes]) -> None:
    """Check that a stream is not a device that may never end, such as /dev/zero.

    A terminal and /dev/null are allowed. `name` is the stream's name for the message.

    Raises:
        TextError: `stream` is a device that may never end.
    """
    try:
        about = os.fstat(stream.fileno())
    except OSError:
        # A stream without a file descriptor, such as io.BytesIO, is not a device.
        return
    ends = stream.isatty() or about.st_rdev == Path(os.devnull).stat().st_rdev
    if stat.S_ISBLK(about.st_mode) or (stat.S_ISCHR(about.st_mode) and not ends):
        raise TextError(f"{name} is a device that may never end; give a file.")


def _copied_source(name: str, opening: Callable[[], AbstractContextManager[IO[bytes]]]) -> Source:
    """Return a `Source` with a copy of all bytes of the stream that `opening` opens."""
    try:
        with opening() as stream:
            require_end(name, stream)
            start = stream.read(IN_MEMORY + 1)
            if len(start) <= IN_MEMORY:
                return Source(name, "", content=io.BytesIO(start))
            # Closing a temporary file deletes it. The finalizer does this when `source` is no longer used.
            file = tempfile.TemporaryFile()  # noqa: SIM115
            source = Source(name, "", content=file)
            weakref.finalize(source, close_quietly, file)
            file.write(start)
            shutil.copyfileobj(stream, file)
            return source
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from None


def close_quietly(file: IO[bytes]) -> None:
    """Close a file that is no longer needed. Ignore an OSError, such as that of a full disk."""
    with suppress(OSError):
        file.close()


def unreadable(name: str, error: Exception) -> TextError:
    """Return the error for a text that cannot be read, with the text's `name` and the reason in `error`."""
    reason = getattr(error, "strerror", None) or error
    return TextError(f"{shortened(name)} cannot be read: {reason}.")
