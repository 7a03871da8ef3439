"""Judges the submissions of a class for the command `doctor`: progress, table, files and exit code."""

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from charloom.cli.count_display import CountDisplay
from charloom.cli.error_exit import CHECK_FAILED, INTERRUPTED
from charloom.cli.terminal import clear_line, say, show, show_json
from charloom.errors import CharloomError, ConfigError
from charloom.formatting import count, duration, excerpt, harmless, shortened, table
from charloom.messages import argument, for_command_line, quoted

if TYPE_CHECKING:
    from charloom.api import DiagnosedClass, Judged

NAME_WIDTH: Final = (
    30  # largest number of characters of a submission's name in the table on a terminal
)
LEAST_REASON: Final = 30  # characters of a reason that a narrow terminal shows
MOST: Final = 10_000  # characters of a cell without a terminal
LIMITS_ONLY: Final = (
    "this system has neither namespaces nor Landlock: the submissions have limits, but can "
    "read and write what you can. Judge code that you do not trust in a container or a virtual machine "
    "(SECURITY.md: The doctor's sandbox)."
)


class ClassOutput(NamedTuple):
    """Where the verdicts on a class are written, in addition to the terminal; None writes nothing.

    Attributes:
        csv: the CSV table.
        html: the directory of the pages.
        gradescope: the results.json.
        as_json: whether the result on the terminal is JSON.
    """

    csv: Path | None
    html: Path | None
    gradescope: Path | None
    as_json: bool


def judge_class(
    given: Sequence[str], function: str | None, output: ClassOutput, options: dict[str, Any]
) -> None:
    """Judge the submissions, write the verdicts, and exit with the code for them.

    The exit code is 0 if all pass, 1 if some do not, and 130 after Ctrl-C, which
    keeps the verdicts so far (128 plus the number of any other signal).
    `options` are the other arguments of `charloom.doctor_class`.
    """
    from charloom.api.class_diagnosis import begin_class
    from charloom.training.stop_signals import ImmediateHalt, SignalReceived

    check_outputs(output)
    judging = begin_class(given, function, pages=output.html is not None, **options)
    code = 0
    with ClassDisplay() as display, ImmediateHalt() as halt:
        try:
            with closing(judging.verdicts()) as verdicts:
                for one in verdicts:
                    display.take(len(judging.judged), judging.total, one)
                    halt.raise_received()
        except (KeyboardInterrupt, SignalReceived):
            code = halt.exit_code or INTERRUPTED
    diagnosis = judging.so_far()
    if code:
        clear_line()
        say(
            f"interrupted; {count(len(diagnosis.unjudged))} of {count(judging.total)} submissions are not judged."
            f" {how_to_continue(judging.request.resume)}"
        )
    write_verdicts(diagnosis, output)
    if code or not diagnosis.passed:
        raise typer.Exit(code or CHECK_FAILED)


def check_outputs(output: ClassOutput) -> None:
    """Check that the files and the directory of the verdicts can be written, before anything is judged.

    Raises:
        ConfigError: a path cannot be written.
    """
    for option, path in (
        ("--csv", output.csv),
        ("--html", output.html),
        ("--gradescope", output.gradescope),
    ):
        if path is not None and option != "--html" and path.is_dir():
            raise ConfigError(f"{option} is {shortened(path)}, which is a directory; name a file.")
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(
                f"{option} is {shortened(path)}, but the directory {shortened(path.parent)} does not exist; "
                "create it."
            )
    check_pages(output.html)


def check_pages(pages: Path | None) -> None:
    """Check that the directory of the pages is not a file and does not have the name of a page.

    Raises:
        ConfigError: it is a file, or its name ends in .html.
    """
    if pages is not None and pages.is_file():
        raise ConfigError(f"{shortened(pages)} is a file; the pages of a class need a directory.")
    if pages is not None and pages.suffix.lower() in (".html", ".htm"):
        raise ConfigError(
            f"--html is {shortened(pages)}, the name of a file; the pages of a class need a directory: "
            f"--html {quoted(pages.with_suffix(''))}. Without --csv, --gradescope and the other options of a class, "
            "a single submission gets a single page."
        )


def how_to_continue(resume: Path | None) -> str:
    """Return the sentence that says how the others can be judged; `resume` is the file of the verdicts."""
    if resume is not None:
        return "The same command again continues."
    return f"With {argument('resume', 'FILE')}, the same command again would continue."


