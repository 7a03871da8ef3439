"""The main program of the child process, which runs the user's code.

It is started as `python -m charloom.diagnosis.child_process FOLDER`, with a pipe as its standard input.
It reads job.json, loads the user's file, calls the function, and writes outcome.json and outcome.npz.
It ends when the parent process ends, because the pipe is closed then. On Linux, it ends even if the user's
code never returns.
"""

import importlib.util
import json
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from charloom.diagnosis.call_options import Options
from charloom.diagnosis.outcome_files import write_error, write_outcome
from charloom.diagnosis.returned_value import LISTED, more
from charloom.diagnosis.runner import Job, Load, guarded, run
from charloom.diagnosis.trials import Plan
from charloom.errors import CharloomError, DoctorError
from charloom.parent_process import end_with_parent, end_with_pipe, take_stdin


def main(folder: Path) -> None:
    """Do the job that job.json in `folder` describes, and write the results to `folder`."""
    fields = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    file = Path(fields["file"])
    sys.path.insert(0, str(file.parent))
    sys.argv = [str(file)]
    warnings.simplefilter("ignore")
    job, load = job_of(fields), loader(file, fields["function"], fields["numerical"])
    step = (folder / "step").open("w", encoding="utf-8")

    def report(description: str) -> None:
        step.seek(0)
        step.truncate()
        step.write(description)
        step.flush()

    try:
        outcome = guarded("while it was loaded", lambda: run(load, job, report))
    except CharloomError as error:
        write_error(folder, error.message)
    else:
        write_outcome(folder, outcome)


def job_of(fields: dict[str, Any]) -> Job:
    """Return the job that the fields of job.json describe."""
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
    end_with_parent()
    threading.Thread(target=end_with_pipe, args=(take_stdin(),), daemon=True).start()
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # do not wait for threads of the user's code that still run
