"""The files `latest` and `best`: a line that names a checkpoint of the same run (spec/formats.md: Runs).

A seal ties the line to its file and to the MANIFEST of the checkpoint. A path in it is never followed.
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
MOST_POINTER: Final = 256  # bytes

# Between reading a pointer and its checkpoint, a writer may replace the pointer and remove the checkpoint.
ATTEMPTS: Final = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Pointer:
    """The contents of a pointer.

    Attributes:
        path: the file.
        update: the update of the checkpoint that it names.
        seal: its seal; None in runs of earlier versions.
    """

    path: Path
    update: int
    seal: str | None

    def fits(self, manifest: bytes) -> bool:
        """Return True if the pointer was written for the checkpoint with this MANIFEST."""
        return self.seal in (None, pointer_seal(self.path.name, self.update, manifest))


def parse_pointer(data: bytes, path: Path) -> Pointer:
    """Return the pointer in the bytes of the file at `path`; raise DamagedError if it is none."""
    found = POINTER.fullmatch(data)
    if not found:
        raise DamagedError(
            f"{path} is damaged: it must contain the number of a checkpoint in the same directory."
        )
    seal = found["seal"]
    return Pointer(path, int(found["update"]), None if seal is None else seal.decode("ascii"))


def pointer_line(name: str, update: int, manifest: bytes | None) -> bytes:
    """Return the contents of the pointer `name` ("latest" or "best") to the checkpoint of an update.

    Args:
        name: the name of the pointer.
        update: the update of the checkpoint.
        manifest: the MANIFEST of the checkpoint. If it is None, there is no seal, and loading the
            checkpoint reports the damage.
    """
    if manifest is None:
        return f"{update}\n".encode("ascii")
    return f"{update} {pointer_seal(name, update, manifest)}\n".encode("ascii")


def pointer_seal(name: str, update: int, manifest: bytes) -> str:
    """Return the SHA-256 of a pointer's name, its update and its checkpoint's MANIFEST."""
    return hashlib.sha256(f"{name} {update}\n".encode("ascii") + manifest).hexdigest()


@dataclass(frozen=True)
class PointerTarget(Generic[T]):
    """What a pointer led to.

    Attributes:
        update: the update that the pointer names; None if it is missing or damaged.
        found: what was loaded, or why it could not be.
    """

    update: int | None
    found: T | Damage


def follow_pointer(
    read: Callable[[], int | None], load: Callable[[int | None], T | Damage]
) -> PointerTarget[T]:
    """Load what a pointer names, even while a writer moves the pointer and removes old checkpoints.

    If loading fails, and the pointer then names another checkpoint, that one is loaded instead.

    Args:
        read: reads the pointer, and returns the update that it names, or None without a pointer. It
            may raise DamagedError.
        load: loads the checkpoint of an update; None means that there is no pointer.
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
