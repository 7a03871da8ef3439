"""Writes files and directories so that they are there whole or not at all.

It knows nothing of what it writes. Everything is first made under a temporary sibling name,
brought to the disk, and renamed: a rename is the one step that happens at once.
"""

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from charloom.errors import DamagedError, ReadError, WriteError
from charloom.spelling import shortened

Block = bytes | memoryview
Data = bytes | Iterable[Block]  # all bytes of a file, or one block of them after another

TEMPORARY = ".tmp-"
ABANDONED_SECONDS = 86_400.0  # after which a temporary file of whoever has no writer any more

# Without waiting for whoever writes a pipe; where links can be told apart, without following one.
READING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)

MENDS = {
    errno.ENOENT: "Make the directory first.",
    errno.ENOTDIR: "Part of the path is a file; choose another one.",
    errno.ENOSPC: "Free some space and try again.",
    errno.EDQUOT: "Free some of your quota and try again.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.EACCES: "Choose a place where you may write.",
    errno.EPERM: "Choose a place where you may write.",
    errno.EIO: "The disk may be failing: copy what is there to another one.",
}

READING_MENDS = {
    errno.EACCES: "Ask its owner for the right to read it.",
    errno.EPERM: "Ask its owner for the right to read it.",
    errno.EIO: MENDS[errno.EIO],
    errno.EMFILE: "Close other files and try again.",
}


def file_above(path: Path) -> Path | None:
    """The file that stands where a directory above a path would be; None where there is none."""
    above = next((parent for parent in path.parents if os.path.lexists(parent)), None)
    return None if above is None or above.is_dir() else above


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says into a sentence about a path.

    Raises:
        WriteError: the system refused; `__cause__` is its own error.
    """
    try:
        yield
    except OSError as error:
        above = file_above(path)
        if above is not None:
            raise WriteError(
                f"{shortened(path)} cannot be written: {shortened(above)} is a file, not a directory. Give "
                f"a place in a directory."
            ) from error
        reason = error.strerror or str(error)
        mend = MENDS.get(error.errno or 0, "Look after the disk and try again.")
        raise WriteError(f"{shortened(path)} cannot be written: {reason}. {mend}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the system says into a sentence about a path that is read.

    Raises:
        ReadError: the system refused; `__cause__` is its own error.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        mend = READING_MENDS.get(error.errno or 0, "Look after the disk and try again.")
        where = Path(error.filename) if isinstance(error.filename, str) else path
        raise ReadError(f"{shortened(where)} cannot be read: {reason}. {mend}") from error


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO | None]:
    """Open a plain file for reading; None where there is none.

    A directory may come from a stranger: a link in it could lead to any file of the user's, a pipe or
    a device never end. Neither is followed.

    Raises:
        DamagedError: it is no plain file.
        ReadError: the disk refused.
    """
    with reading(path):
        try:
            descriptor = os.open(path, READING)
        except (FileNotFoundError, NotADirectoryError):
            descriptor = None
        except OSError:
            if path.is_symlink():
                raise DamagedError(
                    f"{path} is no plain file but a link; it is not followed."
                ) from None
            raise
        if descriptor is None:
            yield None
            return
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamagedError(f"{path} is no plain file; nothing else is read.")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)


def read_file(path: Path, most: int | None = None) -> bytes | None:
    """The bytes of a plain file; None where there is none.

    Args:
        most: bytes that such a file has at most; more are damage, and are not read.

    Raises:
        DamagedError: it is no plain file, or too long.
        ReadError: the disk refused.
    """
    with open_plain(path) as file:
        if file is None:
            return None
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise DamagedError(
                f"{path} is damaged: it has {size} bytes, and at most {most} make sense."
            )
        return file.read() if most is None else file.read(most + 1)


def require_directory(path: Path) -> None:
    """Refuse a link where a directory of a run must be: it could lead into another run, past the lock
    of that one.

    Raises:
        DamagedError: something else is there; nothing at all is no matter.
        ReadError: the disk refused.
    """
    with reading(path):
        if path.is_symlink():
            raise DamagedError(f"{path} is no plain directory but a link; it is not followed.")
        if path.exists() and not path.is_dir():
            raise DamagedError(f"{path} is no directory.")


def blocks_of(data: Data) -> Iterable[Block]:
    """The blocks of what a file shall hold; all bytes are one."""
    return (data,) if isinstance(data, bytes) else data


def temporary_sibling(path: Path) -> Path:
    """A name beside a path that no other writer uses, nobody can guess, and no reader looks at."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(8)}")


def replace_file(path: Path, data: Data, durable: bool = True) -> None:
    """Put a file in place at once: a reader sees the old bytes or the new ones.

    Args:
        data: what the file shall hold.
        durable: whether to wait until it would survive a power cut.

    Raises:
        WriteError: the disk refused. The old file is there as it was, or, where only the last step
            failed, the new one, whole, which a power cut may still take back.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        try:
            _write(temporary, data, durable)
            temporary.replace(path)
        except FileExistsError:
            raise  # of another writer: not ours to remove
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_directory(path.parent)


def make_directories(path: Path) -> None:
    """Make a directory, and those above it that are missing, and bring their names to the disk.

    Raises:
        OSError: the disk refused, or a file is in the way.
    """
    if not path.parent.is_dir():
        make_directories(path.parent)
    path.mkdir(exist_ok=True)
    # Someone else may have made it a moment ago. A parent that may not be read is not ours to sync.
    with suppress(PermissionError):
        sync_directory(path.parent)


def create_directory(path: Path, files: Mapping[str, Data]) -> None:
    """Make a directory of files appear at once, and durably.

    Raises:
        WriteError: the disk refused, or something of that name is there. Nothing appeared, or, where
            only the last step failed, the whole directory, which a power cut may still take back.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        temporary.mkdir(parents=True)
        try:
            for name, data in files.items():
                _write(temporary / name, data, durable=True)
            sync_directory(temporary)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(path.parent)


def remove_directory(path: Path) -> None:
    """Make a directory disappear at once, then delete it: no half of it is ever seen.

    Raises:
        WriteError: the disk refused.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        path.rename(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def remove_temporaries(directory: Path, prefix: str = "", older_than: float | None = None) -> None:
    """Delete what interrupted writers left in a directory that has no writer now; or, where others may
    be writing, only what is older than so many seconds."""
    for path in temporaries_in(directory, prefix):
        if older_than is not None:
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime <= older_than:
                    continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def temporaries_in(directory: Path, prefix: str) -> list[Path]:
    """The temporary names in a directory that begin so; none where it cannot be listed, for one that
    stays harms nobody."""
    with suppress(OSError):
        return list(directory.glob(f"{TEMPORARY}{prefix}*"))
    return []


def sync_directory(path: Path) -> None:
    """Bring a directory's list of names to the disk, where the system can."""
    if os.name == "nt":
        return  # Windows opens no directories; its renames are ordered by the journal
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: Data, durable: bool) -> None:
    """Write a new file, and wait for the disk where asked.

    New in earnest: a link that lies at its name is never followed, another writer's file never taken.
    """
    with path.open("xb", buffering=0) as file:
        for block in blocks_of(data):
            write_all(file.fileno(), block)
        if durable:
            os.fsync(file.fileno())


def write_all(descriptor: int, data: Block) -> None:
    """Write every byte; the system may take them in parts."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
