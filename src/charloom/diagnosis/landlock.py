"""Restricts the files, connections and signals of a process by Landlock, a part of the Linux kernel.

It needs no privileges and works in most containers, where namespaces are not allowed. It cannot be undone,
and holds for all that the process starts.
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.diagnosis import linux_calls as linux

CREATE_RULES, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # numbers of system calls, on every processor
GET_VERSION: Final = 1
BENEATH: Final = 1  # LANDLOCK_RULE_PATH_BENEATH

# Rights, from linux/landlock.h.
EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1, 2, 4, 8
READ: Final = EXECUTE | READ_FILE | READ_FOLDER
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE
FIRST_RIGHTS: Final = (1 << 13) - 1  # the rights of the first version
MOVE, TRUNCATE = 1 << 13, 1 << 14  # from version 2 and 3 on
TCP: Final = 3  # from version 4 on: to listen, and to connect
SIGNALS_AND_SOCKETS: Final = 3  # from version 6 on: only to processes with the same restrictions
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def restrict(folder: str, hidden: Sequence[str], needed: Iterable[str]) -> None:
    """Let this process write only below `folder`, and read nothing below `hidden` but `folder` and `needed`.

    Also forbid TCP connections, and signals to other processes, if the kernel can.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = linux.system_call(CREATE_RULES, None, ctypes.c_size_t(0), ctypes.c_uint(GET_VERSION))
    all_rights = FIRST_RIGHTS | (MOVE if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    fields = [all_rights]
    if version >= 4:
        fields.append(TCP)
    if version >= 6:
        fields.append(SIGNALS_AND_SOCKETS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = linux.system_call(
        CREATE_RULES, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    )
    try:
        allow(rules, folder, all_rights)
        for path in DEVICES:
            allow(rules, path, READ_FILE | WRITE_FILE)
        for path in (*needed, *visible("/", {os.path.realpath(path) for path in hidden})):
            allow(rules, path, READ)
        linux.prctl(linux.NO_NEW_PRIVILEGES, 1)
        linux.system_call(RESTRICT_SELF, rules, ctypes.c_uint(0))
    finally:
        os.close(rules)


def visible(path: str, hidden: set[str]) -> Iterator[str]:
    """Yield the largest files and folders below `path` that contain none of the folders in `hidden`."""
    if path in hidden:
        return
    if not any(is_below(folder, path) for folder in hidden):
        yield path
        return
    with suppress(OSError):
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if not entry.is_symlink():
                yield from visible(entry.path, hidden)
            elif not related(target := os.path.realpath(entry.path), hidden):
                yield target


def is_below(path: str, folder: str) -> bool:
    """Return True if `path` is inside `folder`."""
    return path.startswith(folder.rstrip("/") + "/")


def related(path: str, hidden: set[str]) -> bool:
    """Return True if `path` is one of the folders in `hidden`, or is inside one, or contains one."""
    return any(path == one or is_below(path, one) or is_below(one, path) for one in hidden)


def allow(rules: int, path: str, rights: int) -> None:
    """Add a rule: `rights` for the file or folder `path` and all below it. Ignore a path that does not exist."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            rights &= FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        linux.system_call(ADD_RULE, rules, ctypes.c_uint(BENEATH), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)
