"""Keeps files about the training processes that the server started, and finds them again after a restart.

A job is a small file beside the runs, which says which process trains which run, and a log with the output of that
process. Run directories are not read here.
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

from charloom.canonical_form import canonical_json
from charloom.errors import CharloomError, RunExistsError, WriteError
from charloom.formatting import shortened
from charloom.messages import FACE, PAGE
from charloom.store import Status
from charloom.store.atomic_files import replace_file, writing
from charloom.store.json_format import parse_object
from charloom.web.schemas import KEY

FOLDER: Final = ".jobs"  # a folder beside the runs; hidden folders are not searched for runs
KEPT_SECONDS: Final = 24 * 3_600.0  # how long a job without a run directory stays in the list
LOST_SECONDS: Final = (
    3_600.0  # after this time, a process id without a start time may belong to another process
)
NAME: Final = re.compile(KEY)
CLAIM_SECONDS: Final = 60.0  # a name that was claimed but not used is free again after this time
LOG_END: Final = 4_096  # bytes at the end of the log that are searched for the reason


@dataclass(frozen=True)
class Job:
    """A training process that this server started.

    Attributes:
        run: the key of its run, which is also its name.
        pid: the process id.
        time: when it was started, in Unix time.
        text: the name of its text.
        recipe: its recipe; None if it resumes a run.
        log: the file with the output of the process.
        birth: the start time of the process by the system, which tells it from a later process with
            the same id; None if the system does not report it.
        seen: whether its run directory has existed.
        code: the exit code of the process; None if not known.
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
        """Return True if its process is still running."""
        if not is_alive(self.pid):
            return False
        if self.birth is None:
            return time.time() - self.time < LOST_SECONDS
        return process_start_time(self.pid) == self.birth

    def state(
        self, state: Any, reason: str | None, status: Status | None
    ) -> tuple[Any, str | None]:
        """Return the state of the run and its reason.

        Args:
            state: the state in the run directory. A new process has not written it yet, and a process
                that fails immediately never does.
            reason: the reason in the run directory.
            status: the run's last status; None if there is none.
        """
        if status is not None and (status.pid == self.pid or status.heartbeat > self.time + 1):
            return state, reason
        if self.alive:
            return "starting", None
        if self.code == 0:  # after success, the last line is not an error
            return state, reason
        if state in ("starting", "interrupted") or self.recipe is None:
            return (
                "failed",
                self.last_output_line() or reason or "its process ended without giving a reason",
            )
        return state, reason

    def last_output_line(self) -> str | None:
        """Return the last line of the process's output; None if there is none."""
        with suppress(OSError):
            data = self.log.read_bytes()[-LOG_END:]
            lines = data.decode("utf-8", "replace").strip().splitlines()
            if lines:
                return lines[-1].removeprefix("charloom: ")[:1_000]
        return None


class Jobs:
    """The training processes that this server started, also before a restart.

    Args:
        folder: the folder of the runs.

    Attributes:
        turn: the lock for checking whether a process can be started, and starting it. Do not wait for
            it while holding another lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.turn = threading.Lock()
        self._lock = threading.RLock()  # protects the files, _children and _read
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._read: dict[str, tuple[tuple[int, int], Job]] = {}

    def start(
        self, run: str, command: list[str], text: str | None, recipe: str | None = None
    ) -> Job:
        """Start `charloom COMMAND …` in a new session, so that it continues when the server ends.

        Args:
            run: the name of the run.
            command: the command and its arguments.
            text: the name of the run's text.
            recipe: the recipe of a new run; None resumes a run.

        Raises:
            RunExistsError: the name of a new run is taken.
            WriteError: a file could not be written.
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
                    run,
                    child.pid,
                    time.time(),
                    text,
                    recipe,
                    log,
                    process_start_time(child.pid),
                    not recipe,
                )
                try:
                    self._write(path, job)
                except WriteError:
                    child.kill()  # without the file, nobody could find the process again
                    child.wait()
                    raise
            except BaseException:
                if recipe is not None:
                    path.unlink(missing_ok=True)
                raise
            self._children[child.pid] = child
        return job

    def all(self) -> dict[str, Job]:
        """Return all jobs by the key of their run."""
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

    def remove_old_jobs(self, runs: Collection[str]) -> dict[str, Job]:
        """Return all jobs by the key of their run, and delete old ones.

        Args:
            runs: the keys of the runs that exist. A job is deleted if its process has ended and its run
                was deleted, or if it failed long ago without a run directory.
        """
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
        """Delete the files of a job."""
        with self._lock, suppress(OSError):
            (self.folder / f"{job.run}.json").unlink()
            job.log.unlink()

    def _claim(self, path: Path) -> None:
        """Create the file of a new job. Only one process can claim a name, even across servers."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                path.open("xb").close()
            except FileExistsError:
                raise RunExistsError(
                    f"a run {shortened(path.stem)} was started already; give another name."
                ) from None

    def _ended(self) -> dict[int, int]:
        """Return the exit codes, by process id, of processes that have ended since the last call.

        This also lets the system release these processes.
        """
        codes = {}
        for pid, child in list(self._children.items()):
            if (code := child.poll()) is not None:
                codes[pid] = code
                del self._children[pid]
        return codes

    def _note(self, path: Path, job: Job) -> Job:
        """Write a changed job to its file, and ignore a write error."""
        with suppress(WriteError):
            self._write(path, job)
        return job

    def _write(self, path: Path, job: Job) -> None:
        """Replace the file of a job."""
        fields = {**asdict(job), "log": job.log.name}
        replace_file(path, canonical_json(fields), durable=False)

    def _one(self, path: Path) -> Job | None:
        """Return the job in a file; None if it is not valid."""
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if path.name in self._read and self._read[path.name][0] == stamp:
                return self._read[path.name][1]
            values = parse_object(path.read_bytes(), str(path))
            names = (values["text"], values["recipe"])
            if not all(name is None or isinstance(name, str) for name in names):
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
    """Start a process in a new session.

    Its output is written to the file `said`, with its messages spelled for the page.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        env={**os.environ, FACE: PAGE},
        start_new_session=True,
        close_fds=True,
    )


def forget_claim(path: Path) -> None:
    """Delete the file of a new job if its process was not started within a minute, to free the name."""
    with suppress(OSError):
        stat = path.stat()
        if not stat.st_size and time.time() - stat.st_mtime > CLAIM_SECONDS:
            path.unlink()


def process_start_time(pid: int) -> int | None:
    """Return the start time of a process in ticks since the system started; None if not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return None


def is_alive(pid: Any) -> bool:
    """Return True if there is a running process with this id."""
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    if os.name == "nt":
        return True  # on Windows, os.kill would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # the process exists, but belongs to another user
    with suppress(OSError):
        # A zombie has ended, but its parent has not collected its exit code.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True
