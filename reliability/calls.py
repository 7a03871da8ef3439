"""Reports every call that changes files below a folder, before and after the call is made.

It replaces functions of `os` and `io.open`, which the store and the locking library call. It does not see
changes that are made in other ways. Therefore `reliability/power.py` compares the recorded calls with the
contents of the disk at the end.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reliability.replaced_functions import ReplacedFunctions, Replacement

CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Call:
    """A call that changes a file or a directory.

    Attributes:
        kind: open (for writing), write, truncate, fsync, rename, mkdir, rmdir or unlink.
        path: the path that is changed. For an open file, the name with which it was opened.
        target: the new name; only for a rename.
        offset, data: the position and the bytes of a write.
        length: the new length after a truncate; 0 for an open that empties the file.
    """

    kind: str
    path: Path
    target: Path | None = None
    offset: int = 0
    data: bytes = b""
    length: int | None = None


class Torn(OSError):
    """Raise this in `before` to write only half of the data; the caller then gets this error."""


class Calls(ReplacedFunctions):
    """Reports the calls that are made inside a `with` block.

    Args:
        below: the folder; only calls for it and for paths below it are reported.
        before: gets each call before it is made, and may raise an error instead of it.
        after: gets each call after it was made.
        patch: replaces the functions; if it is given, the caller must undo it.

    Attributes:
        opened: the unbuffered files that were opened for writing. A simulated crash closes them.
    """

    def __init__(
        self,
        below: Path,
        before: Callable[[Call], object] = lambda call: None,
        after: Callable[[Call], object] = lambda call: None,
        patch: pytest.MonkeyPatch | None = None,
    ) -> None:
        super().__init__(below, patch)
        self._before = before
        self._after = after
        self.opened: list[Watched] = []

    def replacements(self) -> list[Replacement]:
        return [
            *super().replacements(),
            (os, "open", self.open),
            (os, "write", self.write),
            (os, "fsync", self.fsync),
            (os, "rename", self.rename),
            (os, "replace", self.rename),
            (os, "mkdir", self.on_path("mkdir", "mkdir")),
            (os, "rmdir", self.on_path("rmdir", "rmdir")),
            (os, "unlink", self.on_path("unlink", "unlink")),
            (os, "remove", self.on_path("unlink", "remove")),
            (io, "open", self.open_file),
        ]

    def make(self, call: Call, action: Callable[[], Any]) -> Any:
        """Make a call, and report it if its path is below the folder."""
        if not call.path.is_relative_to(self._below):
            return action()
        self._before(call)
        result = action()
        self._after(call)
        return result

    # The functions of os, as they are called

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def action() -> int:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))

        whole = self.path_of(path, dir_fd)
        if flags & CHANGING:
            length = 0 if flags & os.O_TRUNC else None
            descriptor = self.make(Call("open", whole, length=length), action)
        else:
            descriptor = action()
        self._paths[descriptor] = whole
        return int(descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        if descriptor not in self._paths:
            return int(self._real["write"](descriptor, data))
        path = self._paths[descriptor]
        if not path.is_relative_to(self._below):
            return int(self._real["write"](descriptor, data))
        try:
            self._before(Call("write", path, data=bytes(data)))
        except Torn:
            self._real["write"](descriptor, bytes(data)[: len(data) // 2])
            raise
        count = int(self._real["write"](descriptor, data))
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._after(Call("write", path, offset=end - count, data=bytes(data)[:count]))
        return count

    def fsync(self, descriptor: int) -> None:
        path = self._paths.get(descriptor, Path("/"))
        self.make(Call("fsync", path), lambda: self._real["fsync"](descriptor))

    def rename(
        self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        call = Call("rename", self.path_of(old, src_dir_fd), self.path_of(new, dst_dir_fd))
        self.make(
            call,
            lambda: self._real["rename"](old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd),
        )

    def on_path(self, kind: str, name: str) -> Callable[..., None]:
        """Return a function that reports and makes a call of a function of `os` on one path."""

        def function(path: Any, *rest: Any, dir_fd: int | None = None, **more: Any) -> None:
            call = Call(kind, self.path_of(path, dir_fd))
            self.make(call, lambda: self._real[name](path, *rest, dir_fd=dir_fd, **more))

        return function

    # io.open

    def open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any
    ) -> Any:
        """Open a file; return a `Watched` for an unbuffered one to write.

        For other files only the opening is reported.
        """

        def action() -> Any:
            if isinstance(file, int) or "b" not in mode or buffering != 0:
                return self._real_open(file, mode, buffering, *rest, **more)
            self.opened.append(Watched(self, self.path_of(file), mode))
            return self.opened[-1]

        if isinstance(file, int) or not set(mode) & set("wxa+"):
            return self._real_open(file, mode, buffering, *rest, **more)
        length = 0 if "w" in mode else None
        return self.make(Call("open", self.path_of(file), length=length), action)

    def adopt(self, descriptor: int, path: Path) -> None:
        """Remember the path of a descriptor that was opened elsewhere."""
        self._paths[descriptor] = path

    def forget(self, descriptor: int) -> None:
        """Forget a descriptor."""
        self._paths.pop(descriptor, None)


class Watched(io.FileIO):
    """An unbuffered file whose writes and truncations are reported too."""

    def __init__(self, calls: Calls, path: Path, mode: str) -> None:
        super().__init__(path, mode.replace("b", ""))
        self._calls = calls
        self._path = path
        calls.adopt(self.fileno(), path)

    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        call = Call("truncate", self._path, length=length)
        return int(self._calls.make(call, lambda: io.FileIO.truncate(self, size)))

    def close(self) -> None:
        if not self.closed:
            self._calls.forget(self.fileno())
        super().close()
