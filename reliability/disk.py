"""Refuses the Nth call that changes the disk, for every N, once or from then on.

A run is created and trained to its end while some of its calls fail, with each of several errors. If one
call fails, the run ends with the bytes of an undisturbed run, or one sentence says that it could not be
created, and creating it again succeeds. If all calls from the Nth on fail, training continues in memory, tries
again and says what is lost, and the last good state can be resumed when the disk works again. As in real
systems, a failed fsync also loses the data written since the last fsync: a later fsync does not write it. A
failed write may have written half of its data.

`reliability/reads.py` checks disks that cannot be read.

If the system allows mounting, a small file system in memory is filled, emptied, made read-only and made
writable again while a run trains on it.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from charloom.errors import CharloomError, WriteError
from charloom.run_file_names import EVENTS
from charloom.store import RunWriter, load_model
from charloom.training import Record, Warned, in_run_directory, run_saving
from reliability import LONG, SHORT, Figures
from reliability.calls import Call, Calls, Torn
from reliability.reads import failing_reads
from reliability.run_comparison import lasting, require_same
from reliability.run_training import folder, train

NUMBER = 5
PROMISE = (
    "If the disk refuses any call (full, read-only, input/output error, failed fsync), the "
    "last good state stays. Training continues in memory, tries again and reports it. If the "
    "disk refuses a read, the error names the file, does not call it damaged, and nothing is "
    "changed."
)

SETTINGS: dict[str, Any] = {"updates": 12, "report_every": 3, "judge_every": 6}
STEP = {SHORT: 21, LONG: 1}  # make every 21st call fail, or every call
# By error: after this many calls that succeed again, all calls fail, which interrupts a repeated save.
GAPS: dict[str, dict[int, tuple[int, ...]]] = {
    SHORT: {errno.EIO: (0, 9)},
    LONG: {errno.EIO: (0, 5, 9, 14), errno.ENOSPC: (0,), errno.EROFS: (0,)},
}
TEAR = {SHORT: 3, LONG: 1}  # tear every third write of journals, or every write
TMPFS_BYTES = 512 << 10
ON_TMPFS = {"hidden_size": 24, "updates": 40, "report_every": 4}


class Refusal:
    """Makes the `at`-th call that changes the disk fail, and all calls from number `forever_from` on.

    Attributes:
        calls: the number of calls.
        healed: if True, no further call fails.
        torn: if True, a write that fails still writes half of its data.
    """

    def __init__(self, at: int, code: int, forever_from: int = 1 << 60, torn: bool = False) -> None:
        self.calls = 0
        self.at = at
        self.healed = False
        self.torn = torn
        self._code = code
        self._forever_from = forever_from

    def __call__(self, call: Call) -> None:
        if self.healed:
            return
        self.calls += 1
        if self.calls == self.at or self.calls >= self._forever_from:
            kind = Torn if self.torn and call.kind == "write" else OSError
            raise kind(self._code, os.strerror(self._code), str(call.path))


def check(scale: str) -> Figures:
    """Make calls fail one after another; in the long version every call, with three errors."""
    refusals = {"once": 0, "forever": 0, "made_anew": 0}
    with folder(in_memory=True) as place, no_waiting():
        train(place / "whole", SETTINGS)
        truth = lasting(place / "whole")
        for code, gaps in GAPS[scale].items():
            for number in numbers(scale, place, code):
                run = place / "run"
                refusals["made_anew"] += refused_once(run, number, code, truth)
                shutil.rmtree(run)
                refusals["once"] += 1
                for gap in gaps:
                    refused_from(run, number, gap, code, truth)
                    shutil.rmtree(run)
                    refusals["forever"] += 1
        torn = writes(scale, place)
        for number in torn:
            refused_once(place / "run", number, errno.ENOSPC, truth, torn=True)
            shutil.rmtree(place / "run")
        lost = fsyncs_that_lose(place / "fsync", truth)
        reads = failing_reads(scale, place / "reads")
    return {
        "calls_refused_once": refusals["once"],
        "calls_refused_from_then_on": refusals["forever"],
        "runs_created_after_a_refusal": refusals["made_anew"],
        "errors": ", ".join(errno.errorcode[code] for code in GAPS[scale]),
        "writes_torn_in_two": len(torn),
        "fsyncs_that_lost_waiting_data": lost,
        **reads,
        **small_tmpfs(),
    }


@contextmanager
def no_waiting() -> Iterator[None]:
    """Let training repeat a failed save immediately and never pause, so that only its calls are checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
        patch.setattr(run_saving, "PATIENT_SECONDS", ())
        patch.setattr(in_run_directory, "FAILED_SAVES_LIMIT", 1 << 30)
        yield


