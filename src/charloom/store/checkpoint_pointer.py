"""Reads the pointers: the files `latest` and `best`, which name a checkpoint (spec/formats.md: Runs).

A pointer is one line with the update of a checkpoint of the same run and a SHA-256 checksum, the seal.
The seal shows whether the pointer was written for this checkpoint. A pointer cannot hold a path.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from charloom.errors import DamagedError
from charloom.store.damage import Damage, attempt

POINTER: Final = re.compile(rb"(?P<update>0|[1-9][0-9]{0,18})(?: (?P<seal>[0-9a-f]{64}))?\n")
MOST_POINTER: Final = 256  # largest size of a pointer in bytes

# How many times to try to load the checkpoint that a pointer names. Before it is loaded, another process
# may replace the pointer and remove this checkpoint.
ATTEMPTS: Final = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Pointer:
    """The contents of a pointer, which is a file that names a checkpoint.

    Attributes:
        path: the path of the pointer.
        update: the update of the checkpoint that the pointer names.
        seal: the SHA-256 checksum in the pointer, in hexadecimal; None in runs of earlier versions of
            charloom, or if the checkpoint's MANIFEST was missing.
    """

    path: Path
    update: int
    seal: str | None

    def fits(self, manifest: bytes) -> bool:
        """Return True if the pointer was written for the checkpoint whose MANIFEST has these bytes.

        A pointer without a checksum fits every checkpoint.
        """
        return self.seal in (None, pointer_seal(self.path.name, self.update, manifest))


def parse_pointer(data: bytes, path: Path) -> Pointer:
    """Parse `data`, the bytes of the pointer at `path`, and return the pointer.

    Raises:
        DamagedError: `data` is not the contents of a pointer.
    """
    found = POINTER.fullmatch(data)
    if not found:
        raise DamagedError(
            f"{path} is damaged: it must contain the number of a checkpoint in the same directory."
        )
    seal = found["seal"]
    return Pointer(path, int(found["update"]), None if seal is None else seal.decode("ascii"))


def pointer_line(name: str, update: int, manifest: bytes | None) -> bytes:
    """Return the bytes of a pointer, which is a file that names the checkpoint of `update`.

    Args:
        name: the name of the pointer, "latest" or "best".
        update: the update of the checkpoint.
        manifest: the bytes of the checkpoint's MANIFEST. None if MANIFEST is missing or damaged: the
            pointer then gets no checksum, and loading the checkpoint reports the damage.
    """
    if manifest is None:
        return f"{update}\n".encode("ascii")
    return f"{update} {pointer_seal(name, update, manifest)}\n".encode("ascii")


def pointer_seal(name: str, update: int, manifest: bytes) -> str:
    """Return the checksum of a pointer: the SHA-256 of its name, its update and the checkpoint's MANIFEST."""
    return hashlib.sha256(f"{name} {update}\n".encode("ascii") + manifest).hexdigest()


@dataclass(frozen=True)
class PointerTarget(Generic[T]):
    """The result of following a pointer, such as the file `latest`.

    Attributes:
        update: the update that the pointer names; None if the pointer is missing or damaged.
        found: the result of loading or checking the checkpoint that the pointer names; a `Damage` that
            says why the pointer or the checkpoint cannot be used.
    """

    update: int | None
    found: T | Damage


def follow_pointer(
    read: Callable[[], int | None], load: Callable[[int | None], T | Damage]
) -> PointerTarget[T]:
    """Read a pointer, load the checkpoint that it names, and return the update and the loaded object.

    Another process may replace the pointer and remove the checkpoint at the same time. So if loading
    fails, read the pointer again. If it now names another checkpoint, load that checkpoint.

    Args:
        read: reads the pointer and returns the update that it names; None if there is no pointer. It
            may raise DamagedError.
        load: loads a checkpoint. Its argument is the update that the pointer names; None if there is no
            pointer.
    """
    named = attempt(read)
    for _ in range(ATTEMPTS):
        if isinstance(named, Damage):
            return PointerTarget(None, named)
        followed = PointerTarget(named, load(named))
        if not isinstance(followed.found, Damage):
            break
        moved = attempt(read)
        if moved == named:
            break
        named = moved
    return followed
