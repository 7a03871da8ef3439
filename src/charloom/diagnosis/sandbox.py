"""Runs the user's code in a process of its own: whatever it does, an answer or a sentence comes
back.

It has a time limit; what it prints is read and thrown away; a crash tells its signal. What it
computed comes back as arrays and JSON, never as pickles. It knows nothing of gradients.
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
import time
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from charloom.diagnosis.runner import SCRIPTS, Call, Job, Outcome
from charloom.errors import DoctorError
from charloom.formatting import shortened
from charloom.messages import argument

KEPT: Final = 2_000  # characters of what it printed last
ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Place(NamedTuple):
    """Where a function is: a file and a name in it."""

    file: Path
    function: str


def place_of(given: str) -> Place:
    """FILE.py:FUNCTION taken apart, and looked at."""
    file, colon, function = given.rpartition(":")
    owner, dot, method = function.partition(".")
    if colon and file and dot and owner.isidentifier() and method.isidentifier():
        raise DoctorError(
            f"{function} is a method; the doctor calls functions. Put this below the class, with your "
            "own way of making one and your own names, and name judged:\n\n"
            "def judged(params, x, y, h0):\n"
            f'    net = {owner}(len(params["c"]), len(h0))  # K characters, H hidden units\n'
            '    net.U, net.W, net.b = params["U"], params["W"], params["b"]\n'
            '    net.V, net.c = params["V"], params["c"]\n'
            f"    return net.{method}(x, y, h0)  # the loss, and a dict of gradients\n"
        )
    if not colon or not file or not function.isidentifier():
        raise DoctorError(
            f"{shortened(Path(given)) if given else 'an empty name'} names no function; say FILE.py:FUNCTION, for example rnn.py:loss_and_gradients."
        )
    path = Path(file)
    try:
        there = path.is_file()
    except OSError:  # the name is longer than the system has any
        there = False
    if not there:
        raise DoctorError(f"there is no file {shortened(path)}.")
    if path.suffix != ".py":
        raise DoctorError(f"{shortened(path)} is no Python file; its name must end in .py.")
    return Place(path.resolve(), function)


class Ran(NamedTuple):
    """The outcome, and how many bytes the user's code printed."""

    outcome: Outcome
    printed: int


def run_apart(place: Place, numerical: str | None, job: Job, time_limit: float) -> Ran:
    """Run a job in a process of its own.

    Raises:
        DoctorError: it failed, crashed, ended itself, or took longer than `time_limit` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="charloom-doctor-") as folder:
        about = {
            "file": str(place.file),
            "function": place.function,
            "numerical": numerical,
            "seed": job.seed,
            "plans": job.plans,
            "options": dataclasses.asdict(job.options),
        }
        (Path(folder) / "job.json").write_text(json.dumps(about), encoding="utf-8")
        theirs, ours = os.pipe()  # nothing is ever written: its end tells them that we are no more
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "charloom.diagnosis.child_process",
                    folder,
                    str(theirs),
                ],
                pass_fds=(theirs,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONFAULTHANDLER": ""},
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        assert process.stdout is not None
        heard = Heard(process.stdout)
        try:
            code = process.wait(timeout=time_limit)
        except subprocess.TimeoutExpired:
            kill(process)
            raise DoctorError(
                f"the function did not come to an end: after {time_limit:g} s it was still at "
                f"{doing(folder)}. Is there an endless loop? If it is only slow, give it longer with "
                f"{argument('time_limit')}.{heard.told()}"
            ) from None
        finally:
            kill(process)
            os.close(ours)
            heard.join()
        return Ran(read_outcome(Path(folder), code, heard), heard.count)


class Heard(threading.Thread):
    """Reads all that a process prints, so that it never waits; keeps the end of it."""

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
        """Wait for the end; a grandchild that holds the pipe is not waited for."""
        super().join(timeout)
        with contextlib.suppress(OSError):
            self.pipe.close()

    def told(self) -> str:
        """What was printed last, as a sentence; empty where nothing was."""
        text = self.tail.decode("utf-8", errors="replace").strip()
        if not text:
            return ""
        last = text.splitlines()[-3:]
        return f" It printed {self.count:,} bytes; the last lines: {' / '.join(last)[-300:]}"


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def doing(folder: str) -> str:
    """What the child was doing last."""
    try:
        return (Path(folder) / "doing").read_text(encoding="utf-8") or "its start"
    except OSError:
        return "its start"


def read_outcome(folder: Path, code: int, heard: Heard) -> Outcome:
    """What the child left, or the sentence that says why it left nothing."""
    try:
        about = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            why = f"Python crashed with {name}"
            if name == "SIGKILL":
                why += " (often: no memory left)"
        else:
            why = f"it ended Python itself with exit code {code}"
        raise DoctorError(
            f"the function gave no answer: {why}, at {doing(str(folder))}.{heard.told()}"
        ) from None
    if "error" in about:
        raise DoctorError(about["error"])
    outcome = Outcome(about["cell"], tuple(about["sizes"]), about["convention"])
    with np.load(folder / "outcome.npz", allow_pickle=False) as arrays:
        for script in SCRIPTS:
            for number, call in enumerate(about[script]):
                names = {part: call[part] for part in ("gradients", "after")}
                kept = {
                    part: {name: arrays[f"{script}.{number}.{part}.{name}"] for name in listed}
                    for part, listed in names.items()
                }
                getattr(outcome, script).append(
                    Call(
                        None if call["loss"] is None else float(call["loss"]),
                        kept["gradients"],
                        tuple(call["changed"]),
                        kept["after"],
                        bool(call["float32"]),
                    )
                )
    return outcome


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Leave an outcome for the process that waits for it; JSON last, for it says that all is there."""
    arrays: dict[str, Any] = {}
    about: dict[str, Any] = {
        "cell": outcome.cell,
        "sizes": outcome.sizes,
        "convention": outcome.convention,
    }
    for script in SCRIPTS:
        about[script] = []
        for number, call in enumerate(getattr(outcome, script)):
            for part in ("gradients", "after"):
                for name, array in getattr(call, part).items():
                    arrays[f"{script}.{number}.{part}.{name}"] = array
            about[script].append(
                {
                    # As text: JSON has no NaN.
                    "loss": None if call.loss is None else repr(float(call.loss)),
                    "gradients": list(call.gradients),
                    "after": list(call.after),
                    "changed": call.changed,
                    "float32": call.float32,
                }
            )
    with (folder / "outcome.npz").open("wb") as file:
        np.savez(file, **arrays)
    leave(folder, about)


def leave(folder: Path, about: dict[str, Any]) -> None:
    """Write outcome.json whole or not at all."""
    beside = folder / f"outcome.{time.monotonic_ns()}"
    beside.write_text(json.dumps(about), encoding="utf-8")
    beside.replace(folder / "outcome.json")