def numbers(scale: str, place: Path, code: int) -> range:
    """Return the numbers of the calls that fail one after another."""
    counting = Refusal(1 << 60, code)
    with Calls(place / "counted", before=counting):
        train(place / "counted", SETTINGS)
    shutil.rmtree(place / "counted")
    # In the short version, the calls differ by error.
    return range(1 + code % STEP[scale], counting.calls + 1, STEP[scale])


def writes(scale: str, place: Path) -> list[int]:
    """Return the numbers of the write calls that are torn one after another."""
    calls: list[Call] = []
    with Calls(place / "counted", before=calls.append):
        train(place / "counted", SETTINGS)
    shutil.rmtree(place / "counted")
    found = [
        number
        for number, call in enumerate(calls, 1)
        if call.kind == "write" and (scale == LONG or call.path.suffix == ".jsonl")
    ]
    return found[:: TEAR[scale]]


def refused_once(
    run: Path, number: int, code: int, truth: dict[str, Any], torn: bool = False
) -> bool:
    """Make one call fail; return True if the run could not be created and a second attempt succeeded."""
    what = f"{errno.errorcode[code]} at call {number}{', half done' * torn}"
    refusal = Refusal(number, code, torn=torn)
    with Calls(run, before=refusal):
        try:
            train(run, SETTINGS)
        except WriteError as error:
            require_sentence(error, what)
            made = (run / "checkpoints" / "latest").exists()
            try:
                train(run, SETTINGS)  # as the user does when the disk works again
            except CharloomError as refusal_to_resume:
                raise AssertionError(f"{what}: {refusal_to_resume}") from refusal_to_resume
            require_same(run, truth, what)
            return not made
    require_same(run, truth, what)
    return False


def refused_from(run: Path, number: int, gap: int, code: int, truth: dict[str, Any]) -> None:
    """Make a call fail, and all calls after a gap; then resume the run on a disk that works."""
    what = f"{errno.errorcode[code]} at call {number}, and from call {number + gap} on"
    refusal = Refusal(number, code, number + gap)
    messages: list[str] = []
    reached: list[int] = []
    saved: list[int] = []
    save = RunWriter.save

    def noted(writer: RunWriter, learner: Any) -> Path:
        path = save(writer, learner)
        saved.append(learner.update)
        return path

    def on_item(item: Any) -> None:
        reached.append(item.update)
        if isinstance(item, Warned):
            messages.append(item.message)

    with Calls(run, before=refusal), pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWriter, "save", noted)
        try:
            train(run, SETTINGS, on_item=on_item)
        except WriteError as error:
            require_sentence(error, what)
            if saved:
                assert reached[-1] == SETTINGS["updates"], (
                    f"{what}: training did not go on in memory: it ended at {reached[-1]}"
                )
                assert messages, f"{what}: nobody was warned"
        else:
            # The failed calls only wrote the status or removed old files.
            require_same(run, truth, what)
        if saved:
            try:
                found = load_model(run, "latest").update
            except CharloomError as error:
                raise AssertionError(f"{what}: {error}") from error
            assert found >= saved[-1], f"{what}: {saved[-1]} was saved, and {found} is there"
        refusal.healed = True
        train(run, SETTINGS)
    require_same(run, truth, what)


def fsyncs_that_lose(run: Path, truth: dict[str, Any]) -> int:
    """Make each fsync of a journal fail, which loses the unwritten data; return the number of fsyncs."""
    number = 0
    while True:
        number += 1
        kept: dict[Path, bytes] = {}
        failing = LosingFsync(number, kept)
        with Calls(run, before=failing.before, after=failing.after):
            try:
                train(run, SETTINGS)
            except WriteError:
                train(run, SETTINGS)  # the run could not be created, and now can be
        what = f"EIO at fsync {number} of a journal"
        for path, data in kept.items():
            # `data` would remain after a power cut at the end.
            assert b"\0" not in data, f"{what}: lines of {path.name} never came to the disk"
            if path.name != EVENTS:
                assert data == path.read_bytes(), f"{what}: {path.name} ends early on the disk"
        require_same(run, truth, what)
        shutil.rmtree(run)
        if not failing.happened:
            return number - 1


