"""Checks runs on a disk that cannot be read: each call that opens, reads, checks or lists a file fails in turn.

The call fails once, or all calls fail from there on. Meanwhile an interrupted run is resumed, sampled,
reported and trained further. The result must be right, or the error must be one sentence that names a file
in the run and does not call it damaged. Reading must not change anything on the disk, and a later attempt
must succeed.
"""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charloom.engines import open_engine
from charloom.errors import CharloomError, DamagedError, NotAModelError
from charloom.report import write_report
from charloom.store import load_model, read_run
from charloom.store.run_directory import checkpoint_path, updates_in
from charloom.training import train_run
from reliability import LONG, SHORT, Figures
from reliability.calls import CHANGING
from reliability.drawn_plots import keep_plots
from reliability.replaced_functions import ReplacedFunctions, Replacement
from reliability.run_comparison import lasting, require_same
from reliability.run_training import reopen, train

SETTINGS: dict[str, Any] = {"updates": 12, "report_every": 3, "judge_every": 6, "threads": 1}
STEP = {SHORT: 11, LONG: 1}  # make every 11th call fail, or every call
NAMED = 50  # characters of a path that a message shows at least
HALTED_AFTER = 6  # calls of `halt`
OURS = ("report.html", "loss.svg", "loss.png", "lock")  # files that reading a run may write


class Reads(ReplacedFunctions):
    """Reports every call that reads a file below a folder, inside a `with` block.

    Args:
        below: the folder; only calls for it and for paths below it are reported.
        before: gets the kind (open, read, stat or list) and the path of each call, and may raise an error.
    """

    def __init__(self, below: Path, before: Callable[[str, Path], object]) -> None:
        super().__init__(below)
        self._before = before

    def replacements(self) -> list[Replacement]:
        return [
            *super().replacements(),
            (os, "open", self.open),
            (os, "read", self.read),
            (os, "stat", self.on_path("stat", "stat")),
            (os, "lstat", self.on_path("stat", "lstat")),
            (os, "listdir", self.on_path("list", "listdir")),
            (os, "scandir", self.on_path("list", "scandir")),
            (io, "open", self.open_file),
            (builtins, "open", self.open_file),
        ]

    def report(self, kind: str, path: Any) -> None:
        """Report a call if its path is below the folder."""
        if isinstance(path, str | bytes | os.PathLike):
            absolute = self.path_of(path)
            if absolute.is_relative_to(self._below):
                self._before(kind, absolute)

    def on_path(self, kind: str, name: str) -> Callable[..., Any]:
        """Return a function that reports a call of a function of `os`, and then makes it."""

        def function(path: Any = ".", *rest: Any, **more: Any) -> Any:
            if more.get("dir_fd") is None:
                self.report(kind, path)
            return self._real[name](path, *rest, **more)

        return function

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & CHANGING and dir_fd is None:
            self.report("open", path)
        descriptor = int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        self._paths[descriptor] = self.path_of(path, dir_fd)
        return descriptor

    def read(self, descriptor: int, length: int) -> bytes:
        if descriptor in self._paths:
            self.report("read", self._paths[descriptor])
        return bytes(self._real["read"](descriptor, length))

    def open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any
    ) -> Any:
        """Open a file; for binary files report each read, for text files only the opening."""
        path = self._paths.get(file) if isinstance(file, int) else file
        if set(mode) & set("wxa+") or path is None:
            return self._real_open(file, mode, buffering, *rest, **more)
        if not isinstance(file, int):
            self.report("open", path)
        if "b" not in mode:
            return self._real_open(file, mode, buffering, *rest, **more)
        raw = Read(self, self.path_of(path), file, more.get("closefd", True))
        return raw if buffering == 0 else io.BufferedReader(raw)


class Read(io.FileIO):
    """A file whose reads are reported."""

    def __init__(self, reads: Reads, path: Path, file: Any, closefd: bool) -> None:
        super().__init__(file, "r", closefd=closefd)
        self._reads = reads
        self._path = path

    def readinto(self, buffer: Any) -> int:
        self._reads.report("read", self._path)
        return int(super().readinto(buffer) or 0)

    def readall(self) -> bytes:
        self._reads.report("read", self._path)
        return super().readall()

    def read(self, size: int | None = -1) -> bytes:
        self._reads.report("read", self._path)
        return super().read(-1 if size is None else size) or b""


class Failing:
    """Makes the `at`-th call fail; with `forever`, all later calls too.

    Attributes:
        calls: the number of calls.
    """

    def __init__(self, at: int, forever: bool) -> None:
        self.calls = 0
        self._at = at
        self._forever = forever

    def __call__(self, kind: str, path: Path) -> None:
        self.calls += 1
        if self.calls == self._at or (self._forever and self.calls > self._at):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


# Actions on a run while a read fails. Each can be repeated, and changes nothing if it fails.


def resume(run: Path) -> None:
    """Open the run to resume it, and close it."""
    reopen(run)[0].close()


def resume_with_allow_older(run: Path) -> None:
    """Open the run with `allow_older`, and close it; as nothing is damaged, it must not warn."""
    writer = reopen(run, allow_older=True)[0]
    writer.close()
    assert not writer.warnings, f"something was given up: {writer.warnings}"


