"""The main program of a process that judges submissions one after another, for `doctor_class`.

It is started as `python -m charloom.api.class_worker`. Each line of its standard input is a job as JSON;
for each, it writes a line with the verdict. It never runs a submission's code itself: the doctor does
that in a sandbox.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis import Diagnosis, doctor
from charloom.diagnosis.chosen_file import choose_file
from charloom.diagnosis.class_result import ERROR, Judged
from charloom.diagnosis.sandbox_settings import CURRENT, SEPARATION, CopiedFile, SandboxSettings
from charloom.diagnosis.submissions import Submission, source_of
from charloom.errors import CharloomError, ConfigError
from charloom.formatting import shortened
from charloom.parent_process import end_with_parent, take_stdout

# Names with which code looks into the process that runs it, or loads modules that its text does not name.
LOOKS_INSIDE: Final = re.compile(
    r"\b(_getframe|f_back|f_locals|gc\.get_\w+|sys\.modules|ctypes|__import__|__subclasses__|os\._exit)\b"
)
# An import of charloom, or its name as a string, as in a call of `__import__`.
USES_CHARLOOM: Final = re.compile(r"^\s*(from|import)\s+charloom\b|[\"']charloom", re.MULTILINE)


def main() -> None:
    """Judge the submissions on the standard input until it ends."""
    end_with_parent()
    results = take_stdout()
    for line in sys.stdin:
        results.write(json.dumps(answer(json.loads(line))) + "\n")
        results.flush()


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict on the submission of a job as JSON data; if an option is wrong, its message."""
    try:
        return {"judged": asdict(judge(job))}
    except ConfigError as error:
        return {"refused": error.message}


def judge(job: dict[str, Any]) -> Judged:
    """Return the verdict on the submission that a job describes.

    Raises:
        ConfigError: an option of the job is wrong, for every submission.
    """
    started = time.perf_counter()
    SEPARATION.set("")
    submission = Submission(
        job["name"], [CopiedFile(*pair) for pair in job["files"]], job["problem"]
    )
    made = Judged(job["name"], "", job["function"], ERROR, passed=False)
    try:
        with submitted(job):
            options = job["options"]
            known = {
                name: options[name]
                for name in ("cell", "numerical", "time_limit")
                if name in options
            }
            file, note = choose_file(submission, job["function"], **known)
            notes = tuple(filter(None, (note, *warnings_about(submission))))
            made = replace(made, file=file.target, notes=notes)
            made = examined(made, file, job)
    except ConfigError:
        raise
    except CharloomError as error:
        made = replace(made, error=without_folders(error.message, submission))
    except Exception as error:
        # A fault of the doctor itself, which must not end the judging of the others.
        made = replace(made, error=f"the doctor failed: {type(error).__name__}: {error}")
    made = replace(made, separation=SEPARATION.get())
    return replace(made, seconds=time.perf_counter() - started)


def examined(made: Judged, file: CopiedFile, job: dict[str, Any]) -> Judged:
    """Return the verdict `made` with the diagnosis of the submission's file."""
    options = dict(job["options"])
    strict = options.pop("strict", False)
    diagnosis = doctor(target(file, job["function"]), **options)
    diagnosis = replace(diagnosis, subject=subject_of(made))
    return replace(
        made,
        verdict=diagnosis.verdict,
        passed=diagnosis.passed and (not strict or diagnosis.verdict == "right"),
        mistakes=tuple(diagnosis.mistakes),
        headline=diagnosis.headline(),
        diagnosis=diagnosis.to_dict(str),
        marked_page=page_of(diagnosis) if job["pages"] else "",
    )


@contextmanager
def submitted(job: dict[str, Any]) -> Iterator[None]:
    """In the `with` block, code runs in the sandbox of the job's submission."""
    settings = {name: value for name, value in job["sandbox"].items() if name != "files"}
    settings["hidden"] = tuple(settings["hidden"])
    files = tuple(CopiedFile(*pair) for pair in job["files"])
    token = CURRENT.set(SandboxSettings(**settings, files=files))
    try:
        yield
    finally:
        CURRENT.reset(token)


def page_of(diagnosis: Diagnosis) -> str:
    """Return the page of a diagnosis as HTML with marks, and with a link to the table of the class."""
    from charloom.report.class_page import INDEX  # imported only now, because it loads matplotlib
    from charloom.report.diagnosis_page import render_diagnosis

    return render_diagnosis(diagnosis, str, INDEX)


def subject_of(made: Judged) -> str:
    """Return the name of the checked function with the student's name, if the file's name is another one."""
    function = made.file if made.function is None else f"{made.file}:{made.function}"
    return function if Path(made.file).stem == made.name else f"{made.name}, {function}"


def target(file: CopiedFile, function: str | None) -> str:
    """Return what `charloom doctor` is given for a submission: FILE.py:FUNCTION, or FILE.py.

    A submission without a given function is passed on as FILE.py, exactly as a user passes a single file.
    """
    return file.source if function is None else f"{file.source}:{function}"


def without_folders(message: str, submission: Submission) -> str:
    """Return an error message with the paths of files as they are in the submission."""
    for file in submission.files:
        message = message.replace(file.source, file.target)
    return message


def warnings_about(submission: Submission) -> list[str]:
    """Return sentences about a submission that a teacher should look at."""
    for file in submission.python_files:
        text = source_of(Path(file.source)).decode("utf-8", "replace")
        name = shortened(Path(file.target))
        if USES_CHARLOOM.search(text):
            return [f"{name} uses charloom, which can compute the right gradient: look at it."]
        if found := LOOKS_INSIDE.search(text):
            return [
                f"{name} uses {found[1]}, with which code can reach the doctor itself: look at it."
            ]
    return []


if __name__ == "__main__":
    main()
