"""Runs the user's code in a separate process, and returns its results or raises an error.

The process has limits for its time, memory, files and processes (`guard.py`). What it prints is not
shown, but an error message quotes the last lines. The process returns its results as arrays and JSON,
never as pickles. This module does not know gradients.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from charloom.cpu_limits import ONE_THREAD
from charloom.diagnosis.notebook_code import NOTEBOOK, is_notebook
from charloom.diagnosis.notebook_copy import NotebookCopy
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.outcome_check import require_genuine_form
from charloom.diagnosis.outcome_files import read_outcome
from charloom.diagnosis.result_pipe import MOST, ResultReader
from charloom.diagnosis.runner import Job
from charloom.diagnosis.sandbox_settings import (
    SEPARATION,
    SandboxSettings,
    settings_for,
)
from charloom.diagnosis.work_folder import box_of
from charloom.errors import DoctorError, SeveralFunctionsError
from charloom.formatting import count, counted, shortened
from charloom.messages import argument

KEPT: Final = 2_000  # number of bytes at the end of the child process's output that are stored
LONGEST_MESSAGE: Final = 20_000  # characters of an error message of the child process
END_SECONDS: Final = 1.0  # time in which a child process can end the processes that it started
# The limit is one of processor time. Without any of it, this multiple of the limit in seconds must be enough,
# on a busy computer too. Windows has no limit of processor time.
BACKSTOP: Final = 6.0 if sys.platform != "win32" else 1.0
START_SECONDS: Final = 30.0  # in which Python starts, on a busy computer
START: Final = "the start of the process"  # what an error names if no step has started yet


class FunctionName(NamedTuple):
    """The path of a Python file, and the name of a function in this file."""

    file: Path
    function: str


def parse_function(given: str) -> FunctionName:
    """Return the file and the function that `given` names in the form FILE.py:FUNCTION.

    The file may be a Jupyter notebook, and the function a method, CLASS.METHOD. If `given` names only a
    file, the function is "".

    Raises:
        DoctorError: `given` has another form, or names no existing Python file.
    """
    file, colon, function = given.rpartition(":")
    if not colon or (
        file and (function.endswith((".py", NOTEBOOK)) or "/" in function or os.sep in function)
    ):
        file, function = given, ""
    names = function.split(".") if function else []
    if not file or len(names) > 2 or not all(name.isidentifier() for name in names):
        raise DoctorError(
            f"{shortened(Path(given)) if given else 'an empty name'} does not name a function; write "
            "FILE.py:FUNCTION, for example rnn.py:loss_and_gradients."
        )
    path = Path(file)
    try:
        there = path.is_file()
    except OSError:  # the path is longer than the system allows
        there = False
    if not there:
        raise DoctorError(f"the file {shortened(path)} does not exist; check the path.")
    if path.suffix.lower() != ".py" and not is_notebook(path):
        raise DoctorError(
            f"{shortened(path)} is not a Python file or a notebook; its name must end in .py or .ipynb."
        )
    return FunctionName(path.resolve(), function)


class ProcessResult(NamedTuple):
    """The results of all calls, and the number of bytes that the user's code printed."""

    outcome: Outcome
    printed: int


