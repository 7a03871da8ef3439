"""Separates this process from the rest of the system by Linux namespaces, without privileges.

Afterwards the process sees no other processes and no network. It can write only to its own directory,
which is in memory and has a limited size, and directories that the caller names are empty.
Other systems have no namespaces, and some Linux systems, such as most containers, do not allow them.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.diagnosis import linux_calls as linux

MOST_ENTRIES: Final = 10_000  # largest number of files in the directory in memory
QUIET: Final = linux.NO_SETUID | linux.NO_DEVICES


def enter_namespaces() -> None:
    """Give this process namespaces of its own, in which it may mount file systems.

    Its next child is the first process of a new process namespace. When this child ends, the kernel
    ends all other processes of the namespace.

    Raises:
        OSError: the system does not allow namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    linux.unshare(
        linux.NEW_USER | linux.NEW_MOUNTS | linux.NEW_PIDS | linux.NEW_NETWORK | linux.NEW_IPC
    )
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    linux.mount("none", "/", None, linux.RECURSIVE | linux.PRIVATE)


def mount_memory(folder: str, size: int) -> None:
    """Mount an empty directory in memory at `folder`; its files may have `size` bytes in all."""
    options = f"size={size},nr_inodes={MOST_ENTRIES},mode=700"
    linux.mount("charloom", folder, "tmpfs", QUIET, options)


def hide(folders: Sequence[str], needed: Sequence[str]) -> None:
    """Make `folders` empty, except for the paths in `needed` that are below one of them.

    A folder that is needed itself is not hidden.
    """
    paths = [real(path) for path in needed]
    for folder in sorted(set(map(real, folders)), key=len):
        if folder == "/" or folder in paths or not Path(folder).is_dir():
            continue
        below = outermost(path for path in paths if path.startswith(folder + os.sep))
        trees = [(path, linux.clone_tree(path)) for path in below if Path(path).exists()]
        mount_memory(folder, linux_page())
        for path, tree in trees:
            make_mount_point(Path(path), tree)
            linux.attach_tree(tree, path)


def linux_page() -> int:
    """Return the size of the smallest directory in memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE")


def make_mount_point(path: Path, tree: int) -> None:
    """Make an empty file or directory at `path`, at which a tree of the same kind can be mounted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(f"/proc/self/fd/{tree}"):  # noqa: PTH112
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths that are not below another one of `paths`."""
    found: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(other + os.sep) for other in found):
            found.append(path)
    return found


def real(path: str) -> str:
    """Return an absolute path without symbolic links."""
    return os.path.realpath(path)


def only_writable(folder: str) -> None:
    """Make everything read-only but `folder`, at which a file system must be mounted."""
    linux.set_read_only("/", True)
    linux.set_read_only(folder, False)


def show_own_processes() -> None:
    """Let /proc show only the processes of this namespace, and allow no further namespaces.

    The first process of a process namespace calls this function.
    """
    linux.mount("proc", "/proc", "proc", QUIET | linux.NO_PROGRAMS)
    with suppress(OSError):
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
