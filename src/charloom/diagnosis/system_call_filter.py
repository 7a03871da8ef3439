"""Forbids a process to start other processes, or to look into others, by a filter of the Linux kernel (seccomp).

Threads stay possible. The filter also holds for all that the process does later, and cannot be removed. A
system call that it forbids fails with EPERM, a PermissionError in Python.
"""

import ctypes
import errno
import platform
import struct
from typing import Final, NamedTuple

from charloom.diagnosis import linux_calls as linux


class Machine(NamedTuple):
    """The numbers of the system calls of a kind of processor.

    Attributes:
        code: the number of the processor in linux/audit.h.
        clone: the call that starts a thread or a process.
        forbidden: the calls that start processes, read or change other processes, or enter
            namespaces.
    """

    code: int
    clone: int
    forbidden: tuple[int, ...]


# fork, vfork, ptrace, process_vm_readv, process_vm_writev, unshare, setns; aarch64 has no fork and vfork.
MACHINES: Final = {
    "x86_64": Machine(0xC000003E, 56, (57, 58, 101, 310, 311, 272, 308)),
    "aarch64": Machine(0xC00000B7, 220, (117, 270, 271, 97, 268)),
}
CLONE_3: Final = (
    435  # the newer call that starts a thread or a process; its flags cannot be filtered
)
OTHER_NUMBERS: Final = 0x40000000  # from here on, numbers of the x32 interface of x86-64
A_THREAD: Final = 0x00010000  # CLONE_THREAD

# Instructions of the filter, from linux/bpf_common.h, and the places of what it reads.
LOAD, IF_EQUAL, IF_AT_LEAST, IF_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, FAIL = 0x7FFF0000, 0x00050000
SET_FILTER, FILTER_MODE = 22, 2  # of `prctl`


class Program(ctypes.Structure):
    """The structure `sock_fprog` of linux/filter.h: a filter and its number of instructions."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def forbid_processes() -> None:
    """Forbid this process to start other processes, to look into others, and to enter namespaces.

    Raises:
        OSError: the kernel has no filters, or this module does not know the processor.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}")
    data = instructions(machine)
    linux.prctl(linux.NO_NEW_PRIVILEGES, 1)
    program = Program(len(data) // 8, data)
    linux.checked(
        linux.libc().prctl(SET_FILTER, ctypes.c_ulong(FILTER_MODE), ctypes.byref(program), 0, 0),
        f"prctl {SET_FILTER}",
    )


def instructions(machine: Machine) -> bytes:
    """Return the filter as the kernel reads it, eight bytes for each instruction."""
    refuse = [(RETURN, 0, 0, FAIL | errno.EPERM)]
    program = [
        (LOAD, 0, 0, MACHINE),
        (IF_EQUAL, 1, 0, machine.code),
        *refuse,
        (LOAD, 0, 0, NUMBER),
        (IF_AT_LEAST, 0, 1, OTHER_NUMBERS),
        *refuse,
        # The C library then uses `clone`, whose flags are in a register.
        (IF_EQUAL, 0, 1, CLONE_3),
        (RETURN, 0, 0, FAIL | errno.ENOSYS),
    ]
    for number in machine.forbidden:
        program += [(IF_EQUAL, 0, 1, number), *refuse]
    program += [
        (IF_EQUAL, 1, 0, machine.clone),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_SET, 0, 1, A_THREAD),
        (RETURN, 0, 0, ALLOW),
        *refuse,
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in program)
