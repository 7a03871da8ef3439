"""Records the connections, processes and files that each Python process of a watched command uses.

Python imports this module at its start if the folder is on PYTHONPATH, also in child processes. Each record
is a line of JSON in the file that CHARLOOM_NOTES names. It is written immediately, so that a killed process
leaves its records too. This module does not know what is allowed.
"""

# ruff: noqa: PTH115, PTH118 (it is asked for each open file: strings are quicker than paths)

import json
import os
import sys

NOTES = os.open(os.environ["CHARLOOM_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TALK = (
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostby", "socket.getnameinfo",
)  # fmt: skip
STARTS = (
    "subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.system", "pty.spawn",
)  # fmt: skip
# Of an event that changes names or files: where its paths are among its arguments, and their folders.
PATHS = {
    "os.mkdir": ((0, 2),), "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.truncate": ((0, None),),
    "os.rename": ((0, 2), (1, 3)), "os.link": ((1, 3),), "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),), "os.chown": ((0, 3),), "os.utime": ((0, 3),), "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
}  # fmt: skip
seen = set()


def note(kind, what):
    """Record a use, unless it was recorded before."""
    line = json.dumps([kind, what]).encode() + b"\n"
    if line not in seen:
        seen.add(line)
        os.write(NOTES, line)


def where(path, folder=None):
    """Return the absolute path of a file name or a descriptor, without following a link at its end."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    base = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else ""
    head, name = os.path.split(os.path.join(base, os.fsdecode(os.fspath(path))).rstrip("/"))
    return os.path.join(os.path.realpath(head), name)


def hook(event, arguments):
    """Record an audit event of Python."""
    if event == "open":
        path, _mode, flags = arguments
        if isinstance(flags, int) and flags & CHANGES and not isinstance(path, int):
            note("writes", os.path.realpath(os.fsdecode(os.fspath(path))))
    elif event in PATHS:
        for path, folder in PATHS[event]:
            told = where(arguments[path], None if folder is None else arguments[folder])
            note("writes", told + "/" * (event in ("os.mkdir", "os.rmdir")))
    elif event.startswith(TALK):
        note(
            "talks",
            f"{event}{arguments[1:] if arguments and not isinstance(arguments[0], (str, bytes)) else arguments!r}",
        )
    elif event.startswith(STARTS):
        words = arguments[1] if event == "subprocess.Popen" else arguments
        watched = event == "subprocess.Popen" and is_watched(arguments[0], words, arguments[3])
        words = [words] if isinstance(words, (str, bytes)) else words
        note("starts" if watched else "starts unwatched", [event, *map(str, words)])


def is_watched(program, words, environment):
    """Return True if a process that is being started will import this module too."""
    if program != sys.executable or isinstance(words, (str, bytes)):
        return False
    options = []
    for word in words[1:]:
        if not word.startswith("-") or word in ("-c", "-m"):
            break
        options.append(word)
    kept = os.environ if environment is None else environment
    return not any(set(option) & set("IES") for option in options) and all(
        kept.get(name) == os.environ.get(name) for name in ("PYTHONPATH", "CHARLOOM_NOTES")
    )


note("begins", os.getpid())
fault = os.environ.pop("CHARLOOM_PLANTED_FAULT", None)
sys.addaudithook(hook)
if fault:
    exec(fault)