def run_in_process(
    function: FunctionName, numerical: str | None, job: Job, time_limit: float
) -> ProcessResult:
    """Run a job in a separate process, and return the results of all calls.

    `numerical` is the name of the user's numerical gradient in the same file; None if there is
    none.

    Raises:
        DoctorError: the user's code raised an exception, crashed, ended the process, exceeded a limit
            of its sandbox, or used more than `time_limit` seconds of processor time.
    """
    settings = settings_for(function.file)
    with tempfile.TemporaryDirectory(prefix="charloom-doctor-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve() / "sandbox"
        folder.mkdir()
        # A wrapper reads the notebook itself.
        converted = is_notebook(function.file) and not job.adapt
        notebook = NotebookCopy(function.file, folder.parent) if converted else None
        if notebook is not None:
            settings = notebook.settings(settings)
        place = place_of(function.file, settings, folder, converted)
        work = f"{box_of(folder).work}{os.sep}"

        def shown(text: str) -> str:
            """Return a message without the paths of the sandbox, which say nothing to the user."""
            text = text.replace(work, "")
            return text if notebook is None else notebook.in_notebook(text)

        try:
            line = job_line(place, function, numerical, job, settings, time_limit)
            ended = wait_for(start_process(folder), line, time_limit)
            SEPARATION.set(str(ended.messages[0].get("separation", "")) if ended.messages else "")
            result = result_of(ended, job, numerical is not None, time_limit)
        except DoctorError as error:
            error.args = (as_given(shown(error.message), function.file), *error.args[1:])
            raise error from None
        result.outcome.notes = list(map(shown, result.outcome.notes))
        if notebook is not None:
            result.outcome.notes.insert(0, notebook.code.note(function.file.name))
        return result


def as_given(message: str, file: Path) -> str:
    """Return a message with the path of the user's file as seen from the current folder, if it is below it."""
    with contextlib.suppress(ValueError, OSError):
        return message.replace(str(file), str(file.relative_to(Path.cwd())))
    return message


def backstop(time_limit: float) -> float:
    """Return the seconds after which a child process is ended, however little processor time it used."""
    return START_SECONDS + BACKSTOP * time_limit


class Ended(NamedTuple):
    """What is known of a child process that has ended.

    Attributes:
        code: its exit code; a negative code is the number of the signal that ended it. None if it was
            ended because its time was over.
        messages: the messages that it sent (`ResultWriter`).
        output: what it printed.
        too_much: whether it sent more messages than are read.
    """

    code: int | None
    messages: list[dict[str, Any]]
    output: "OutputReader"
    too_much: bool = False

    def last(self, name: str) -> Any:
        """Return the field `name` of the last message that has it, or None."""
        found = [message[name] for message in self.messages if name in message]
        return found[-1] if found else None

    @property
    def out_of_time(self) -> bool:
        """Whether the process was ended because it took too long."""
        signals = (getattr(signal, "SIGXCPU", None),)  # Windows has no such signal
        return self.code is None or -self.code in signals

    @property
    def step(self) -> str:
        """The description of the last step that the child process started; `START` if it started none."""
        return str(self.last("step") or START)


def place_of(file: Path, settings: SandboxSettings, folder: Path, converted: bool = False) -> Path:
    """Return the path from which the child process loads the user's file.

    Args:
        file: the user's file.
        settings: the settings of the sandbox.
        folder: the directory of the sandbox.
        converted: whether the last file of the settings is the code of a notebook.
    """
    if not settings.from_copies:
        return file
    copies = {Path(copy.source).resolve(): copy.target for copy in settings.files}
    if converted:
        return box_of(folder).work / settings.files[-1].target
    return box_of(folder).work / copies[file]


def job_line(
    place: Path,
    function: FunctionName,
    numerical: str | None,
    job: Job,
    settings: SandboxSettings,
    seconds: float,
) -> dict[str, Any]:
    """Return the description of the job for the child process, as JSON data."""
    return {
        "token": secrets.token_hex(16),
        "file": str(place),
        "function": function.function,
        "numerical": numerical,
        "seconds": seconds,
        "sandbox": dataclasses.asdict(settings),
        **dataclasses.asdict(job),
    }


def wait_for(process: "subprocess.Popen[bytes]", job: dict[str, Any], time_limit: float) -> Ended:
    """Send a job to a child process, and wait for its end; end it after `backstop(time_limit)` seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    output = OutputReader(process.stderr)
    results = ResultReader(process.stdout, job["token"], too_much=process.kill)
    try:
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
        code: int | None = process.wait(timeout=backstop(time_limit))
    except subprocess.TimeoutExpired:
        code = None
    finally:
        kill(process)
        output.join()
    return Ended(code, results.finish(), output, results.is_full)


def result_of(ended: Ended, job: Job, numerical: bool, time_limit: float) -> ProcessResult:
    """Return the results of a child process that has ended; `numerical` says whether they have a numerical gradient.

    Raises:
        DoctorError: there are no results.
    """
    limit = ended.last("limit")
    if limit is not None and not ended.last("slow"):
        raise DoctorError(
            f"the function was ended because {limit}. The step that was running is {ended.step}."
            f"{ended.output.summary()}"
        )
    if ended.too_much:
        raise DoctorError(
            f"the function was ended because it sent more than {count(MOST // 1_000_000)} MB as results; check the "
            "file for code that writes to charloom's pipe."
        )
    if limit is not None or ended.out_of_time:
        slow = limit or f"did not end within {backstop(time_limit):g} s"
        raise DoctorError(
            f"the function {slow}; the step that was still running "
            f"is {ended.step}. Look for an endless loop, or for code that waits. If the function is only slow, "
            f"give it more seconds with {argument('time_limit')}.{ended.output.summary()}"
        )
    if (error := ended.last("error")) is not None:
        text = shorter(str(error))
        if functions := ended.last("functions"):
            raise SeveralFunctionsError(text, [str(name) for name in functions])
        raise DoctorError(text)
    message = next((one for one in ended.messages if "outcome" in one), None)
    if message is None:
        raise no_result_error(ended)
    try:
        outcome = read_outcome(message)
        require_genuine_form(outcome, job, numerical)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise DoctorError(
            "the function sent results that are not those of the doctor's calls; check the file for code "
            "that changes charloom or writes to its pipe."
        ) from None
    return ProcessResult(outcome, ended.output.count)


# Environment variables that a submission gets. The others, which may be secret, are left out.
KEPT_VARIABLES: Final = (
    "PATH", "LANG", "LANGUAGE", "TZ", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT",
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUTF8",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
)  # fmt: skip
KEPT_BEGINNINGS: Final = ("LC_", "CHARLOOM_", "CUDA_", "JAX_", "XLA_", "NUMBA_")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of the child process.

    Linear algebra uses one thread. The home and the directory of temporary files are those of the
    sandbox in `folder`. Python writes no `__pycache__` beside the user's files.
    """
    box = box_of(folder)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in KEPT_VARIABLES or name.upper().startswith(KEPT_BEGINNINGS)
    }
    home, temporary = str(box.home), str(box.temporary)
    return {
        **kept,
        **ONE_THREAD,
        "HOME": home,
        "USERPROFILE": home,
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
        "MPLBACKEND": "Agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "",
    }


