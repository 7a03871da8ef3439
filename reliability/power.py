"""Checks every state in which a power cut during a run can leave a disk.

It records every call that a run makes: its creation, saves, an interruption, a resumption and its end.
Then it applies the calls one by one to a model of a disk. The model certainly keeps only flushed data: the
bytes of a file after an fsync of the file, and a name after an fsync of the directory. After each call the
power is cut in several ways:

    dropped    everything that was not flushed is lost
    names      all names exist, but the bytes that were not flushed are lost: a file may be empty
    chance     for each directory the first few waiting changes are on the disk, for each file the
               first few waiting bytes; their number is random

The contents of the disk are written into a folder, and the run must continue there: from the checkpoint
whose save had returned, or from the one that was being saved. If no save had returned yet, there is a run,
or a run can be created there.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charloom.errors import CharloomError
from charloom.store import RunWriter, load_model
from reliability import LONG, SHORT, Figures
from reliability.calls import Call, Calls
from reliability.run_comparison import lasting, require_same
from reliability.run_training import folder, opened, reopen, train

NUMBER = 2
PROMISE = (
    "After a power cut at any moment, the old or the new checkpoint is complete, with "
    "everything that belongs to it, and the run can be resumed from it."
)

SETTINGS: dict[str, dict[str, Any]] = {
    SHORT: {"updates": 6, "report_every": 3, "validation": 0.0, "judge_every": 0},
    LONG: {"updates": 30, "report_every": 3, "judge_every": 6},
}
CHANCES = {SHORT: 0, LONG: 6}
HALTS = {SHORT: 3, LONG: 6}  # calls of the engine before the run is interrupted and resumed
TRAINED_ON = {SHORT: 25, LONG: 10}  # one of this many states is trained to the end of the run


# The model of a disk


@dataclass
class File:
    """A file: the bytes that are certainly on the disk, and the changes that wait."""

    kept: bytes = b""
    waiting: list[Call] = field(default_factory=list)

    def after(self, count: int, part: float = 0.0) -> bytes:
        """Return the bytes after the first `count` waiting changes and a fraction `part` of the next write."""
        data = self.kept
        for call in self.waiting[:count]:
            data = changed(data, call)
        if count < len(self.waiting) and self.waiting[count].kind == "write":
            call = self.waiting[count]
            length = int(part * len(call.data))
            data = changed(
                data, Call("write", call.path, offset=call.offset, data=call.data[:length])
            )
        return data


def changed(data: bytes, call: Call) -> bytes:
    """Return the bytes of a file after a write or a truncation."""
    if call.kind == "write":
        padded = data.ljust(call.offset, b"\0")
        return padded[: call.offset] + call.data + padded[call.offset + len(call.data) :]
    assert call.length is not None
    return data[: call.length].ljust(call.length, b"\0")


@dataclass
class Directory:
    """A directory: the names certainly on the disk, those that programs see, and the changes that wait."""

    kept: dict[str, "Node"] = field(default_factory=dict)
    now: dict[str, "Node"] = field(default_factory=dict)
    # A change can affect several names: it gives the new node of each, or None for a removed name.
    waiting: list[dict[str, "Node | None"]] = field(default_factory=list)

    def change(self, names: "dict[str, Node | None]") -> None:
        """Make a change, which programs see immediately and the disk has at some later time."""
        self.waiting.append(names)
        apply(self.now, names)

    def after(self, count: int) -> dict[str, "Node"]:
        """Return the names after the first `count` waiting changes."""
        names = dict(self.kept)
        for change in self.waiting[:count]:
            apply(names, change)
        return names


Node = File | Directory


def apply(names: dict[str, Node], change: dict[str, Node | None]) -> None:
    """Apply a change to the names of a directory, in place."""
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """A model of a folder on a disk, to which calls are applied."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.top = Directory()

    def find(self, path: Path) -> Node:
        """Return the file or directory that programs see at a path."""
        node: Node = self.top
        for name in path.relative_to(self._root).parts:
            assert isinstance(node, Directory)
            node = node.now[name]
        return node

    def parent(self, path: Path) -> Directory:
        """Return the directory that contains a path."""
        found = self.find(path.parent)
        assert isinstance(found, Directory)
        return found

    def play(self, call: Call) -> None:
        """Apply one call to the disk."""
        name = call.path.name
        parent = self.top if call.path == self._root else self.parent(call.path)
        if call.kind == "open":
            if name not in parent.now:
                parent.change({name: File()})
            node = parent.now[name]
            if call.length is not None:
                assert isinstance(node, File)
                node.waiting.append(call)
        elif call.kind in ("write", "truncate"):
            node = parent.now[name]
            assert isinstance(node, File)
            node.waiting.append(call)
        elif call.kind == "fsync":
            node = self.find(call.path)
            if isinstance(node, File):
                node.kept = node.after(len(node.waiting))
            else:
                node.kept = dict(node.now)
            node.waiting.clear()
        elif call.kind == "mkdir":
            parent.change({name: Directory()})
        elif call.kind == "rename":
            assert call.target is not None
            node, target = parent.now[name], self.parent(call.target)
            if target is parent:
                parent.change({name: None, call.target.name: node})
            else:
                target.change({call.target.name: node})
                parent.change({name: None})
        else:
            parent.change({name: None})


# The ways to cut the power

Lost = dict[str, "Lost | bytes"]  # the remaining files and directories by name


def everything(node: Directory) -> Lost:
    """Return everything that programs see."""
    return {name: everything(n) if isinstance(n, Directory) else n.after(len(n.waiting))
            for name, n in sorted(node.now.items())}  # fmt: skip


