"""Writes files and directories so that they appear complete or not at all.

Each file or directory is written under a temporary name next to its final name, flushed to the disk, and
then renamed, because a rename is atomic. This module does not know what the bytes mean.
"""

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from charloom.errors import DamagedError, ReadError, WriteError
from charloom.formatting import count, counted, shortened
from charloom.temporary_names import TEMPORARY

Block = bytes | memoryview
Data = bytes | Iterable[Block]  # the bytes of a file, as one object or as consecutive blocks

# Flags for `os.open`. With them, opening a pipe does not wait for its writer. Links are not followed, if
# the system supports that.
READING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)

WINDOWS: Final = os.name == "nt"
# Windows renames no file or directory in which another process has a file open. A reader of a file is soon ready, so a
# rename is tried this many times, at intervals of this many seconds.
RENAMES: Final = 40
RENAME_SECONDS: Final = 0.05

FIXES = {
    errno.ENOENT: "Make the directory first.",
    errno.ENOTDIR: "Part of the path is a file; choose another one.",
    errno.ENOSPC: "Free some space and try again.",
    errno.EDQUOT: "Free some of your quota and try again.",
    errno.ENOTEMPTY: "It is not overwritten; give a name that does not exist yet.",
    errno.EEXIST: "It is not overwritten; give a name that does not exist yet.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.EACCES: "Choose a place where you may write.",
    errno.EPERM: "Choose a place where you may write.",
    errno.EIO: "The disk may be failing: copy what is there to another one.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}

READING_FIXES = {
    errno.EACCES: "Ask its owner for the right to read it.",
    errno.EPERM: "Ask its owner for the right to read it.",
    errno.EIO: FIXES[errno.EIO],
    errno.ENAMETOOLONG: FIXES[errno.ENAMETOOLONG],
    errno.EMFILE: "Close other files and try again.",
}


def file_above(path: Path) -> Path | None:
    """Return the file that is where a parent directory of `path` should be; None if no file is there."""
    above = next((parent for parent in path.parents if os.path.lexists(parent)), None)
    return None if above is None or above.is_dir() else above


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise WriteError, with `path` in its message, if the `with` block raises an OSError.

    Use it for a block that writes files.

    Raises:
        WriteError: the block raised an OSError, which is the `__cause__` of this error.
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
        advice = FIXES.get(error.errno or 0, "Check the disk and try again.")
        raise WriteError(f"{shortened(path)} cannot be written: {reason}. {advice}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise ReadError if the `with` block raises an OSError. Use it for a block that reads files.

    The message names the same file as the OSError. If the OSError names no file, the message names `path`.

    Raises:
        ReadError: the block raised an OSError, which is the `__cause__` of this error.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = READING_FIXES.get(error.errno or 0, "Check the disk and try again.")
        where = Path(error.filename) if isinstance(error.filename, str) else path
        raise ReadError(f"{shortened(where)} cannot be read: {reason}. {advice}") from error


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO | None]:
    """Open a plain file for reading and yield it; yield None if the file does not exist.

    Links, pipes and devices are refused. The directory may be untrusted: a link in it could lead to
    any of the user's files, and reading a pipe or a device may never end.

    Raises:
        DamagedError: the path is not a plain file.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            descriptor = os.open(path, READING)
        except (FileNotFoundError, NotADirectoryError):
            descriptor = None
        except OSError:
            if path.is_symlink():
                raise DamagedError(
                    f"{path} is not a plain file but a link; links are not followed."
                ) from None
            raise
        if descriptor is None:
            yield None
            return
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamagedError(f"{path} is not a plain file; only plain files are read.")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)


def read_file(path: Path, most: int | None = None) -> bytes | None:
    """Return the bytes of a plain file; None if the file does not exist.

    Args:
        path: the file.
        most: largest allowed size in bytes. A larger file raises DamagedError and is not read. None
            allows any size.

    Raises:
        DamagedError: the path is not a plain file, or the file is too large.
        ReadError: the disk failed while reading.
    """
    with open_plain(path) as file:
        if file is None:
            return None
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise DamagedError(
                f"{path} is damaged: it has {counted(size, 'byte')}; at most {count(most)} are allowed."
            )
        return file.read() if most is None else file.read(most + 1)


def require_directory(path: Path) -> None:
    """Raise DamagedError if the path exists and is not a plain directory.

    A link to a directory is refused too: it could lead into another run, whose lock is not held.

    Raises:
        DamagedError: the path is a link or a file.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        if path.is_symlink():
            raise DamagedError(
                f"{path} is not a plain directory but a link; links are not followed."
            )
        if path.exists() and not path.is_dir():
            raise DamagedError(f"{path} is not a directory.")


def blocks_of(data: Data) -> Iterable[Block]:
    """Return the blocks of `data`. A bytes object is a single block."""
    return (data,) if isinstance(data, bytes) else data


def temporary_sibling(path: Path) -> Path:
    """Return a random temporary path in the directory of `path`. Readers ignore files with such names."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(8)}")


def replace_file(path: Path, data: Data, durable: bool = True) -> None:
    """Replace a file atomically: a reader sees either the old bytes or the new ones.

    Args:
        path: the file.
        data: its new contents.
        durable: True to wait until the new file would survive a power cut.

    Raises:
        WriteError: the disk failed. The old file is unchanged. One exception: if only the last step,
            flushing the directory, failed, the new file is there and complete, but a power cut may
            undo the replacement.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        try:
            _write(temporary, data, durable)
            rename_when_closed(temporary.replace, path)
        except FileExistsError:
            raise  # another process has written the temporary file, so do not remove it
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_directory(path.parent)


def rename_when_closed(rename: Callable[[Path], object], target: Path) -> None:
    """Call `rename`, a method of a path, with the new path.

    On Windows, wait up to two seconds for other processes that have the file open.

    Raises:
        OSError: the file or directory cannot be renamed.
    """
    for _ in range(RENAMES - 1 if WINDOWS else 0):
        with suppress(PermissionError):
            rename(target)
            return
        time.sleep(RENAME_SECONDS)
    rename(target)


def make_directories(path: Path) -> None:
    """Create a directory and its missing parents, and flush the names of all of them to the disk.

    Raises:
        OSError: the disk failed, or a file has the name of one of the directories.
    """
    if not path.parent.is_dir():
        make_directories(path.parent)
    path.mkdir(exist_ok=True)
    # Flush the parent directory even if another process has just made `path`. A parent directory that this
    # process may not read cannot be flushed.
    with suppress(PermissionError):
        sync_directory(path.parent)


def create_directory(path: Path, files: Mapping[str, Data]) -> None:
    """Create a directory with files. It appears complete or not at all, and survives a power cut.

    Args:
        path: the directory to create. Missing parents are created too.
        files: the contents of each file, by file name.

    Raises:
        WriteError: the disk failed, or the path is a file or a directory that is not empty. Then the
            directory was not created. One exception: if only the last step, flushing the parent
            directory, failed, the complete directory is there, but a power cut may undo its creation.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        try:
            _write_directory(temporary, files)
            rename_when_closed(temporary.rename, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(path.parent)


def replace_directory(path: Path, files: Mapping[str, Data]) -> None:
    """Create a directory with files, in the place of the directory at `path` if there is one.

    A reader never sees a directory with only some of the files. While a directory is replaced, there is none for a
    moment. If this process is killed in that moment, the old directory has a temporary name.

    Args:
        path: the directory. If it is a link, the directory to which it leads is replaced.
        files: the contents of each file, by file name.

    Raises:
        WriteError: the disk failed, or the path is a file. The old directory is unchanged. One exception: if only
            the last step, flushing the parent directory, failed, the new directory is there.
    """
    path = path.resolve()
    new, old = temporary_sibling(path), temporary_sibling(path)
    with writing(path):
        try:
            _write_directory(new, files)
            if path.is_dir():
                rename_when_closed(path.rename, old)
            rename_when_closed(new.rename, path)
        except BaseException:
            # A signal such as Ctrl-C can raise after each of these steps, also after a step that succeeded.
            if not path.exists() and old.exists():
                rename_when_closed(old.rename, path)
            shutil.rmtree(new, ignore_errors=True)
            raise
        finally:
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
        sync_directory(path.parent)


def _write_directory(path: Path, files: Mapping[str, Data]) -> None:
    """Create a directory that must not exist yet, with files, and flush all of it to the disk."""
    path.mkdir(parents=True)
    for name, data in files.items():
        _write(path / name, data, durable=True)
    sync_directory(path)


def remove_directory(path: Path) -> None:
    """Remove a directory: first rename it to a temporary name, which is atomic, then delete its files.

    Raises:
        WriteError: the disk failed.
    """
    temporary = temporary_sibling(path)
    with writing(path):
        path.rename(temporary)
    shutil.rmtree(temporary, ignore_errors=True)


def remove_temporaries(directory: Path, prefix: str = "", older_than: float | None = None) -> None:
    """Delete the temporary files and directories that interrupted writers left in a directory.

    Args:
        directory: the directory.
        prefix: delete only temporary files and directories whose final name would start with this. An
            empty `prefix` selects all.
        older_than: delete only those that were last changed more than this many seconds ago. Needed if
            another process may be writing in the directory. None deletes them at any age.
    """
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
    """Return the temporary files and directories whose final name would start with `prefix`.

    If the directory cannot be listed, the result is empty: temporary files that stay do no harm.
    """
    with suppress(OSError):
        return list(directory.glob(f"{TEMPORARY}{prefix}*"))
    return []


def sync_directory(path: Path) -> None:
    """Flush a directory's list of file names to the disk. On Windows, do nothing."""
    if WINDOWS:
        return  # Windows cannot open directories; its file system keeps renames in order
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: Data, durable: bool) -> None:
    """Write a file that must not exist yet. With `durable`, wait until it would survive a power cut.

    Raises FileExistsError if the path exists, also if it is a link. So no link is followed, and no file of
    another writer is overwritten.
    """
    with path.open("xb", buffering=0) as file:
        for block in blocks_of(data):
            write_all(file.fileno(), block)
        if durable:
            os.fsync(file.fileno())


def write_all(descriptor: int, data: Block) -> None:
    """Write all bytes of `data` to a file descriptor, with as many system calls as this takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
