"""Where texts come from: files, directories, patterns, standard input, built-in texts, strings.

It finds them, says in which order they are read and what was left out, and opens them. What is in
them it looks at only as far as is needed to tell a text from a picture.
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
from pathlib import Path
from typing import IO, Any, Final

from charloom.errors import TextError
from charloom.messages import either
from charloom.spelling import shortened
from charloom.text.builtin import BUILTIN_TEXTS

STDIN: Final = "-"
IN_MEMORY: Final = 64 << 20  # bytes of text up to which everything is held in memory
LOOKED_AT: Final = 1 << 16  # bytes at the beginning of a file that tell whether it is a text
LONGEST_NAME: Final = 255  # of a file, on the usual file systems
NAMED: Final = 3  # files that a sentence names

Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class Source:
    """One piece of a text.

    Attributes:
        name: what messages call it.
        place: an absolute path or `builtin:NAME`, by which it is found again; empty where nothing
            but this process has it.
        raw: whether each byte is the text's own; else a byte-order mark is no part of the text,
            and a NUL byte or a surrogate tells that it is no text at all.
        path: the file on disk, if it is one.
        held: where it is held, if it is none.
    """

    name: str
    place: str
    raw: bool = False
    path: str = ""
    held: IO[bytes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: a copy holds in memory what this holds in an open file."""
        if self.held is None:
            return self.__dict__
        with self.opened() as file:
            return {**self.__dict__, "held": io.BytesIO(file.read())}

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The piece from its beginning.

        Raises:
            TextError: it cannot be read.
        """
        try:
            if self.held is not None:
                self.held.seek(0)
                yield self.held
            else:
                with Path(self.path).open("rb", buffering=0) as file:
                    yield file
        except (OSError, ValueError) as error:
            raise unreadable(self.name, error) from None

    @property
    def size(self) -> int:
        """Its bytes."""
        with self.opened() as file:
            return file.seek(0, io.SEEK_END)

    @property
    def stamp(self) -> Stamp | None:
        """What changes when the file does: path, bytes, time in ns, inode; None without a file."""
        if not self.path:
            return None
        try:
            found = Path(self.path).stat()
        except OSError as error:
            raise unreadable(self.name, error) from None
        return (self.path, found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Found:
    """What was found for one thing that was asked for."""

    name: str
    sources: tuple[Source, ...]
    note: str = ""


def string_source(text: str, name: str, place: str = "") -> Source:
    """A piece that is a string."""
    held = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return Source(name, place, raw=True, held=held)


def file_source(path: Path, raw: bool = False) -> Source:
    """A piece that is a file."""
    place = str(path.resolve())
    return Source(str(path), place, raw, place)


def find_sources(asked: Sequence[str | Path], any_bytes: bool) -> list[Found]:
    """The pieces of a text in the order in which they are read.

    A file that a directory or a pattern finds is left out where it was read before.

    Args:
        asked: paths of files and directories, patterns, `-`, or names of built-in texts.
        any_bytes: whether every file is a text, whatever its bytes.

    Raises:
        TextError: there is no such thing, or it holds no text.
        MissingPartError: a built-in text needs an extra that is not installed.
    """
    if not asked:
        raise TextError("no text was given; name one or more files, or a built-in text.")
    seen: set[str] = set()
    found = []
    for name in map(str, asked):
        one = _find(name, any_bytes)
        fresh = tuple(source for source in one.sources if source.place not in seen)
        if one.note:  # several were looked for
            one = dataclasses.replace(one, sources=fresh)
        elif not fresh:
            one = dataclasses.replace(
                one, note=f"{shortened(Path(name))} was read before, and is read once more"
            )
        seen |= {source.place for source in one.sources}
        found.append(one)
    return found


def _find(asked: str, any_bytes: bool) -> Found:
    """What one word of the user's stands for; a file goes before all that looks like it."""
    if asked == STDIN:
        return _found_alone(_held("stdin", _standard_input))
    path = Path(asked)
    builtin = asked.removeprefix("builtin:")
    try:
        if path.is_dir():
            return _found_many(path.resolve().name or asked, _under(path), asked, any_bytes)
        if not path.exists() and builtin in BUILTIN_TEXTS:
            text = BUILTIN_TEXTS[builtin].read()
            return _found_alone(string_source(text, builtin, f"builtin:{builtin}"))
        if not path.exists() and glob.has_magic(asked):
            # Path.glob takes no absolute patterns.
            matches = list(map(Path, glob.glob(asked, recursive=True)))  # noqa: PTH207
            if not matches and looks_like_a_text(asked):
                raise missing(asked)
            files = sorted((match for match in matches if match.is_file()), key=_order)
            return _found_many(asked, files, asked, any_bytes)
        path.stat()  # where it cannot be read, this says why
        return _found_alone(_file(path))
    except FileNotFoundError:
        raise missing(asked) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise missing(asked) from None
        raise unreadable(str(getattr(error, "filename", None) or asked), error) from None


def looks_like_a_text(asked: str) -> bool:
    """Whether somebody may have given the text itself where a path belongs."""
    return "\n" in asked or len(asked) > LONGEST_NAME


