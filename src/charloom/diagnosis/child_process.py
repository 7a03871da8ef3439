"""The main program of the child process, which runs the user's code.

It is started as `python -m charloom.diagnosis.child_process FOLDER`, with pipes as its standard input,
output and error. It reads the job from the standard input, loads the user's file in a sandbox
(`guard.py`), calls the function, and writes the results to the pipe that was its standard output. What
the user's code prints goes to the standard error.
It ends when the parent process ends, because the pipe is closed then. On Linux, it ends even if the user's
code never returns.
"""

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Final, NoReturn

from charloom.diagnosis.batch_calls import batch_problems, calls_on_batch
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.fixed_randomness import NOTE, answers_differ, with_fixed_seed
from charloom.diagnosis.forms.preparation import Names, Prepared, prepared
from charloom.diagnosis.forms.trying import FAILED
from charloom.diagnosis.guard import Excess, Guard
from charloom.diagnosis.notebook_code import is_notebook
from charloom.diagnosis.outcome import Call, Outcome
from charloom.diagnosis.outcome_files import outcome_message
from charloom.diagnosis.result_pipe import ResultWriter, take_stdout
from charloom.diagnosis.runner import Job, Report, guarded, run
from charloom.diagnosis.sandbox_settings import CopiedFile, SandboxSettings
from charloom.diagnosis.trials import FREE, Fixed, Plan
from charloom.diagnosis.watching.observation import Observation
from charloom.diagnosis.watching.own_derivatives import calls_in_training
from charloom.diagnosis.watching.program_search import observed
from charloom.errors import CharloomError, DoctorError, SeveralFunctionsError
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

    def over(excess: Excess) -> None:
        writer.send(limit=excess.reason, slow=excess.slow)

    Guard(settings, folder, fields["seconds"], [p for p in needed if p], over, work).run(pipe)


# Processor time for finding out how the training of a file is called, if its functions were checked.
TRAINING_SECONDS: Final = 3.0
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
    names, job = Names(fields["function"], fields["numerical"]), job_of(fields)

    def report(step: str) -> None:
        writer.send(step=step)

    try:
        outcome = guarded("while it was loaded", lambda: judged(file, names, job, report))
    except SeveralFunctionsError as error:
        writer.send(error=error.message, functions=list(error.functions))
    except CharloomError as error:
        writer.send(error=error.message)
    else:
        writer.send(**outcome_message(outcome))


def judged(file: Path, names: Names, job: Job, report: Report) -> Outcome:
    """Return the results of all calls of the user's function, or of the wrapper around it.

    If the job is only to adapt the function, return no results but the text of the wrapper. If the calls fail,
    watch the program as a whole instead, if it can be watched.
    """
    ready = prepared(file, names, job, report)
    try:
        return judged_as(ready, file, names, job, report)
    except DoctorError:
        if (watched := ready.instead()) is None:
            raise
        return judged_as(watched, file, names, job, report)


def calls_in_training_of(
    file: Path, checked: Any, outcome: Outcome
) -> tuple[list[Call], list[Call]]:
    """Return what the training of a file shows in a batch and in its second iteration (`own_derivatives.py`).

    It is not looked at if functions took a batch, or if functions of another network were checked.
    """
    if outcome.batch:
        return [], []
    found = getattr(checked, "__globals__", {}).get("iteration")
    if not isinstance(found, Observation):
        found = observed(file, TRAINING_SECONDS)
    return calls_in_training(found) if found.roles.cell == outcome.cell else ([], [])


def judged_as(ready: Prepared, file: Path, names: Names, job: Job, report: Report) -> Outcome:
    """Return the results of all calls of what was prepared."""
    form, notes = ready.form, ready.notes
    if job.adapt:
        fails = form is not None and form.rank == FAILED
        return Outcome("", FREE, "", notes=ready.notes, wrapper=ready.wrapper, fails=fails)
    try:
        outcome = run(ready.load, ready.job, report)
        if form is not None and answers_differ(outcome):
            repeated = run(with_fixed_seed(ready.load), ready.job, report)
            if not answers_differ(repeated):
                outcome, notes = repeated, [*notes, NOTE]
    except DoctorError as error:
        needs_import = ready.advice and "NameError" in error.message
        raise DoctorError(f"{error.message}\n{ready.advice}") if needs_import else error from None
    outcome.notes = notes
    if form is not None:
        outcome.wrapper, outcome.convention = form.text, form.way
        report("a batch of two texts")
        with contextlib.suppress(Exception, SystemExit):
            assert ready.load_text is not None
            checked = ready.load()[0]
            problems = batch_problems(outcome.cell, job.seed, outcome.sizes)
            outcome.batch = calls_on_batch(checked, ready.load_text, form.text, problems)
            if not names.function and not is_notebook(file):
                outcome.texts, outcome.later = calls_in_training_of(file, checked, outcome)
    return outcome


def job_of(fields: dict[str, Any]) -> Job:
    """Return the job that the fields of the job describe."""
    given = fields["options"]
    tuples = {name: tuple(given[name]) for name in ("gradients", "arguments", "network")}
    options = Options(**{**given, **tuples, "sizes": Fixed(*given["sizes"])})
    plans = tuple(Plan(*plan) for plan in fields["plans"])
    return Job(options, fields["seed"], plans, fields["adapt"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
