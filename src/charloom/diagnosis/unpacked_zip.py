"""Unpacks the zip of a course system into an empty folder. The zip is not trusted.

No file is written outside the folder, links and hidden files are left out, and the sizes are limited.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from charloom.errors import ConfigError
from charloom.formatting import count, shortened

MOST_UNPACKED: Final = 2_000_000_000  # bytes of all files together
MOST_MEMBERS: Final = 50_000
LONGEST_NAME: Final = 150  # characters of a part of a path
LINK: Final = 0o120000  # the file type of a symbolic link in the mode of a member
TYPE: Final = 0o170000
BLOCK: Final = 1 << 20
FORBIDDEN: Final = str.maketrans(
    dict.fromkeys('<>:"|?*\0\n\r\t', "_")
)  # in file names of some system


def unpack(path: Path, folder: Path) -> None:
    """Unpack the zip at `path` into `folder`, which is created.

    Raises:
        ConfigError: the file is not a zip, is encrypted or damaged, or is too large when unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = MOST_UNPACKED
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise ConfigError(
                    f"{shortened(path)} has {count(len(members))} files; the most are {count(MOST_MEMBERS)}."
                )
            for member in members:
                parts = list(safe_parts(member.filename))
                is_link = member.external_attr >> 16 & TYPE == LINK
                if not parts or member.is_dir() or is_link:
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    continue
                with archive.open(member) as source, target.open("wb") as copy:
                    left -= copied(source, copy, left, path)
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


def copied(source: IO[bytes], target: IO[bytes], most: int, path: Path) -> int:
    """Copy a file, and return its number of bytes; raise ConfigError if they are more than `most`."""
    total = 0
    while block := source.read(BLOCK):
        total += len(block)
        if total > most:
            raise ConfigError(
                f"{shortened(path)} has more than {count(MOST_UNPACKED // 1_000_000)} MB when unpacked; "
                "unpack it and give the folder."
            )
        target.write(block)
    return total
