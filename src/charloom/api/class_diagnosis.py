"""Judges the submissions of a class, each in its own sandbox, on all cores.

Each worker process (`class_worker.py`) judges one submission after another. A thread of this process
talks to each of them.
"""

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from os import environ
from pathlib import Path
from typing import Any, Final

from charloom.api.text_arguments import as_path
from charloom.api.verdict_file import VerdictFile, key_of
from charloom.config import require_whole
from charloom.cpu_limits import ONE_THREAD, processors
from charloom.diagnosis.class_result import ERROR, DiagnosedClass, Judged, in_order
from charloom.diagnosis.sandbox_settings import MEGABYTE, SandboxSettings
from charloom.diagnosis.submissions import (
    Submission,
    find_submissions,
    with_included,
    without_function,
)
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument

CLASS_SECONDS: Final = 20.0  # default limit of the processor time of a submission
CLASS_MEMORY: Final = 2_000  # default limit of memory in MB
ENDED_UNEXPECTEDLY: Final = (
    "the process that judges the submissions ended unexpectedly; is the memory full?"
)
LOOK_SECONDS: Final = 0.2  # how often Ctrl-C is noticed
# Python's option -P: the process imports no modules from the current directory.
COMMAND: Final = (sys.executable, "-P", "-m", "charloom.api.class_worker")

# A function that is called after each submission with the numbers of judged and of all submissions, and the
# new verdict.
ClassProgress = Callable[[int, int, Judged], None]


def doctor_class(
    submissions: str | Path | Sequence[str | Path],
    function: str | None = None,
    *,
    include: Sequence[str | Path] = (),
    one_submission: bool = False,
    jobs: int | None = None,
    memory: int = CLASS_MEMORY,
    pages: bool = False,
    resume: str | Path | None = None,
    progress: ClassProgress | None = None,
    **options: Any,
) -> DiagnosedClass:
    """Check the function of every submission of a class, and name the mistakes.

    Every submission runs in a sandbox of its own, with limits for its time, memory, files and processes
    (SECURITY.md says what the sandbox is and is not). A submission that has no such function, or that
    crashes or does not end, gets the verdict "error" and does not end the work.

    Args:
        submissions: a folder with a file or folder for each submission, a pattern such as
            "handins/*.py", the zip of a course system, or a list of files and folders. The names that
            Moodle, Canvas, Gradescope, Brightspace and Blackboard give to files become the students'
            names. ":FUNCTION" may follow.
        function: the name of the function in every submission. Of several files, the one that defines
            it is checked.
        include: files that are copied beside each submission, such as a data set or a module that the
            teacher handed out.
        one_submission: whether the folder or zip is one submission.
        jobs: number of submissions that are judged at the same time; None for the number of cores.
        memory: largest memory of a submission in MB.
        pages: whether to make an HTML page of each diagnosis (`Judged.page`).
        resume: a file that keeps each verdict as soon as it is known. If it has verdicts already, only
            submissions that are new or have changed are judged.
        progress: called after each submission.
        options: the other arguments of `charloom.doctor`, such as cell, and time_limit, which is 20 seconds
            here. With strict=True, only the verdict "right" passes, not "right for its own network".

    Returns:
        The verdicts, sorted by the names of the submissions.

    Raises:
        ConfigError: there is no submission, or an argument has a value that is not valid.
        KeyboardInterrupt: Ctrl-C was pressed; all processes have ended.
    """
    judging = begin_class(
        submissions,
        function,
        include=include,
        one_submission=one_submission,
        jobs=jobs,
        memory=memory,
        pages=pages,
        resume=resume,
        **options,
    )
    return judging.finish(progress)