def dropped(node: Directory) -> Lost:
    """Return only the names and the bytes that were flushed."""
    return {name: dropped(n) if isinstance(n, Directory) else n.kept
            for name, n in sorted(node.kept.items())}  # fmt: skip


def names_only(node: Directory) -> Lost:
    """Return all names, but only the bytes that were flushed."""
    return {name: names_only(n) if isinstance(n, Directory) else n.kept
            for name, n in sorted(node.now.items())}  # fmt: skip


def by_chance(node: Directory, chance: random.Random) -> Lost:
    """Return the flushed data with a random part of the waiting changes of each directory and file."""
    names = node.after(chance.randint(0, len(node.waiting)))
    left: Lost = {}
    for name, n in sorted(names.items()):
        if isinstance(n, Directory):
            left[name] = by_chance(n, chance)
        else:
            left[name] = n.after(chance.randint(0, len(n.waiting)), chance.random())
    return left


def lay_out(left: Lost, path: Path) -> None:
    """Write the remaining files and directories into a new folder."""
    path.mkdir()
    for name, inner in left.items():
        if isinstance(inner, bytes):
            (path / name).write_bytes(inner)
        else:
            lay_out(inner, path / name)


def lie_at(path: Path) -> Lost:
    """Return the files and directories in a folder."""
    return {
        inner.name: lie_at(inner) if inner.is_dir() else inner.read_bytes()
        for inner in sorted(path.iterdir())
    }


# The recorded calls


@dataclass(frozen=True)
class Mark:
    """The save of an update began, or (`done`) has returned."""

    update: int
    done: bool


def record(root: Path, run: Path, scale: str) -> list[Call | Mark]:
    """Train a run with an interruption; return all its calls, with marks where its saves began and returned."""
    log: list[Call | Mark] = []
    save = RunWriter.save

    def marked(writer: RunWriter, learner: Any) -> Path:
        log.append(Mark(learner.update, done=False))
        path = save(writer, learner)
        log.append(Mark(learner.update, done=True))
        return path

    looks = iter(range(1_000_000))
    RunWriter.save = marked  # type: ignore[method-assign]
    try:
        with Calls(root, after=log.append):
            halt = lambda: "SIGINT" if next(looks) >= HALTS[scale] else None  # noqa: E731
            train(run, SETTINGS[scale], halt=halt)
            train(run, SETTINGS[scale])
    finally:
        RunWriter.save = save  # type: ignore[method-assign]
    return log


def states(
    log: list[Call | Mark], root: Path, ways: list[Callable[[Directory], Lost]]
) -> Iterator[tuple[int, int | None, int | None, Lost]]:
    """Yield each different state that a power cut after any call may leave.

    Yields:
        The number of the call, the update of the last save that had returned, the update of the last
        save that had begun, and the remaining files.
    """
    disk, saved, saving, checked = Disk(root), None, None, set()
    for number, entry in enumerate(log):
        if isinstance(entry, Mark):
            saving = entry.update
            saved = entry.update if entry.done else saved
        else:
            disk.play(entry)
        for way in ways:
            left = way(disk.top)
            known = hash((repr(left), saved, saving))
            if known not in checked:
                checked.add(known)
                yield number, saved, saving, left
    assert everything(disk.top) == lie_at(root), (
        "a write was not recorded: the calls give other files than those on the disk"
    )


def check(scale: str, seed: int = 0) -> Figures:
    """Cut the power after every call of a run with several saves; also at random in the long version."""
    chance = random.Random(seed)
    ways: list[Callable[[Directory], Lost]] = [dropped, names_only]
    ways += [lambda node: by_chance(node, chance)] * CHANCES[scale]
    counts = {"calls": 0, "saves": 0, "states": 0, "without_a_run": 0, "trained_on": 0}
    with folder(in_memory=True) as place:
        root = place / "disk"
        root.mkdir()
        run = root / "runs" / "run"
        log = record(root, run, scale)
        truth = lasting(run)
        counts["calls"] = sum(isinstance(entry, Call) for entry in log)
        counts["saves"] = sum(isinstance(entry, Mark) and entry.done for entry in log)
        for number, saved, saving, left in states(log, root, ways):
            copy = place / "copy"
            lay_out(left, copy)
            what = f"power cut after call {number}, {log[number]}"
            counts["states"] += 1
            on = counts["states"] % TRAINED_ON[scale] == 0
            try:
                found = go_on(copy / "runs" / "run", SETTINGS[scale], saved, saving, what)
                if on:
                    train(copy / "runs" / "run", SETTINGS[scale])
            except CharloomError as error:
                raise AssertionError(f"{what}: {error}") from error
            counts["without_a_run"] += found is None
            if on:
                require_same(copy / "runs" / "run", truth, what)
                counts["trained_on"] += 1
            shutil.rmtree(copy)
    return {**counts, "seed": seed}


def go_on(
    run: Path, settings: dict[str, Any], saved: int | None, saving: int | None, what: str
) -> int | None:
    """Open the run that a power cut left, and return its update.

    Return None if no save had returned and the run had to be created again.
    """
    if saved is None and not (run / "checkpoints" / "latest").exists():
        opened(run, settings)[0].close()
        return None
    writer, learner, _ = reopen(run)
    with writer:
        assert learner.update in (saved, saving), (
            f"{what}: update {learner.update} is there; {saved} was saved"
        )
        assert not writer.warnings, f"{what}: {writer.warnings}"
    load_model(run, "best")
    return learner.update
