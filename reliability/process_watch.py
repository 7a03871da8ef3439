"""Records what this process does while it opens a file: forbidden events, opened files and its memory."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# What a process must not do while it opens a file.
FORBIDDEN = (
    "compile", "exec", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system",
    "pickle.find_class", "subprocess.Popen", "ctypes.dlopen", "socket.connect",
    "socket.getaddrinfo",
)  # fmt: skip

# The folders of the interpreter and its packages: late imports are not caused by the file.
HARMLESS = (sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent / "src"), "/proc/self")


class Watch:
    """Records what this process does while it opens a file, with an audit hook that cannot be removed.

    Args:
        allowed: the folder whose files may be opened.
        private: names in that folder that must not be opened.

    Attributes:
        events: forbidden events, and the files that were opened but must not be.
    """

    def __init__(self, allowed: Path, private: Sequence[str]) -> None:
        self.events: list[str] = []
        self._active = False
        self._allowed = str(allowed)
        self._private = tuple(f"{allowed}/{name}" for name in private)
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record forbidden events, and every opened file that is private or outside the allowed folders."""
        if not self._active:
            return
        name = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
        if name.startswith(HARMLESS):
            return  # a module that is imported late
        if event in FORBIDDEN:
            self.events.append(f"{event}{arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.fsdecode(os.fspath(arguments[0]))
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            real = os.path.realpath(path)
            if flags & (os.O_NOFOLLOW | os.O_EXCL):  # these do not follow a link at the last name
                absolute = Path.cwd() / path
                real = os.path.realpath(absolute.parent) + "/" + absolute.name
            outside = not real.startswith((self._allowed, *HARMLESS))
            if outside or real.startswith(self._private):
                self.events.append(f"opened {path}"[:200])

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record events inside the `with` block."""
        self._active = True
        try:
            yield
        finally:
            self._active = False


def memory() -> tuple[int, int]:
    """Return the present and the largest memory of this process in bytes."""
    found = dict(
        line.split(":", 1)
        for line in Path("/proc/self/status")
        .read_text(encoding="ascii", errors="replace")
        .splitlines()
        if line.startswith(("VmRSS", "VmHWM"))
    )
    now, most = (int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most
