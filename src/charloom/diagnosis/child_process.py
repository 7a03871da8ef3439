"""The main program of the child process, which runs the user's code.

It is started as `python -m charloom.diagnosis.child_process FOLDER`, with pipes as its standard input,
output and error. It reads the job from the standard input, loads the user's file in a sandbox
(`guard.py`), calls the function, and writes the results to the pipe that was its standard output. What
the user's code prints goes to the standard error.
It ends when the parent process ends, because the pipe is closed then. On Linux, it ends even if the user's
code never returns.
"""

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from charloom.diagnosis.call_options import Options
from charloom.diagnosis.guard import Guard
from charloom.diagnosis.outcome_files import outcome_message
from charloom.diagnosis.result_pipe import ResultWriter, take_stdout
from charloom.diagnosis.returned_value import LISTED, more
from charloom.diagnosis.runner import Job, Load, guarded, run
from charloom.diagnosis.sandbox_settings import CopiedFile, SandboxSettings
from charloom.diagnosis.trials import Plan
from charloom.errors import CharloomError, DoctorError
from charloom.parent_process import end_with_parent, take_stdin


def main(folder: Path) -> NoReturn:
    """Do the job that the standard input describes in a sandbox in `folder`, and write the results."""
    end_with_parent()
    results, pipe = take_stdout(), take_stdin()
    fields = read_job(pipe)
    writer = ResultWriter(results, fields.pop("token"))
    settings = settings_of(fields)
    file = Path(fields["file"])
    needed = [*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE)]
    if not settings.from_copies:
        needed.append(str(file.parent))

    def work(separation: str) -> None:
        writer.send(separation=separation)
        do_job(file, fields, writer)

    def over(reason: str) -> None:
        writer.send(limit=reason)

    Guard(settings, folder, fields["seconds"], [p for p in needed if p], over, work).run(pipe)


PACKAGE = Path(__file__).parents[2]  # the directory that has the package charloom


def read_job(pipe: int) -> dict[str, Any]:
    """Return the fields of the job, a line of JSON, and leave the pipe open."""
    line = bytearray()
    while not line.endswith(b"\n"):
        block = os.read(pipe, 1 << 16)
        if not block:
            break
        line += block
    fields: dict[str, Any] = json.loads(line)
    return fields


def settings_of(fields: dict[str, Any]) -> SandboxSettings:
    """Return the settings of the sandbox that the fields of the job describe."""
    given = fields["sandbox"]
    files = tuple(CopiedFile(*pair) for pair in given["files"])
    return SandboxSettings(**{**given, "files": files, "hidden": tuple(given["hidden"])})


def do_job(file: Path, fields: dict[str, Any], writer: ResultWriter) -> None:
    """Call the function as the fields of the job say, and write the results."""
    sys.path.insert(0, str(file.parent))
    sys.argv = [str(file)]
    warnings.simplefilter("ignore")
    job, load = job_of(fields), loader(file, fields["function"], fields["numerical"])
    try:
        outcome = guarded(
            "while it was loaded", lambda: run(load, job, lambda step: writer.send(step=step))
        )
    except CharloomError as error:
        writer.send(error=error.message)
    else:
        writer.send(**outcome_message(outcome))


def job_of(fields: dict[str, Any]) -> Job:
    """Return the job that the fields of the job describe."""
    given = fields["options"]
    tuples = {name: tuple(given[name]) for name in ("gradients", "arguments", "network")}
    options = Options(**{**given, **tuples})
    return Job(options, fields["seed"], tuple(Plan(*plan) for plan in fields["plans"]))


def loader(file: Path, function: str, numerical: str | None) -> Load:
    """Return a function that loads the user's file and the modules in the file's directory.

    Each call of the returned function loads them again, so that they remember nothing of earlier
    calls. It returns the function to check, and the function called `numerical` (None if
    `numerical` is None).
    """
    before = set(sys.modules)

    def load() -> tuple[Any, Any]:
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
            named(module, function, file),
            None if numerical is None else named(module, numerical, file),
        )

    return load


def named(module: Any, name: str, file: Path) -> Any:
    """Return the object called `name` in the user's module; raise DoctorError if there is none."""
    if not hasattr(module, name):
        functions = [
            other
            for other, value in vars(module).items()
            if callable(value) and not other.startswith("_")
        ]
        raise DoctorError(
            f"{file.name} has no {name}; it has {', '.join(functions[:LISTED]) or 'no function'}"
            f"{more(functions)}."
        )
    return getattr(module, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