def start_process(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the child process for a job in `folder`, and return it.

    The process has a session of its own, so that `kill` can also end the processes that it starts.
    The pipe that is the standard input stays open until this process ends or closes it, and then the
    child process ends too.
    """
    module = "charloom.diagnosis.child_process"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(folder),
    )


class OutputReader(threading.Thread):
    """A thread that reads the output of a process, so that a full pipe never stops the process.

    Attributes:
        pipe: the pipe from which the output is read.
        count: number of bytes read.
        tail: the last bytes of the output, at most `KEPT`.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.pipe, self.count, self.tail = pipe, 0, b""
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while block := os.read(self.pipe.fileno(), 1 << 16):
                self.count += len(block)
                self.tail = (self.tail + block)[-KEPT:]

    def join(self, timeout: float | None = 2.0) -> None:
        """Wait for the end of the output, but at most `timeout` seconds; then close the pipe.

        The time is limited because a process that the user's code started may keep the pipe open.
        """
        super().join(timeout)
        with contextlib.suppress(OSError):
            self.pipe.close()

    def summary(self) -> str:
        """Return a sentence with the last lines of the output; "" if there was no output."""
        text = self.tail.decode("utf-8", errors="replace").strip()
        if not text:
            return ""
        last = text.splitlines()[-3:]
        return f" It printed {counted(self.count, 'byte')}; the last lines are: {' / '.join(last)[-300:]}"


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and the processes that it started, and wait until the process has ended.

    First close its standard input, so that it can end the others itself. If it does not, kill the
    processes of its group; on Windows, which has no process groups, kill only the process.
    """
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=END_SECONDS)
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def shorter(message: str) -> str:
    """Return an error message of the child process; its middle is left out if it is very long."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]}\n…\n{message[-half:]}"


def no_result_error(ended: Ended) -> DoctorError:
    """Return the error for a child process that ended and sent no results."""
    code = ended.code or 0
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        reason = f"Python crashed with {name}"
        if name == "SIGKILL":
            reason += " (often because the memory is full)"
    else:
        reason = f"it ended the Python process with exit code {code}"
    return DoctorError(
        f"the function returned nothing: {reason}. The step that was running is "
        f"{ended.step}.{ended.output.summary()}"
    )
