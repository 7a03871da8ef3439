"""Calls of the Linux kernel that Python has no function for: namespaces, mounts, capabilities.

Each function raises OSError if the kernel refuses. This module knows nothing of submissions.
"""

import ctypes
import os
from functools import cache
from typing import Any, Final

# The flags of `unshare`, from linux/sched.h.
NEW_MOUNTS: Final = 0x00020000
NEW_IPC: Final = 0x08000000
NEW_USER: Final = 0x10000000
NEW_PIDS: Final = 0x20000000
NEW_NETWORK: Final = 0x40000000

# The flags of `mount`, from linux/mount.h.
NO_SETUID, NO_DEVICES, NO_PROGRAMS = 2, 4, 8
RECURSIVE: Final = 16384
PRIVATE: Final = 1 << 18

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # numbers of system calls, on every processor
HERE: Final = -100  # AT_FDCWD: relative paths are relative to the working directory
EMPTY_PATH: Final = 0x4  # MOVE_MOUNT_F_EMPTY_PATH: the source is the file descriptor itself
WHOLE_TREE: Final = 0x8000  # AT_RECURSIVE
CLONE_TREE: Final = 0x1  # OPEN_TREE_CLONE
CLOSE_ON_EXEC: Final = os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
READ_ONLY: Final = 1  # MOUNT_ATTR_RDONLY

SET_DUMPABLE, DROP_FROM_BOUNDS, SET_SUBREAPER, NO_NEW_PRIVILEGES = 4, 24, 36, 38  # of `prctl`
LAST_CAPABILITY: Final = 63
CAPABILITY_VERSION: Final = 0x20080522


@cache
def libc() -> ctypes.CDLL:
    """Return the C library."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """Return `result`; raise OSError with the name `what` if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Give this process new namespaces; of the kind `NEW_PIDS`, only its next children have the new one."""
    checked(libc().unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system, or change how an existing one is mounted."""
    encoded = (os.fsencode(source), os.fsencode(target), kind and kind.encode())
    checked(libc().mount(*encoded, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


class MountAttributes(ctypes.Structure):
    """The structure `mount_attr` of linux/mount.h."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def system_call(number: int, *arguments: Any) -> int:
    """Call the kernel, and return the result."""
    return checked(int(libc().syscall(ctypes.c_long(number), *arguments)), f"system call {number}")


def set_read_only(path: str, read_only: bool) -> None:
    """Make the mounts at `path` and below read-only, or only the mount at `path` writable again."""
    wanted = MountAttributes(set=READ_ONLY) if read_only else MountAttributes(clear=READ_ONLY)
    flags = ctypes.c_uint(WHOLE_TREE if read_only else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    system_call(MOUNT_SETATTR, HERE, os.fsencode(path), flags, ctypes.byref(wanted), size)


def clone_tree(path: str) -> int:
    """Return a file descriptor of a copy of the mounts at `path` and below."""
    flags = ctypes.c_uint(CLONE_TREE | WHOLE_TREE | CLOSE_ON_EXEC)
    return system_call(OPEN_TREE, HERE, os.fsencode(path), flags)


def attach_tree(tree: int, path: str) -> None:
    """Mount the copy that `clone_tree` returned at `path`, and close its file descriptor."""
    system_call(MOVE_MOUNT, tree, b"", HERE, os.fsencode(path), ctypes.c_uint(EMPTY_PATH))
    os.close(tree)


def prctl(option: int, value: int) -> None:
    """Set an option of this process."""
    checked(libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def drop_privileges() -> None:
    """Give up all capabilities for ever, for this process and for the programs that it starts."""
    prctl(NO_NEW_PRIVILEGES, 1)
    for capability in range(LAST_CAPABILITY + 1):
        if libc().prctl(DROP_FROM_BOUNDS, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # the kernel has no capability with this number
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    checked(libc().capset(header, (ctypes.c_uint32 * 6)()), "capset")