def sample(run: Path) -> None:
    """Load the model of the run, as sampling and evaluating do."""
    load_model(run, "best")
    load_model(run, "latest")
    load_model(checkpoint_path(run, updates_in(run / "checkpoints")[0]))


def report(run: Path) -> None:
    """Read the whole run, and write its report."""
    messages: list[str] = []
    read_run(run)
    write_report(run, on_message=messages.append)
    assert not messages, f"the report tells of {messages}"


ACTIONS = (resume, resume_with_allow_older, sample, report)


def failing_reads(scale: str, place: Path) -> Figures:
    """Make each read fail in turn, in every action on a run and during training; return the figures."""
    with pytest.MonkeyPatch.context() as patch:
        keep_plots(patch)  # Drawing reads no file of the run, so it need not be repeated.
        return refused_reads(scale, place)


def refused_reads(scale: str, place: Path) -> Figures:
    """Make each read fail in turn, and return the number of failures per action."""
    train(place / "whole", SETTINGS)
    truth = lasting(place / "whole")
    halted = place / "halted"
    train(halted, SETTINGS, halt=halt_after(HALTED_AFTER))
    figures: Figures = {}
    for action in ACTIONS:
        tried = 0
        for at in failing_numbers(scale, count_reads(halted, place / "run", action)):
            for forever in (False, True):
                require_right_action(halted, place / "run", action, at, forever)
                tried += 1
        figures[f"reads_refused_in_{action.__name__}"] = tried
    trained = 0
    for at in failing_numbers(scale, count_reads(halted, place / "run", finish_training)):
        for forever in (False, True):
            require_right_training(halted, place / "run", at, forever, truth)
            trained += 1
    figures["reads_refused_in_training"] = trained
    return figures


def halt_after(looks: int) -> Callable[[], str | None]:
    """Return a `halt` function that returns a reason after some calls."""
    looks_done: Iterator[int] = iter(range(10**9))
    return lambda: "SIGINT" if next(looks_done) >= looks else None


def count_reads(source: Path, run: Path, action: Callable[[Path], object]) -> int:
    """Return the number of reads of an action on a copy of a run."""
    shutil.copytree(source, run)
    counting = Failing(1 << 60, False)
    with Reads(run, counting):
        action(run)
    shutil.rmtree(run)
    return counting.calls


def failing_numbers(scale: str, calls: int) -> range:
    """Return the numbers of the calls that fail in turn."""
    return range(1, calls + 1, STEP[scale])


def require_right_action(
    source: Path, run: Path, action: Callable[[Path], object], at: int, forever: bool
) -> None:
    """Run an action on a copy of a run while a read fails, and again when the disk works."""
    shutil.copytree(source, run)
    what = f"EIO at read {at}{' and all after it' * forever} in {action.__name__}"
    before = contents(run)
    with Reads(run, Failing(at, forever)):
        try:
            action(run)
        except CharloomError as error:
            require_clear_error(error, run, what)
            failed = True
        else:
            failed = False
    if failed:
        assert contents(run) == before, f"{what}: it changed {changed(before, contents(run))}"
    action(run)
    assert not list((run / "checkpoints").glob("damaged-*")), f"{what}: a checkpoint was set aside"
    shutil.rmtree(run)


def finish_training(run: Path) -> None:
    """Train a run to its end."""
    writer, learner, corpus = reopen(run)
    with writer:
        for _ in train_run(writer, learner, corpus, open_engine("auto")):
            pass


def require_right_training(
    source: Path, run: Path, at: int, forever: bool, truth: dict[str, Any]
) -> None:
    """Train a copy of a run further while a read fails, and again when the disk works."""
    shutil.copytree(source, run)
    what = f"EIO at read {at}{' and all after it' * forever} in training"
    with Reads(run, Failing(at, forever)):
        try:
            finish_training(run)
        except CharloomError as error:
            require_clear_error(error, run, what)
    train(run, SETTINGS)
    require_same(run, truth, what)
    shutil.rmtree(run)


def contents(run: Path) -> dict[str, bytes]:
    """Return all bytes of a run, except the files that reading it may write."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(run)): path.read_bytes() for path in files if path.name not in OURS
    }


def changed(before: dict[str, bytes], now: dict[str, bytes]) -> list[str]:
    """Return the names of the files that differ."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def require_clear_error(error: CharloomError, run: Path, what: str) -> None:
    """Require an error that names the unreadable file, and calls it neither damaged nor missing."""
    message = str(error)
    assert not isinstance(error, DamagedError | NotAModelError), f"{what}: {message!r}"
    assert "damaged" not in message, f"{what}: {message!r}"
    # "cannot be read"; or "cannot be written", if a check before the write failed
    assert "cannot be" in message, f"{what}: {message!r}"
    assert os.strerror(errno.EIO) in message, f"{what}: {message!r} does not say why"
    assert str(run)[:NAMED] in message, f"{what}: {message!r} names no file"
    assert message.endswith("."), f"{what}: {message!r}"
