"""Stores which training processes the server started, so that it finds them again after a restart.

A job is a training process that the server started. It has two files in a folder beside the runs: one says which process
trains which run, the other has the output of the process. This module does not read run directories.
"""

import os
import re
import signal
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
from charloom.formatting import capitalized, shortened
from charloom.live_processes import is_alive, process_start_time
from charloom.messages import FACE, PAGE, READING, SEARCHING
from charloom.store import Status
from charloom.store.atomic_files import replace_file, writing
from charloom.store.json_format import parse_object
from charloom.web.schemas import KEY

FOLDER: Final = ".jobs"  # a folder beside the runs; hidden folders are not searched for runs
# How long a job stays in the list if its process failed before it created the run directory.
KEPT_SECONDS: Final = 24 * 3_600.0
# If the system does not report when processes start, a job counts as ended this long after its start: by then, the
# system may have given the job's process id to a different process.
LOST_SECONDS: Final = 3_600.0
NAME: Final = re.compile(KEY)
# If a server reserves a name for a run but does not start a process within this time, the name is free again.
CLAIM_SECONDS: Final = 60.0
# Number of bytes at the end of a process's output that are searched for the last line.
LOG_END: Final = 4_096


@dataclass(frozen=True)
class Job:
    """A training process that this server started.

    Attributes:
        run: the key of the run that the process trains. The key of a new run is also its name.
        pid: the process id.
        time: when the process was started, in Unix time.
        text: the name of the run's text; None if not known.
        recipe: the recipe of the run; None if the process resumes a run.
        log: the file with the output of the process.
        birth: the start time that the system reports for the process, to distinguish the process from a later
            process with the same id; None if the system reports no start time.
        seen: whether the run directory exists or has existed.
        code: the exit code of the process; None if not known.
        request: the request that started a new run, as JSON; None if not known, or if the process resumes a run.
        cancelled: whether a user stopped the process while it was starting.
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
    request: dict[str, Any] | None = None
    cancelled: bool = False

    @property
    def alive(self) -> bool:
        """Return True if the process of the job is still running."""
        if not is_alive(self.pid):
            return False
        if self.birth is None:
            return time.time() - self.time < LOST_SECONDS
        return process_start_time(self.pid) == self.birth

    def state(
        self, state: Any, reason: str | None, status: Status | None
    ) -> tuple[Any, str | None]:
        """Return the run's state to show, and the reason for it as a sentence; None if no reason is known.

        If the process has written status.json, return the arguments `state` and `reason`. Before that, the
        files of the run say nothing about the process. So return "starting" while the process runs, and
        "failed" if it has failed. The reason for "failed" is the last line of the process's output. The reason
        for "starting" is this line if it says that the process searches for a learning rate. Return "stopped" if a
        user stopped the process before the run began. In all other cases, also return the arguments `state` and `reason`.

        Args:
            state: the state according to the files of the run.
            reason: the reason for `state` according to the files of the run; None if they give no reason.
            status: the content of the run's status.json; None if there is no such file.
        """
        if status is not None and (status.pid == self.pid or status.heartbeat > self.time + 1):
            return state, reason
        if self.alive:
            return "starting", self.progress_before_training()
        if self.code == 0:  # the process succeeded, so the last line of its output is not an error
            return state, reason
        if self.cancelled and self.recipe is None:
            return state, reason
        if self.cancelled and state in ("starting", "interrupted"):
            return "stopped", "Stopped before training began."
        if state in ("starting", "interrupted") or self.recipe is None:
            return (
                "failed",
                self.last_output_line() or reason or "its process ended without giving a reason",
            )
        return state, reason

    def progress_before_training(self) -> str | None:
        """Return how far the process has read its text or searched for a learning rate; None if not known."""
        line = self.last_output_line()
        if line is None or not line.startswith((READING, SEARCHING)):
            return None
        return capitalized(line.removesuffix(" …"))

    def last_output_line(self) -> str | None:
        """Return the last line of the process's output; None if the output is empty or cannot be read."""
        with suppress(OSError):
            data = self.log.read_bytes()[-LOG_END:]
            lines = data.decode("utf-8", "replace").strip().splitlines()
            if lines:
                return lines[-1].removeprefix("charloom: ")[:1_000]
        return None