def begin_class(
    submissions: str | Path | Sequence[str | Path],
    function: str | None = None,
    *,
    include: Sequence[str | Path] = (),
    one_submission: bool = False,
    jobs: int | None = None,
    memory: int = CLASS_MEMORY,
    pages: bool = False,
    resume: str | Path | None = None,
    **options: Any,
) -> "Judging":
    """Return the work of `doctor_class`, which has the same arguments, without starting it."""
    given = [submissions] if isinstance(submissions, (str, Path)) else list(submissions)
    given, function = function_in(given, function)
    request = ClassRequest(
        tuple(str(as_path(path)) for path in given),
        function,
        tuple(included_file(path) for path in include),
        one_submission,
        require_whole("jobs", jobs, least=1) if jobs is not None else processors(),
        require_whole("memory", memory, least=100),
        pages,
        None if resume is None else as_path(resume),
        {"time_limit": CLASS_SECONDS, **options},
    )
    return Judging(request)


def function_in(
    given: Sequence[str | Path], function: str | None
) -> tuple[list[str | Path], str | None]:
    """Return the paths without a function, and the function that they or `function` name.

    Raises:
        ConfigError: the paths name different functions.
    """
    pairs = [without_function(str(path)) for path in given]
    named = {name for _, name in pairs if name is not None} | ({function} if function else set())
    if len(named) > 1:
        raise ConfigError(
            f"the submissions are given with several functions: {', '.join(sorted(named))}; give one, with "
            f"{argument('function')}."
        )
    function = named.pop() if named else None
    if function is not None and not function.isidentifier():
        raise ConfigError(
            f"{argument('function')} is {shortened(function)}; it must be the name of a function, such as "
            "loss_and_gradients."
        )
    return [path for path, _ in pairs], function


def included_file(path: str | Path) -> str:
    """Return the absolute path of a file that each submission gets; raise ConfigError if there is none."""
    found = as_path(path)
    if not found.is_file():
        raise ConfigError(
            f"{argument('include')} is {shortened(found)}, which is not a file; check the path."
        )
    return str(found.resolve())


@dataclass(frozen=True)
class ClassRequest:
    """The checked arguments of `doctor_class`."""

    given: tuple[str, ...]
    function: str | None
    include: tuple[str, ...]
    one_submission: bool
    jobs: int
    memory: int
    pages: bool
    resume: Path | None
    options: dict[str, Any]


class Judging:
    """The work of judging a class, which can be interrupted.

    Args:
        request: what to judge.

    Attributes:
        judged: the verdicts so far, in the order in which they came.
    """

    def __init__(self, request: ClassRequest) -> None:
        self.request = request
        self.judged: list[Judged] = []
        self._names: list[str] = []
        self._started = time.perf_counter()

    def finish(self, progress: ClassProgress | None = None) -> DiagnosedClass:
        """Judge all submissions, and return the verdicts."""
        with closing(self.verdicts()) as verdicts:
            for one in verdicts:
                if progress is not None:
                    progress(len(self.judged), self.total, one)
        return self.so_far()

    @property
    def total(self) -> int:
        """The number of submissions; 0 before they are found."""
        return len(self._names)

    def so_far(self) -> DiagnosedClass:
        """Return the verdicts of all submissions that have been judged."""
        done = {one.name for one in self.judged}
        return DiagnosedClass(
            in_order(self.judged),
            tuple(name for name in self._names if name not in done),
            time.perf_counter() - self._started,
        )

    def verdicts(self) -> Generator[Judged, None, None]:
        """Yield each verdict as soon as it is known. If the generator is closed, all processes end.

        Raises:
            ConfigError: there is no submission, or an option of the request is wrong.
        """
        kept = VerdictFile(self.request.resume)
        with tempfile.TemporaryDirectory(
            prefix="charloom-class-", ignore_cleanup_errors=True
        ) as name:
            folder = Path(name).resolve()
            (folder / "zips").mkdir()
            given = list(self.request.given)
            found = find_submissions(given, folder / "zips", self.request.one_submission)
            found = [with_included(one, self.request.include) for one in found]
            self._names = [one.name for one in found]
            todo: queue.Queue[dict[str, Any]] = queue.Queue()
            keys: dict[str, str] = {}  # of those that are to be judged
            for submission in found:
                job = job_of(submission, self.request, folder)
                key = key_of(job) if self.request.resume is not None else ""
                if (known := kept.known(key)) is not None:
                    self.judged.append(judged_of(known))
                    yield self.judged[-1]
                else:
                    keys[submission.name] = key
                    todo.put(job)
            workers = [Worker(todo, folder) for _ in range(min(self.request.jobs, len(keys)))]
            try:
                for one in self._collect(workers):
                    if one.error != ENDED_UNEXPECTEDLY:  # that says nothing about the submission
                        kept.add(keys[one.name], asdict(one))
                    yield one
            finally:
                for worker in workers:
                    worker.end()

    def _collect(self, workers: "Sequence[Worker]") -> Generator[Judged, None, None]:
        """Yield the verdicts of the workers until every submission has one."""
        while len(self.judged) < self.total:
            for worker in workers:
                for answer in worker.answers():
                    if "refused" in answer:
                        raise ConfigError(answer["refused"])
                    self.judged.append(judged_of(answer["judged"]))
                    yield self.judged[-1]
            time.sleep(LOOK_SECONDS / 10)