class LosingFsync:
    """Makes one fsync of a journal fail, and loses the data that it should have written to the disk.

    Args:
        at: the number of the fsync that fails.
        kept: receives the bytes that are on the disk, by file.
    """

    def __init__(self, at: int, kept: dict[Path, bytes]) -> None:
        self._at = at
        self._kept = kept
        self._count = 0
        self._seen: dict[Path, bytearray] = {}
        self._lost: dict[Path, set[int]] = {}

    @property
    def happened(self) -> bool:
        """Return True if an fsync failed."""
        return self._count >= self._at

    def before(self, call: Call) -> None:
        """Raise OSError if `call` is the fsync that fails."""
        if call.kind == "fsync" and call.path.suffix == ".jsonl":
            self._count += 1
            if self._count == self._at:
                clean = len(self._kept.get(call.path, b""))
                now = len(self._seen.get(call.path, b""))
                self._lost.setdefault(call.path, set()).update(range(clean, now))
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(call.path))

    def after(self, call: Call) -> None:
        """Record the contents of the journals after `call`."""
        if call.path.suffix != ".jsonl":
            return
        seen, lost = (
            self._seen.setdefault(call.path, bytearray()),
            self._lost.setdefault(call.path, set()),
        )
        if call.kind == "write":
            seen[call.offset : call.offset + len(call.data)] = call.data
            lost -= set(
                range(call.offset, call.offset + len(call.data))
            )  # waits for the next fsync
        elif call.kind == "truncate":
            assert call.length is not None
            del seen[call.length :]
        elif call.kind == "fsync":
            self._kept[call.path] = bytes(
                0 if place in lost else byte for place, byte in enumerate(seen)
            )


def require_sentence(error: WriteError, what: str) -> None:
    """Raise AssertionError unless the error is a sentence that says what cannot be written."""
    message = str(error)
    assert "cannot be written" in message, f"{what}: {message!r}"
    assert message.endswith("."), f"{what}: {message!r}"


# A small file system


def small_tmpfs() -> Figures:
    """Train on a small file system that becomes full and read-only, and require the same bytes.

    If the system does not allow mounting, the figures say so.
    """
    with folder() as place:
        disk = place / "disk"
        disk.mkdir()
        problem = mount("-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", disk)
        if problem is not None:
            return {"small_tmpfs_filled_and_read_only": 0, "small_tmpfs_not_checked": problem}
        try:
            train(place / "whole", ON_TMPFS)
            truth = lasting(place / "whole")
            filled_up(disk, truth)
            read_only(disk, truth)
        finally:
            subprocess.run(["umount", disk], check=False, capture_output=True)
    return {"small_tmpfs_filled_and_read_only": 1}


def filled_up(disk: Path, truth: dict[str, Any]) -> None:
    """Fill the disk until training pauses; training must warn, continue when there is space, and lose nothing."""
    messages: list[str] = []

    def on_item(item: Any) -> None:
        if isinstance(item, Record) and item.update == 12:
            fill(disk / "ballast")
        if isinstance(item, Warned):
            messages.append(item.message)
            if "Training pauses" in item.message:
                (disk / "ballast").unlink()

    train(disk / "run", ON_TMPFS, on_item=on_item)
    assert any("No space left" in message for message in messages), (
        f"on a full disk it warned {messages}"
    )
    assert not (disk / "ballast").exists(), f"on a full disk it did not pause: {messages}"
    require_same(disk / "run", truth, "a disk that was full")
    shutil.rmtree(disk / "run")


def read_only(disk: Path, truth: dict[str, Any]) -> None:
    """Resume a run on a read-only disk, which must fail with a sentence, and on a writable one."""
    looks = iter(range(100))
    train(disk / "run", ON_TMPFS, halt=lambda: "SIGINT" if next(looks) > 5 else None)
    require_mount("ro", disk)
    try:
        train(disk / "run", ON_TMPFS)
        raise AssertionError("a run on a read-only disk went on")
    except WriteError as error:
        require_sentence(error, "a read-only disk")
    finally:
        require_mount("rw", disk)
    train(disk / "run", ON_TMPFS)
    require_same(disk / "run", truth, "a disk that was read-only")


def mount(*arguments: object) -> str | None:
    """Call `mount`; return None, or the reason why it failed."""
    if shutil.which("mount") is None:
        return "there is no mount here"
    words = ["mount", *map(str, arguments)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip() or "mount was refused")


def require_mount(how: str, disk: Path) -> None:
    """Make the file system read-only (`ro`) or writable (`rw`)."""
    problem = mount("-o", f"remount,{how}", disk)
    assert problem is None, problem


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