class Jobs:
    """The training processes that this server has started, including those from before a restart of the server.

    Args:
        folder: the folder of the runs.

    Attributes:
        turn: a lock. Hold this lock while you check whether a process can be started and start the process. Do
            not wait for this lock while you hold another lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.turn = threading.Lock()
        self._lock = threading.RLock()  # protects `_children`, `_read` and the files of the jobs
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._read: dict[str, tuple[tuple[int, int], Job]] = {}

    def start(
        self,
        run: str,
        command: list[str],
        text: str | None,
        recipe: str | None = None,
        request: dict[str, Any] | None = None,
    ) -> Job:
        """Start a process of charloom that continues when the server ends, and return its job.

        Args:
            run: the key of the run; for a new run also its name.
            command: the arguments of `charloom`, beginning with train or resume.
            text: the name of the run's text.
            recipe: the recipe of a new run; None if the command resumes a run.
            request: the request that starts a new run, as JSON.

        Raises:
            RunExistsError: another job has the name of the new run.
            WriteError: a file could not be written.
        """
        path, log = self.folder / f"{run}.json", self.folder / f"{run}.log"
        with self._lock:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            if recipe is not None:
                self._claim(path)
            try:
                with writing(self.folder), log.open("wb") as output:
                    child = spawn([sys.executable, "-m", "charloom", *command], output)
                job = Job(
                    run,
                    child.pid,
                    time.time(),
                    text,
                    recipe,
                    log,
                    process_start_time(child.pid),
                    not recipe,
                    request=request,
                )
                try:
                    self._write(path, job)
                except WriteError:
                    child.kill()  # without the job's file, no server could find the process again
                    child.wait()
                    raise
            except BaseException:
                if recipe is not None:
                    path.unlink(missing_ok=True)
                raise
            self._children[child.pid] = child
        return job

    def cancel(self, job: Job) -> None:
        """Ask the process of a job to end, and store that a user wanted this.

        A process that has not begun its run makes no run; one that trains already saves its run.

        Raises:
            WriteError: the job's file could not be written.
        """
        with self._lock:
            self._write(self.folder / f"{job.run}.json", replace(job, cancelled=True))
        # Windows raises a plain OSError if there is no such process.
        with suppress(OSError if os.name == "nt" else ProcessLookupError):
            os.kill(job.pid, signal.SIGTERM)

    def all(self) -> dict[str, Job]:
        """Return all jobs, the training processes that this server started, by the key of their run."""
        found = {}
        with self._lock:
            codes = self._new_exit_codes()
            for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
                if not NAME.fullmatch(path.stem):
                    continue
                job = self._read_job(path)
                if job is None:
                    forget_claim(path)
                    continue
                if job.pid in codes and job.code is None:
                    job = self._try_to_write(path, replace(job, code=codes[job.pid]))
                found[job.run] = job
        return found

    def remove_old_jobs(self, runs: Collection[str]) -> dict[str, Job]:
        """Delete old jobs, and return all other jobs by the key of their run.

        A job is old if its process has ended and its run does not exist. But a job whose process failed before it
        created the run directory is kept for `KEPT_SECONDS` (a day) after its start.

        Args:
            runs: the keys of the runs that exist.
        """
        with self._lock:
            jobs = self.all()
            for run, job in list(jobs.items()):
                if run in runs:
                    if not job.seen:
                        jobs[run] = self._try_to_write(
                            self.folder / f"{run}.json", replace(job, seen=True)
                        )
                elif not job.alive and (
                    job.seen or job.code == 0 or time.time() - job.time > KEPT_SECONDS
                ):
                    self.forget(jobs.pop(run))
        return jobs

    def forget(self, job: Job) -> None:
        """Delete the two files of a job: the description of its process, and the log."""
        with self._lock, suppress(OSError):
            (self.folder / f"{job.run}.json").unlink()
            job.log.unlink()

    def _claim(self, path: Path) -> None:
        """Create the empty file `path` of a new job. This reserves the name of the run.

        Raise RunExistsError if this server or another server has reserved the name already.
        """
        with writing(self.folder):
            try:
                path.open("xb").close()
            except FileExistsError:
                raise RunExistsError(
                    f"a run {shortened(path.stem)} was started already; give another name."
                ) from None

    def _new_exit_codes(self) -> dict[int, int]:
        """Return the exit codes of the processes that have ended since the last call, by their process ids.

        Reading the exit code of an ended process also lets the system remove the process.
        """
        codes = {}
        for pid, child in list(self._children.items()):
            if (code := child.poll()) is not None:
                codes[pid] = code
                del self._children[pid]
        return codes

    def _try_to_write(self, path: Path, job: Job) -> Job:
        """Write `job` to the file `path`, and return `job`. If the file cannot be written, ignore the error."""
        with suppress(WriteError):
            self._write(path, job)
        return job

    def _write(self, path: Path, job: Job) -> None:
        """Write `job` to the file `path`."""
        fields = {**asdict(job), "log": job.log.name}
        replace_file(path, canonical_json(fields), durable=False)

    def _read_job(self, path: Path) -> Job | None:
        """Return the job in the file `path`; None if the file cannot be read or is not valid."""
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if path.name in self._read and self._read[path.name][0] == stamp:
                return self._read[path.name][1]
            values = parse_object(path.read_bytes(), str(path))
            names = (values["text"], values["recipe"])
            if not all(name is None or isinstance(name, str) for name in names):
                return None
            request = values.get("request")
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
                request=request if isinstance(request, dict) else None,
                cancelled=values.get("cancelled") is True,
            )
        except (OSError, CharloomError, KeyError, TypeError, ValueError, OverflowError):
            return None
        self._read[path.name] = (stamp, job)
        return job


def spawn(command: list[str], output: BinaryIO) -> "subprocess.Popen[bytes]":
    """Start the process `command` in a new session, so that it continues when the server ends.

    The process writes its messages to the file `output`. Where messages in a terminal name an option or a
    command, these messages name a field or a button of the page.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, FACE: PAGE},
        start_new_session=True,
        # Windows has no sessions. There, Ctrl-C in the server's terminal does not reach the process with this flag.
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        close_fds=True,
    )


def forget_claim(path: Path) -> None:
    """Delete the job file `path` if the file is still empty a minute after it was created.

    A server creates the empty file to reserve the name of a new run. If the server then ends before it starts
    a process, the file stays empty. Deleting the file makes the name free again.
    """
    with suppress(OSError):
        stat = path.stat()
        if not stat.st_size and time.time() - stat.st_mtime > CLAIM_SECONDS:
            path.unlink()
