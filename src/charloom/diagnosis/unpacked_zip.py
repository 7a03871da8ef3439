"""Unpacks the zip of a course system into an empty folder. The zip is not trusted.

No file is written outside the folder, links and hidden files are left out, and the sizes are limited.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from charloom.errors import ConfigError
from charloom.formatting import count, shortened


class ZipLimits(NamedTuple):
    """The largest number of bytes of all files together, and of files."""

    size: int
    files: int


OF_A_CLASS: Final = ZipLimits(2_000_000_000, 50_000)
OF_A_STUDENT: Final = ZipLimits(200_000_000, 5_000)
LONGEST_NAME: Final = 150  # characters of a part of a path
LINK: Final = 0o120000  # the file type of a symbolic link in the mode of a member
TYPE: Final = 0o170000
BLOCK: Final = 1 << 20
FORBIDDEN: Final = str.maketrans(
    dict.fromkeys('<>:"|?*\0\n\r\t', "_")
)  # in file names of some system


def unpack(path: Path, folder: Path, limits: ZipLimits = OF_A_CLASS) -> None:
    """Unpack the zip at `path` into `folder`, which is created.

    A file at whose place there is another one already is left out.

    Raises:
        ConfigError: the file is not a zip, is encrypted or damaged, or is too large when unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = limits.size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > limits.files:
                raise ConfigError(
                    f"{shortened(path)} has {count(len(members))} files; the most are {count(limits.files)}."
                )
            for member in members:
                parts = list(safe_parts(member.filename))
                is_link = member.external_attr >> 16 & TYPE == LINK
                if not parts or member.is_dir() or is_link:
                    continue
                target = folder.joinpath(*parts)
                if target.exists() or not made(target.parent):
                    continue
                with archive.open(member) as source, target.open("wb") as copy:
                    left -= copied(source, copy, left, limits.size, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(
            f"{shortened(path)} cannot be unpacked: {error}; download it again, or unpack it and give the "
            "folder."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{shortened(path)} cannot be unpacked: {error.strerror or error}; check the file and the space "
            "for temporary files."
        ) from None


def safe_parts(name: str) -> Iterator[str]:
    """Yield the parts of a member's path that is inside the folder; yield nothing for a hidden file."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return
    for part in parts:
        yield part.translate(FORBIDDEN)[-LONGEST_NAME:].strip() or "_"


def made(folder: Path) -> bool:
    """Make a folder, and return True; return False if a file has its name or that of a folder above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return False
    return True


def copied(source: IO[bytes], target: IO[bytes], left: int, most: int, path: Path) -> int:
    """Copy a file, and return its number of bytes; raise ConfigError if they are more than are `left`.

    `most` is the limit for all files together, which the error names.
    """
    total = 0
    while block := source.read(BLOCK):
        total += len(block)
        if total > left:
            raise ConfigError(
                f"{shortened(path)} has more than {count(most // 1_000_000)} MB when unpacked; "
                "unpack it and give the folder."
            )
        target.write(block)
    return total
