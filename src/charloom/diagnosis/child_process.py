"""The process in which the user's code runs: `python -m charloom.diagnosis.child_process FOLDER PIPE`.

It reads job.json, loads the file, calls the function, and leaves outcome.json and outcome.npz. It ends
when nobody holds the other end of the pipe any more; on Linux whatever it is at.
"""

import ctypes
import importlib.util
import json
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis.call_forms import Options
from charloom.diagnosis.runner import Job, guarded, run
from charloom.diagnosis.sandbox import leave, write_outcome
from charloom.diagnosis.trials import Plan
from charloom.errors import CharloomError, DoctorError

PR_SET_PDEATHSIG: Final = 1  # of prctl, which Linux alone has


def main(folder: Path) -> None:
    """Do the job that lies in a folder."""
    about = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    file = Path(about["file"])
    given = about["options"]
    options = Options(
        form=given["form"],
        cell=given["cell"],
        names=tuple((ours, own) for ours, own in given["names"]),
        gradients=tuple(given["gradients"]),
        arguments=tuple(given["arguments"]),
        reduction=given["reduction"],
        gates=given["gates"],
    )
    job = Job(options, about["seed"], tuple(Plan(*plan) for plan in about["plans"]))
    sys.path.insert(0, str(file.parent))
    sys.argv = [str(file)]
    warnings.simplefilter("ignore")
    before = set(sys.modules)

    def load() -> tuple[Any, Any]:
        """The file run anew, and its neighbours too: nothing is left of earlier calls."""
        for name in set(sys.modules) - before:
            source = getattr(sys.modules[name], "__file__", None)
            if source and Path(source).parent == file.parent:
                del sys.modules[name]
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
        return (
            named(module, about["function"], file),
            None if about["numerical"] is None else named(module, about["numerical"], file),
        )

    doing = (folder / "doing").open("w", encoding="utf-8")

    def tell(what: str) -> None:
        doing.seek(0)
        doing.truncate()
        doing.write(what)
        doing.flush()

    try:
        outcome = guarded("while it was loaded", lambda: run(load, job, tell))
    except CharloomError as error:
        leave(folder, {"error": error.message})
    else:
        write_outcome(folder, outcome)


def named(module: Any, name: str, file: Path) -> Any:
    """A name of the user's module."""
    if not hasattr(module, name):
        there = [
            own
            for own, value in vars(module).items()
            if callable(value) and not own.startswith("_")
        ]
        raise DoctorError(
            f"{file.name} has no {name}; it has {', '.join(there[:12]) or 'no function'}"
            f"{f' and {len(there) - 12} more' if len(there) > 12 else ''}."
        )
    return getattr(module, name)


def end_with_parent() -> None:
    """Let the system kill this process when the one that started it is no more, where it can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with(pipe: int) -> None:
    """Wait for the end of whoever started this process; then end it, and those that it started. It
    waits in a thread, which code that never lets go of Python's lock keeps from its turn."""
    with suppress(OSError):
        os.read(pipe, 1)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    threading.Thread(target=end_with, args=(int(sys.argv[2]),), daemon=True).start()
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # all is said: threads of the user's that still run are not waited for
