"""Chooses the file of a submission that holds code with gradients, if the teacher named no function.

Each file that may have such code is loaded in the sandbox of the submission, and its form is looked for. No
gradient is checked.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from charloom.diagnosis.call_options import Options
from charloom.diagnosis.runner import CHOOSING, Job
from charloom.diagnosis.sandbox import FunctionName, run_in_process
from charloom.diagnosis.sandbox_settings import CopiedFile
from charloom.diagnosis.submissions import Submission, file_to_check, listed, source_of
from charloom.errors import DoctorError
from charloom.formatting import counted, shortened
from charloom.messages import argument

MOST_TRIED: Final = 8  # files that are loaded
BLANK: Final = "# fill in"  # what a wrapper says where something is unclear
NOTHING_FOUND: Final = (
    "has nothing that looks like"  # words of the error for a file without gradients
)
LOADING_SECONDS: Final = 10.0  # largest processor time for each of them
DEFINITION: Final = re.compile(r"^\s*(?:def|class)\s", re.MULTILINE)
GRADIENT: Final = re.compile(r"grad|backw|backprop|bptt|\bd[A-Z]", re.IGNORECASE)
# Words in the names of files that are probably not the student's answer.
ASIDE: Final = re.compile(
    r"test|old|copy|backup|draft|check|numerical|(?<![a-z])bak", re.IGNORECASE
)


class Choice(NamedTuple):
    """The file of a submission that is checked, and a sentence about the choice; "" if there was none."""

    file: CopiedFile
    note: str = ""


def choose_file(
    submission: Submission,
    function: str | None,
    *,
    cell: str | None = None,
    numerical: str | None = None,
    time_limit: float,
) -> Choice:
    """Return the file of a submission that is checked.

    Args:
        submission: the submission. The settings of its sandbox must be the current ones.
        function: the name of the function; None if the file is chosen by its form.
        cell: "rnn", "lstm" or "gru"; None for any cell.
        numerical: the name of the student's numerical gradient, which is in the same file; None if there is
            none.
        time_limit: seconds of processor time for each file that is loaded, at most `LOADING_SECONDS`.

    Raises:
        DoctorError: the submission has no Python file, or several, and the doctor finds nothing in them.
    """
    name = function or numerical
    files = submission.python_files
    if name is not None or len(files) < 2:
        return Choice(file_to_check(submission, name))
    likely = likely_files(files)
    if len(likely) == 1:
        return choice_of(likely, files)
    found, failed = [], []
    for file in likely[:MOST_TRIED]:
        job = Job(Options(cell=cell or ""), adapt=CHOOSING)
        name_of_file = FunctionName(Path(file.source), "")
        try:
            outcome = run_in_process(
                name_of_file, None, job, min(time_limit, LOADING_SECONDS)
            ).outcome
        except DoctorError as error:
            failed += [] if NOTHING_FOUND in error.message else [file]
            continue
        if outcome.fails:
            failed.append(file)
        elif BLANK not in outcome.wrapper:
            found.append(file)
    if not found and len(failed) == 1:
        return choice_of(failed, files)  # the doctor says what is wrong with it
    if not found:
        raise DoctorError(
            f"the submission has several Python files, {names_of(files)}, and the doctor finds no form that it "
            f"knows in them; name the function with {argument('function')}."
        )
    return choice_of(found, files)


def likely_files(files: Sequence[CopiedFile]) -> list[CopiedFile]:
    """Return the files that may have gradients, the likeliest first; all files if none may."""
    sources = {file: source_of(Path(file.source)).decode("utf-8", "replace") for file in files}
    defining = [file for file in files if DEFINITION.search(sources[file])]
    likely = [file for file in defining if GRADIENT.search(sources[file])]
    return sorted(
        likely or defining or files, key=lambda file: bool(ASIDE.search(Path(file.target).stem))
    )


def choice_of(found: Sequence[CopiedFile], files: Sequence[CopiedFile]) -> Choice:
    """Return the first of the files `found`, with a sentence that names the others."""
    first, *others = found
    note = f"{shortened(Path(first.target))} was judged, of {counted(len(files), 'Python file')}."
    if others:
        note += f" {names_of(others)} could be judged too."
    return Choice(first, note)


def names_of(files: Sequence[CopiedFile]) -> str:
    """Return the names of files as text."""
    return listed([file.target for file in files])
