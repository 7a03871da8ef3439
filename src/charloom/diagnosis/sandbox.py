"""Runs the user's code in a separate process, and returns its results or raises an error.

The process has a time limit. What it prints is not shown, but an error message quotes the last
lines. The process returns its results as arrays and JSON, never as pickles. This module does not
know gradients.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Final, NamedTuple

from charloom.cpu_limits import ONE_THREAD
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.outcome_files import read_outcome
from charloom.diagnosis.runner import Job
from charloom.errors import DoctorError
from charloom.formatting import counted, shortened
from charloom.messages import argument

KEPT: Final = 2_000  # number of bytes at the end of the child process's output that are stored
START: Final = "the start of the process"  # what an error names if no step has started yet


class FunctionName(NamedTuple):
    """The path of a Python file, and the name of a function in this file."""

    file: Path
    function: str


def parse_function(given: str) -> FunctionName:
    """Return the file and the function that `given` names in the form FILE.py:FUNCTION.

    Raises:
        DoctorError: `given` has another form, names a method, or names no existing Python file.
    """
    file, colon, function = given.rpartition(":")
    owner, dot, method = function.partition(".")
    if colon and file and dot and owner.isidentifier() and method.isidentifier():
        raise DoctorError(
            f"{function} is a method, but the doctor calls only functions. Put these lines below the "
            "class, adapt them to your class and your names, and give the doctor FILE.py:checked:\n\n"
            "def checked(params, x, y, h0):\n"
            f'    net = {owner}(len(params["c"]), len(h0))  # K characters, H hidden units\n'
            '    net.U, net.W, net.b = params["U"], params["W"], params["b"]\n'
            '    net.V, net.c = params["V"], params["c"]\n'
            f"    return net.{method}(x, y, h0)  # the loss, and a dict of gradients\n"
        )
    if not colon or not file or not function.isidentifier():
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
    if path.suffix != ".py":
        raise DoctorError(f"{shortened(path)} is not a Python file; its name must end in .py.")
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
        DoctorError: the user's code raised an exception, crashed, ended the process, or took
            longer than `time_limit` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="charloom-doctor-") as name:
        folder = Path(name)
        write_job(folder, function, numerical, job)
        process = start_process(folder)
        assert process.stdin is not None
        assert process.stdout is not None
        output = OutputReader(process.stdout)
        try:
            code = process.wait(timeout=time_limit)
        except subprocess.TimeoutExpired:
            kill(process)
            raise DoctorError(
                f"the function did not end within {time_limit:g} s; the step that was still running "
                f"is {last_step(folder)}. Look for an endless loop. If the function is only slow, "
                f"give it more seconds with {argument('time_limit')}.{output.summary()}"
            ) from None
        finally:
            kill(process)
            process.stdin.close()
            output.join()
        try:
            return ProcessResult(read_outcome(folder), output.count)
        except (OSError, ValueError):
            raise no_result_error(folder, code, output) from None


def write_job(folder: Path, function: FunctionName, numerical: str | None, job: Job) -> None:
    """Write job.json, the description of the job for the child process."""
    fields = {
        "file": str(function.file),
        "function": function.function,
        "numerical": numerical,
        **dataclasses.asdict(job),
    }
    (folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")


def start_process(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the child process for the job in `folder`, and return it.

    The process has a session of its own, so that `kill` can also end the processes that it starts.
    Linear algebra uses one thread. Nothing is written to the pipe that is the standard input of the child
    process. The pipe is closed when this process ends, and then the child process ends too.
    """
    module = "charloom.diagnosis.child_process"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **ONE_THREAD, "PYTHONFAULTHANDLER": ""},
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
    """Kill a process and the other processes of its group, and wait until the process has ended.

    On Windows, which has no process groups, kill only the process.
    """
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def last_step(folder: Path) -> str:
    """Return the description of the last step that the child process started, such as a call.

    It is read from a file in `folder`. Return `START` if the process has started no step.
    """
    try:
        return (folder / "step").read_text(encoding="utf-8") or START
    except OSError:
        return START


def no_result_error(folder: Path, code: int, output: OutputReader) -> DoctorError:
    """Return the error for a child process that ended with exit code `code` and wrote no results.

    A negative code is the number of the signal that ended the process.
    """
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        reason = f"Python crashed with {name}"
        if name == "SIGKILL":
            reason += " (often because the memory is full)"
    else:
        reason = f"it ended the Python process with exit code {code}"
    return DoctorError(
        f"the function returned nothing: {reason}. The step that was running is "
        f"{last_step(folder)}.{output.summary()}"
    )