def write_verdicts(diagnosis: "DiagnosedClass", output: ClassOutput) -> None:
    """Print the verdicts, and write the files that the user asked for.

    If one of them cannot be written, the others are written all the same.

    Raises:
        CharloomError: a file cannot be written; that of the first one.
    """
    if output.as_json:
        show_json(diagnosis.to_dict(for_command_line))
    else:
        for line in class_lines(diagnosis, terminal_width()):
            show(line)
    if diagnosis.separation == "limits":
        say(LIMITS_ONLY)
    errors = [error for write in WRITERS if (error := error_of(write, diagnosis, output))]
    if errors:
        for error in errors[1:]:
            say(for_command_line(error.message))
        raise errors[0]


def error_of(
    write: Callable[["DiagnosedClass", ClassOutput], None],
    diagnosis: "DiagnosedClass",
    output: ClassOutput,
) -> CharloomError | None:
    """Write one kind of output, and return the error if it cannot be written; None if it is written."""
    try:
        write(diagnosis, output)
    except CharloomError as error:
        return error
    return None


def write_csv(diagnosis: "DiagnosedClass", output: ClassOutput) -> None:
    """Write the table if the user asked for it."""
    from charloom.diagnosis.class_files import csv_table

    # Excel reads UTF-8 only if the file begins with a byte order mark.
    write_text(output.csv, lambda: csv_table(diagnosis, for_command_line), "utf-8-sig")


def write_gradescope(diagnosis: "DiagnosedClass", output: ClassOutput) -> None:
    """Write the results.json if the user asked for it."""
    from charloom.diagnosis.class_files import gradescope_results

    write_text(output.gradescope, lambda: gradescope_results(diagnosis, for_command_line), "utf-8")


def write_text(path: Path | None, text: Callable[[], str], encoding: str) -> None:
    """Write what `text` returns to a file, and say so; nothing if `path` is None."""
    from charloom.store import replace_file

    if path is not None:
        replace_file(path, text().encode(encoding, "replace"), durable=False)
        say(f"wrote {path}")


def write_pages(diagnosis: "DiagnosedClass", output: ClassOutput) -> None:
    """Write the pages if the user asked for them."""
    if output.html is not None:
        from charloom.report import write_class

        say(f"the pages begin at {write_class(diagnosis, output.html, for_command_line)}")


WRITERS: Final = (write_csv, write_gradescope, write_pages)


def class_lines(diagnosis: "DiagnosedClass", width: int | None = None) -> list[str]:
    """Return the lines of the table: a row for each submission, its notes, and the numbers of verdicts.

    `width` is the number of columns of the terminal; None cuts nothing.
    """
    name_width = MOST if width is None else NAME_WIDTH
    names = [excerpt(one.name, name_width) for one in diagnosis.submissions]
    columns = (["submission", *names], ["verdict", *(one.verdict for one in diagnosis.submissions)])
    used = sum(max(map(len, column)) + 2 for column in columns)
    left = MOST if width is None else max(width - used, LEAST_REASON)
    rows = [
        (name, one.verdict, excerpt(one.reason_for(for_command_line), left))
        for name, one in zip(names, diagnosis.submissions, strict=True)
    ]
    lines = table(("submission", "verdict", "reason"), rows, left=3) if rows else []
    # A name may have a line break, which must not begin another row.
    notes = [
        f"Note on {excerpt(one.name, name_width)}: {excerpt(note, MOST)}"
        for one in diagnosis.submissions
        for note in one.notes
    ]
    return [*lines, *([""] if lines else []), *notes, f"{diagnosis.summary()}."]


def terminal_width() -> int | None:
    """Return the number of columns of the terminal to which results are written; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class ClassDisplay(CountDisplay):
    """Shows how many submissions are judged, and the time left."""

    beginning = "reading the submissions"

    def take(self, done: int, total: int, one: "Judged") -> None:
        """Show a new verdict; `done` of `total` submissions are judged."""
        now = self._clock()
        left = (now - self._started) / done * (total - done)
        line = f"judged {count(done)} of {count(total)} submissions"
        if done < total:
            line += f", about {duration(left)} left"
        last = harmless(excerpt(f"{one.name}: {one.verdict}", NAME_WIDTH))
        self.show(line, done, total, now, f"; {last}")
