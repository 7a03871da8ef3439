"""Makes the pages of a class: a table of all submissions, and a page for each of them."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Final

from charloom.diagnosis.class_result import DiagnosedClass, Judged
from charloom.errors import ConfigError
from charloom.formatting import capitalized, count, duration, scientific
from charloom.messages import for_python
from charloom.report.html_page import page
from charloom.report.page_data import ClassRow, KeyFigure
from charloom.store import charloom_version, replace_file

INDEX: Final = "index.html"
LONGEST_FILE_NAME: Final = 60  # characters of a student's name in the name of a file


def write_class(
    diagnosis: DiagnosedClass, folder: str | Path, spell: Callable[[str], str] = for_python
) -> Path:
    """Write the page with the table, and a page for each submission.

    Args:
        diagnosis: the result of `charloom.doctor_class`, with pages.
        folder: the directory for the pages; it is created if it does not exist.
        spell: replaces the placeholders of arguments and commands in a message by their names in one
            interface; by default those of the Python interface.

    Returns:
        The path of the page with the table.

    Raises:
        ConfigError: `folder` is a file, or its parent directory does not exist.
        WriteError: a file cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; the pages of a class need a directory.")
    if not folder.absolute().parent.is_dir():
        raise ConfigError(
            f"{folder.name} cannot be created: the directory {folder.parent} does not exist; create it."
        )
    folder.mkdir(exist_ok=True)
    names = [file_name(number, one) for number, one in enumerate(diagnosis.submissions, start=1)]
    for name, one in zip(names, diagnosis.submissions, strict=True):
        html = one.page_for(spell) or render_error(one, spell)
        replace_file(folder / name, html.encode("utf-8", "replace"), durable=False)
    html = render_class(diagnosis, names, spell)
    replace_file(folder / INDEX, html.encode("utf-8", "replace"), durable=False)
    return folder / INDEX


def file_name(number: int, one: Judged) -> str:
    """Return the name of the file for the page of a submission, such as 03-ada-lovelace.html."""
    ascii_name = unicodedata.normalize("NFKD", one.name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:LONGEST_FILE_NAME]
    return f"{number:02d}-{words or 'submission'}.html"


def render_class(
    diagnosis: DiagnosedClass, names: list[str], spell: Callable[[str], str] = for_python
) -> str:
    """Return the page with the table as HTML; `names` has the files of the submissions' pages."""
    figures = [
        KeyFigure(
            "Submissions", count(len(diagnosis.submissions)), [f"in {duration(diagnosis.seconds)}"]
        )
    ]
    figures += [
        KeyFigure(capitalized(verdict), count(number), [])
        for verdict, number in diagnosis.counts.items()
    ]
    if diagnosis.unjudged:
        figures.append(KeyFigure("Not judged", count(len(diagnosis.unjudged)), ["interrupted"]))
    rows = [
        class_row(one, name, spell) for one, name in zip(diagnosis.submissions, names, strict=True)
    ]
    return page(
        "class.html",
        figures=figures,
        rows=rows,
        unjudged=list(diagnosis.unjudged),
        version=charloom_version(),
    )


def class_row(one: Judged, name: str, spell: Callable[[str], str]) -> ClassRow:
    """Return the row of a submission in the table; `name` is the file of its page."""
    largest = one.largest_error
    return ClassRow(
        link=name,
        name=one.name,
        file="" if one.file == f"{one.name}.py" else one.file,
        verdict=one.verdict,
        passed=one.passed,
        reason=one.reason_for(spell),
        mistakes=", ".join((*one.faults, *one.differences)),
        notes=list(map(spell, one.notes)),
        largest="" if largest is None else scientific(largest),
        seconds=duration(one.seconds),
    )


def render_error(one: Judged, spell: Callable[[str], str] = for_python) -> str:
    """Return the page of a submission that has no diagnosis as HTML."""
    return page(
        "class_error.html",
        back=INDEX,
        name=one.name,
        verdict=one.verdict,
        reason=one.reason_for(spell),
        error=spell(one.error or one.headline),
        file=one.file,
        notes=list(map(spell, one.notes)),
    )