def judged_of(fields: dict[str, Any]) -> Judged:
    """Return the verdict that a worker sent as JSON data."""
    return Judged(
        **{**fields, "mistakes": tuple(fields["mistakes"]), "notes": tuple(fields["notes"])}
    )


def job_of(submission: Submission, request: ClassRequest, folder: Path) -> dict[str, Any]:
    """Return the job of a worker for a submission; `folder` is the temporary folder of the class."""
    settings = SandboxSettings(
        from_copies=True,
        hidden=tuple(sorted(hidden_folders(request, folder))),
        memory=request.memory * MEGABYTE,
        processes=0,
    )
    return {
        "name": submission.name,
        "files": [list(file) for file in submission.files],
        "problem": submission.problem,
        "function": request.function,
        "sandbox": asdict(settings),
        "options": request.options,
        "pages": request.pages,
    }


def hidden_folders(request: ClassRequest, folder: Path) -> set[str]:
    """Return the folders that no submission may see: the class, the user's home, temporary files."""
    paths = {folder, folder.parent, Path.cwd()}
    with suppress(RuntimeError, OSError):
        paths.add(Path.home().resolve())
    for text in request.given:
        path = Path(text).absolute()
        while not path.is_dir():
            path = path.parent
        paths.add(path.resolve())
    paths |= {Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm") if Path(name).is_dir()}
    return {str(path) for path in paths}


class Worker:
    """A process that judges submissions, and the thread that sends it jobs.

    Args:
        todo: the jobs of all workers.
        folder: where the process makes its temporary files.
    """

    def __init__(self, todo: "queue.Queue[dict[str, Any]]", folder: Path) -> None:
        self._todo, self._folder = todo, folder
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def answers(self) -> list[dict[str, Any]]:
        """Return the answers that came since the last call."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._answers.get_nowait())
        return found

    def end(self) -> None:
        """End the process and the thread, also in the middle of a submission."""
        with self._lock:
            self._ended.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def _work(self) -> None:
        """Send job after job to the process. Start it again if it ended."""
        with suppress(queue.Empty):
            while not self._ended.is_set():
                job = self._todo.get_nowait()
                answer = self._answer(job)
                if answer is None and not self._ended.is_set():
                    answer = {"judged": asdict(ended_unexpectedly(job))}
                if answer is not None:
                    self._answers.put(answer)
        self._stop()

    def _answer(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer of the process to a job; None if the process ended before."""
        process = self._running()
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError, ValueError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            if line := process.stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                return answer
        self._stop()
        return None

    def _running(self) -> "subprocess.Popen[str] | None":
        """Return the process, which is started if it does not run; None if the work has ended."""
        with self._lock:
            if self._process is None and not self._ended.is_set():
                pipe = subprocess.PIPE
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=pipe,
                    stdout=pipe,
                    stderr=subprocess.DEVNULL,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C in a terminal goes only to this process
                    env={**environ, **ONE_THREAD, "TMPDIR": str(self._folder)},
                )
            return self._process

    def _stop(self) -> None:
        """End the process if it runs."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()


def ended_unexpectedly(job: dict[str, Any]) -> Judged:
    """Return the verdict for a submission at which the worker itself ended, for example without memory."""
    return Judged(job["name"], "", job["function"], ERROR, passed=False, error=ENDED_UNEXPECTEDLY)
