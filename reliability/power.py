"""Checks every state in which a power cut during a run can leave a disk.

Every call that a run makes is recorded, from its making over saves, an interruption and a
resumption to its end. Then the calls are played, one by one, into a model of a disk that keeps for
certain only what was brought to it: the bytes of a file by an fsync of the file, a name in a
directory by an fsync of the directory. After each call the power is cut, in several ways:

    dropped    whatever was not brought to the disk is gone
    names      all names are there, and the bytes that were not brought to the disk are not: the
               file that is empty after a power cut
    chance     of every directory a random part of the waiting changes, from the oldest on, and of
               every file a random part of the waiting bytes

What is then on the disk is laid out as a folder, and the run must go on in it: from the checkpoint
whose save had returned, or from the one that was being saved. Where no save had returned yet, a run
is there or can be made there.
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
TRAINED_ON = {SHORT: 25, LONG: 10}  # of so many states one is trained on to its end


# What a disk holds


@dataclass
class File:
    """Bytes that are there for certain, and changes that wait."""

    kept: bytes = b""
    waiting: list[Call] = field(default_factory=list)

    def after(self, count: int, part: float = 0.0) -> bytes:
        """The bytes after so many of the waiting changes, and a part of the next one."""
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
    """A file's bytes after a change."""
    if call.kind == "write":
        padded = data.ljust(call.offset, b"\0")
        return padded[: call.offset] + call.data + padded[call.offset + len(call.data) :]
    assert call.length is not None
    return data[: call.length].ljust(call.length, b"\0")


@dataclass
class Directory:
    """Names that are there for certain, the names that programs see, and changes that wait."""

    kept: dict[str, "Node"] = field(default_factory=dict)
    now: dict[str, "Node"] = field(default_factory=dict)
    # A change is several names at once: what each stands for from then on, or None.
    waiting: list[dict[str, "Node | None"]] = field(default_factory=list)

    def change(self, names: "dict[str, Node | None]") -> None:
        """What programs see at once, and the disk some time."""
        self.waiting.append(names)
        apply(self.now, names)

    def after(self, count: int) -> dict[str, "Node"]:
        """The names after so many of the waiting changes."""
        names = dict(self.kept)
        for change in self.waiting[:count]:
            apply(names, change)
        return names


Node = File | Directory


def apply(names: dict[str, Node], change: dict[str, Node | None]) -> None:
    """Do a change to a directory's names."""
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """A folder on a disk, as the calls leave it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.top = Directory()

    def find(self, path: Path) -> Node:
        """What programs find at a path."""
        node: Node = self.top
        for name in path.relative_to(self._root).parts:
            assert isinstance(node, Directory)
            node = node.now[name]
        return node

    def parent(self, path: Path) -> Directory:
        """The directory in which a name is."""
        found = self.find(path.parent)
        assert isinstance(found, Directory)
        return found

    def play(self, call: Call) -> None:
        """One call, done to the disk."""
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


# How the power may go

Lost = dict[str, "Lost | bytes"]  # what is left, by name


def everything(node: Directory) -> Lost:
    """All that programs see."""
    return {name: everything(n) if isinstance(n, Directory) else n.after(len(n.waiting))
            for name, n in sorted(node.now.items())}  # fmt: skip


def dropped(node: Directory) -> Lost:
    """Only what was brought to the disk."""
    return {name: dropped(n) if isinstance(n, Directory) else n.kept
            for name, n in sorted(node.kept.items())}  # fmt: skip


def names_only(node: Directory) -> Lost:
    """All names, and of the bytes only what was brought to the disk."""
    return {name: names_only(n) if isinstance(n, Directory) else n.kept
            for name, n in sorted(node.now.items())}  # fmt: skip


def by_chance(node: Directory, chance: random.Random) -> Lost:
    """A part of what waits, in each directory and file another one."""
    names = node.after(chance.randint(0, len(node.waiting)))
    left: Lost = {}
    for name, n in sorted(names.items()):
        if isinstance(n, Directory):
            left[name] = by_chance(n, chance)
        else:
            left[name] = n.after(chance.randint(0, len(n.waiting)), chance.random())
    return left


def lay_out(left: Lost, path: Path) -> None:
    """Make it a folder."""
    path.mkdir()
    for name, inner in left.items():
        if isinstance(inner, bytes):
            (path / name).write_bytes(inner)
        else:
            lay_out(inner, path / name)


def lie_at(path: Path) -> Lost:
    """What a folder holds."""
    return {
        inner.name: lie_at(inner) if inner.is_dir() else inner.read_bytes()
        for inner in sorted(path.iterdir())
    }


# What was recorded


@dataclass(frozen=True)
class Mark:
    """A save of an update began, or has returned."""

    update: int
    done: bool


def record(root: Path, run: Path, scale: str) -> list[Call | Mark]:
    """All calls of a run's life, and where its saves began and returned."""
    log: list[Call | Mark] = []
    save = RunWriter.save

    def marked(writer: RunWriter, learner: Any) -> Path:
        log.append(Mark(learner.update, done=False))
        path = save(writer, learner)
        log.append(Mark(learner.update, done=True))
        return path

    asked = iter(range(1_000_000))
    RunWriter.save = marked  # type: ignore[method-assign]
    try:
        with Calls(root, after=log.append):
            halt = lambda: "SIGINT" if next(asked) >= HALTS[scale] else None  # noqa: E731
            train(run, SETTINGS[scale], halt=halt)
            train(run, SETTINGS[scale])
    finally:
        RunWriter.save = save  # type: ignore[method-assign]
    return log


def states(
    log: list[Call | Mark], root: Path, ways: list[Callable[[Directory], Lost]]
) -> Iterator[tuple[int, int | None, int | None, Lost]]:
    """After each call, each different folder that a power cut may leave, with the number of the
    call, the update whose save had returned, and the one that was being saved or had been."""
    disk, saved, saving, seen = Disk(root), None, None, set()
    for number, entry in enumerate(log):
        if isinstance(entry, Mark):
            saving = entry.update
            saved = entry.update if entry.done else saved
        else:
            disk.play(entry)
        for way in ways:
            left = way(disk.top)
            known = hash((repr(left), saved, saving))
            if known not in seen:
                seen.add(known)
                yield number, saved, saving, left
    assert everything(disk.top) == lie_at(root), (
        "a write was not seen: what the calls make is not what lies on the disk"
    )


def check(scale: str, seed: int = 0) -> Figures:
    """Every call of a run of some saves; in the long version with random cuts."""
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
    """Open the run that a power cut left: the update that it goes on from; None where no save had
    returned, and it was made anew."""
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