def missing(asked: str) -> TextError:
    """The error for what is no file; somebody may have given the text itself."""
    name = shortened(Path(asked))
    if looks_like_a_text(asked):
        way = either(
            in_python="give it as string instead of text",
            elsewhere="write it to a file, or pipe it in and give - for TEXT",
        )
        return TextError(f"{name}: no such file. If that is the text itself, {way}.")
    known = ", ".join(BUILTIN_TEXTS)
    return TextError(
        f"{name}: no such file; give the path of a text, or a built-in text ({known})."
    )


def _found_alone(source: Source) -> Found:
    """A single piece."""
    return Found(Path(source.name).name, (source,))


def _file(path: Path) -> Source:
    """A file that was named; what can be read only once, such as a pipe, is kept."""
    if path.is_file() and path.resolve().exists():
        return file_source(path)
    return _held(str(path), lambda: path.open("rb"))


def _found_many(name: str, paths: Sequence[Path], asked: str, any_bytes: bool) -> Found:
    """Those of the files that are texts, and a sentence about what was taken and what was not."""
    taken = [path for path in paths if path.stat().st_size and (any_bytes or _is_text(path))]
    left = [path for path in paths if path not in set(taken)]
    if not paths:
        raise TextError(
            f"{shortened(Path(asked))}: no file is found by it; give the path of a text, a directory of texts, or in "
            f"quotes a pattern such as '**/*.txt'."
        )
    if not taken:
        raise TextError(
            f"{shortened(Path(asked))}: no text in UTF-8 among {how_many(paths)}; give the path of a text, a "
            f"directory of texts, or in quotes a pattern such as '**/*.txt'."
        )
    note = f"{shortened(Path(asked))}: {how_many(taken)}, read in the order of their paths, {shortened(taken[0])} first"
    if left:
        named = ", ".join(map(shortened, left[:NAMED])) + (" …" if len(left) > NAMED else "")
        note += f"; left out {len(left):,} that {'is' if len(left) == 1 else 'are'} empty or no text in UTF-8: {named}"
    return Found(name, tuple(map(file_source, taken)), note)


def how_many(paths: Sequence[Path]) -> str:
    """How many files these are."""
    return "1 file" if len(paths) == 1 else f"{len(paths):,} files"


def _under(folder: Path) -> list[Path]:
    """The files in a directory and all below it, in the order of their paths.

    Hidden ones, links to directories and charloom's own runs are not entered.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_entered(Path(parent, name))]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.is_file()]
    return sorted(found, key=_order)


def _is_entered(folder: Path) -> bool:
    """Whether a directory in a directory is looked into."""
    is_run = (folder / "config.json").exists() and (folder / "checkpoints").is_dir()
    return not folder.name.startswith(".") and not is_run


def _order(path: Path) -> tuple[str, ...]:
    """Paths are sorted part by part, so that a directory's files stay together."""
    return path.parts


def _is_text(path: Path) -> bool:
    """Whether a file begins like a text in UTF-8."""
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character that the end of what was read cut in two is none of the file's faults.
        return len(start) == LOOKED_AT and error.start >= len(start) - 3
    return True


def _standard_input() -> AbstractContextManager[IO[bytes]]:
    """The bytes that are piped into this process."""
    if sys.stdin is None:
        raise TextError("- stands for standard input, and there is none.")
    return nullcontext(sys.stdin.buffer)


def require_end(name: str, stream: IO[bytes]) -> None:
    """Refuse a device that may never end: any but a terminal, and the one that is always empty.

    Raises:
        TextError: it is one.
    """
    try:
        about = os.fstat(stream.fileno())
    except OSError:
        return  # a stream of Python's own
    ends = stream.isatty() or about.st_rdev == Path(os.devnull).stat().st_rdev
    if stat.S_ISBLK(about.st_mode) or (stat.S_ISCHR(about.st_mode) and not ends):
        raise TextError(f"{name}: a device, which may never end, and no text.")


def _held(name: str, opening: Callable[[], AbstractContextManager[IO[bytes]]]) -> Source:
    """A piece that can be read only once, held so that it can be read again."""
    try:
        with opening() as stream:
            require_end(name, stream)
            start = stream.read(IN_MEMORY + 1)
            if len(start) <= IN_MEMORY:
                return Source(name, "", held=io.BytesIO(start))
            # Open as long as the source is there, and on the disk no longer than that.
            file = tempfile.TemporaryFile()  # noqa: SIM115
            source = Source(name, "", held=file)
            weakref.finalize(source, close_quietly, file)
            file.write(start)
            shutil.copyfileobj(stream, file)
            return source
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from None


def close_quietly(file: IO[bytes]) -> None:
    """Close a file of which nothing is wanted any more, on a disk that may be full."""
    with suppress(OSError):
        file.close()


def unreadable(name: str, error: Exception) -> TextError:
    """What the system said about a source, as a sentence."""
    reason = getattr(error, "strerror", None) or error
    return TextError(f"{shortened(name)} cannot be read: {reason}.")
