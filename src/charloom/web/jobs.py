"""Training processes that the server started: recorded on the disk, and found again after a
restart.

A job is a small file beside the runs that says which process trains which run, and a log of what
that process said. It knows nothing of what is in a run directory.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from charloom.errors import CharloomError, RunExistsError, WriteError
from charloom.spelling import shortened
from charloom.store.canonical import canonical_json, parse_object
from charloom.store.files import replace_file, writing
from charloom.web.contract import KEY

FOLDER: Final = ".jobs"  # beside the runs; hidden, so that it is no run
KEPT_SECONDS: Final = 24 * 3_600.0  # a job that made no run is told of for so long
LOST_SECONDS: Final = 3_600.0  # to make a run, where nothing tells whether it is still our process
NAME: Final = re.compile(KEY)
CLAIM_SECONDS: Final = 60.0  # after which a name that was claimed and never used is free again
TOLD: Final = 4_096  # bytes of the log's end in which the reason stands


@dataclass(frozen=True)
class Job:
    """A training that was started from here.

    Attributes:
        run: the key, and the name, of its run.
        pid: the process.
        time: when it was started, Unix time.
        text: the name of what it reads.
        recipe: what it was asked for; None where a run goes on.
        log: what the process said.
        birth: when the system says that the process began, so that no other one of the same number
            is taken for it; None where it does not say.
        seen: whether its run was there.
        code: what the process exited with; None where that is not known.
    """

    run: str
    pid: int
    time: float
    text: str | None
    recipe: str | None
    log: Path
    birth: int | None = None
    seen: bool = False
    code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether its process is still there."""
        if not is_alive(self.pid):
            return False
        if self.birth is None:
            return time.time() - self.time < LOST_SECONDS
        return birth_of(self.pid) == self.birth

    def state(
        self, state: Any, reason: str | None, status: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """The state of the run, given what its directory says: a process that has just been started
        has said nothing there yet, and one that failed at once never does."""
        if status.get("pid") == self.pid or status.get("heartbeat", 0.0) > self.time + 1:
            return state, reason
        if self.alive:
            return "starting", None
        if self.code == 0:  # what it said last is no reason
            return state, reason
        if state in ("starting", "interrupted") or self.recipe is None:
            return "failed", self.last_words() or reason or "its process ended without saying why"
        return state, reason

    def last_words(self) -> str | None:
        """The last thing that the process said."""
        with suppress(OSError):
            data = self.log.read_bytes()[-TOLD:]
            lines = data.decode("utf-8", "replace").strip().splitlines()
            if lines:
                return lines[-1].removeprefix("charloom: ")[:1_000]
        return None


class Jobs:
    """The trainings that were started from here, in this process's life or before.

    Args:
        folder: of the runs.

    Attributes:
        turn: held by who looks whether a training can be started, until it is; never waited for by
            who holds anything else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.turn = threading.Lock()
        self._lock = threading.RLock()  # of the files and of what follows
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._read: dict[str, tuple[tuple[int, int], Job]] = {}

    def start(
        self, run: str, command: list[str], text: str | None, recipe: str | None = None
    ) -> Job:
        """Start `charloom COMMAND …` in a session of its own: what ends us does not end it.

        Raises:
            RunExistsError: a new run is wanted, one with a recipe, and its name was taken.
            WriteError: the disk refused.
        """
        path, log = self.folder / f"{run}.json", self.folder / f"{run}.log"
        with self._lock:
            if recipe is not None:
                self._claim(path)
            try:
                with writing(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    with log.open("wb") as said:
                        child = spawn([sys.executable, "-m", "charloom", *command], said)
                job = Job(
                    run, child.pid, time.time(), text, recipe, log, birth_of(child.pid), not recipe
                )
                try:
                    self._write(path, job)
                except WriteError:
                    child.kill()  # nobody would find it again
                    child.wait()
                    raise
            except BaseException:
                if recipe is not None:
                    path.unlink(missing_ok=True)
                raise
            self._children[child.pid] = child
        return job

    def all(self) -> dict[str, Job]:
        """Every job by the key of its run."""
        found = {}
        with self._lock:
            codes = self._ended()
            for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
                if not NAME.fullmatch(path.stem):
                    continue
                job = self._one(path)
                if job is None:
                    forget_claim(path)
                    continue
                if job.pid in codes and job.code is None:
                    job = self._note(path, replace(job, code=codes[job.pid]))
                found[job.run] = job
        return found

    def tidy(self, runs: Collection[str]) -> dict[str, Job]:
        """Every job by the key of its run, given the keys of the runs that there are: those that are
        over and whose run is gone, or that came to nothing long ago, are forgotten."""
        with self._lock:
            jobs = self.all()
            for run, job in list(jobs.items()):
                if run in runs:
                    if not job.seen:
                        jobs[run] = self._note(self.folder / f"{run}.json", replace(job, seen=True))
                elif not job.alive and (
                    job.seen or job.code == 0 or time.time() - job.time > KEPT_SECONDS
                ):
                    self.forget(jobs.pop(run))
        return jobs

    def forget(self, job: Job) -> None:
        """Speak of a job no more."""
        with self._lock, suppress(OSError):
            (self.folder / f"{job.run}.json").unlink()
            job.log.unlink()

    def _claim(self, path: Path) -> None:
        """Make the file of a new job: of all who want a name, of other servers too, one gets it."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                path.open("xb").close()
            except FileExistsError:
                raise RunExistsError(
                    f"there is a training {shortened(path.stem)} already; give another name."
                ) from None

    def _ended(self) -> dict[int, int]:
        """What those of our processes exited with that have ended since we asked last; asking lets
        the system forget them as well."""
        codes = {}
        for pid, child in list(self._children.items()):
            if (code := child.poll()) is not None:
                codes[pid] = code
                del self._children[pid]
        return codes

    def _note(self, path: Path, job: Job) -> Job:
        """Keep what is known of a job now, where the disk allows it."""
        with suppress(WriteError):
            self._write(path, job)
        return job

    def _write(self, path: Path, job: Job) -> None:
        """Replace the file of a job."""
        told = {**asdict(job), "log": job.log.name}
        replace_file(path, canonical_json(told), durable=False)

    def _one(self, path: Path) -> Job | None:
        """A job from its file; None where that makes no sense."""
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if path.name in self._read and self._read[path.name][0] == stamp:
                return self._read[path.name][1]
            values = parse_object(path.read_bytes(), str(path))
            told = (values["text"], values["recipe"])
            if not all(value is None or isinstance(value, str) for value in told):
                return None
            job = Job(
                run=path.name.removesuffix(".json"),
                pid=int(values["pid"]),
                time=float(values["time"]),
                text=values["text"],
                recipe=values["recipe"],
                log=path.with_suffix(".log"),
                birth=values.get("birth"),
                seen=bool(values.get("seen", values["recipe"] is None)),
                code=values.get("code"),
            )
        except (OSError, CharloomError, KeyError, TypeError, ValueError, OverflowError):
            return None
        self._read[path.name] = (stamp, job)
        return job


def spawn(command: list[str], said: BinaryIO) -> "subprocess.Popen[bytes]":
    """A process in a session of its own that tells what it has to say to a file."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
        close_fds=True,
    )


def forget_claim(path: Path) -> None:
    """Free a name that was claimed by who never came to use it."""
    with suppress(OSError):
        stat = path.stat()
        if not stat.st_size and time.time() - stat.st_mtime > CLAIM_SECONDS:
            path.unlink()


def birth_of(pid: int) -> int | None:
    """When a process began, in ticks since the system did; None where nothing tells."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None


def is_alive(pid: Any) -> bool:
    """Whether there is a process of this number."""
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    if os.name == "nt":
        return True  # there the call below would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    with suppress(OSError):
        # One that has ended and that its parent never asked about is still in the list.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True
