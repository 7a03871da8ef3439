"""Trainings as processes of their own: started, remembered on the disk, found again after a restart.

A job is a small file beside the runs that says which process trains which run, and a log of what
that process said. It knows nothing of what is in a run directory.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from charloom.errors import CharloomError
from charloom.store.canonical import canonical_json, parse_object
from charloom.store.files import replace_file, writing

FOLDER: Final = ".jobs"  # beside the runs; hidden, so that it is no run
KEPT_SECONDS: Final = 24 * 3_600.0  # a job that made no run is told of for so long
LOST_SECONDS: Final = 3_600.0  # to make a run; its process may be another one by then
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
    """

    run: str
    pid: int
    time: float
    text: str | None
    recipe: str | None
    log: Path

    @property
    def alive(self) -> bool:
        """Whether its process is still there."""
        return is_alive(self.pid)

    def state(
        self, state: Any, reason: str | None, status: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """The state of the run, given what its directory says: a process that has just been started
        has said nothing there yet, and one that failed at once never does."""
        if status.get("pid") == self.pid or float(status.get("heartbeat") or 0) > self.time + 1:
            return state, reason
        if self.alive and time.time() - self.time < LOST_SECONDS:
            return "starting", None
        if state in ("starting", "interrupted") or self.recipe is None:
            return "failed", self.last_words() or reason or "its process ended without a word"
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
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._read: dict[str, tuple[int, Job]] = {}

    def start(
        self, run: str, command: list[str], text: str | None, recipe: str | None = None
    ) -> Job:
        """Start `charloom COMMAND …` in a session of its own: what ends us does not end it.

        Raises:
            WriteError: the disk refused.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            log = self.folder / f"{run}.log"
            with log.open("wb") as said:
                child = subprocess.Popen(
                    [sys.executable, "-m", "charloom", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                    close_fds=True,
                )
        self._children[child.pid] = child
        job = Job(run, child.pid, time.time(), text, recipe, log)
        told = {**asdict(job), "log": log.name}
        replace_file(self.folder / f"{run}.json", canonical_json(told), durable=False)
        return job

    def all(self) -> dict[str, Job]:
        """Every job by the key of its run; those that made no run and are old are forgotten."""
        for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
            del self._children[pid]  # polling let the system forget it as well
        found = {}
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            job = self._one(path)
            if job is None:
                continue
            made = (self.folder.parent / job.run).exists()
            if not made and not job.alive and time.time() - job.time > KEPT_SECONDS:
                with suppress(OSError):
                    path.unlink()
                    job.log.unlink()
                continue
            found[job.run] = job
        return found

    def _one(self, path: Path) -> Job | None:
        """A job from its file; None where that makes no sense."""
        try:
            stamp = path.stat().st_mtime_ns
            if path.name in self._read and self._read[path.name][0] == stamp:
                return self._read[path.name][1]
            values = parse_object(path.read_bytes(), str(path))
            job = Job(
                run=path.name.removesuffix(".json"),
                pid=int(values["pid"]),
                time=float(values["time"]),
                text=values["text"],
                recipe=values["recipe"],
                log=path.with_suffix(".log"),
            )
        except (OSError, CharloomError, KeyError, TypeError, ValueError):
            return None
        self._read[path.name] = (stamp, job)
        return job


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
