"""Reads the student's name from the file and folder names that course systems give to submissions.

Knows Moodle, Canvas, Gradescope, Brightspace and Blackboard. This module does not open submissions.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple


class Owner(NamedTuple):
    """Whose submission a file or a folder is.

    Attributes:
        student: the student's name, as the course system writes it.
        key: text that is equal for all files of a submission and differs between submissions.
        name: the name that the file had when it was handed in; "" for a folder.
    """

    student: str
    key: str
    name: str


# Moodle: "Ada Lovelace_123_assignsubmission_file_" is a folder, and a file has its name after that.
# Canvas: "lovelaceada_LATE_123_456_rnn.py".
# Blackboard: "Homework 1_alovelace_attempt_2026-11-30-10-15-00_rnn.py".
# Brightspace: "123-456 - Ada Lovelace - Nov 30, 2026 1015 AM" is a folder.
PATTERNS: Final = (
    re.compile(r"(?P<student>[^_]+)_(?P<key>\d+)_assignsubmission_[a-z]+_?(?P<name>.*)"),
    re.compile(r"(?P<student>[^_]+)_(?:LATE_)?(?P<key>\d+)_\d+_(?P<name>.+)"),
    re.compile(r"[^/]+?_(?P<student>[^_]+)_attempt_(?P<key>[\d-]{19})_?(?P<name>.*)"),
    re.compile(r"(?P<key>\d+-\d+) - (?P<student>.+?) - [^/]+(?P<name>)"),
)
GRADESCOPE_FOLDER: Final = re.compile(r"submission_\d+")
GRADESCOPE_NAMES: Final = "submission_metadata.yml"
MOST_METADATA: Final = 10_000_000  # bytes of a file with names that are read


def owner_of(name: str) -> Owner | None:
    """Return the owner of a file or folder with this name, or None if no course system names it so."""
    for pattern in PATTERNS:
        if found := pattern.fullmatch(name):
            return Owner(
                found["student"].strip(), f"{found['student']} {found['key']}", found["name"]
            )
    return None


def gradescope_names(folder: Path) -> dict[str, str]:
    """Return the students' names for the folders of an export from Gradescope.

    They are in a file of `folder`; without this file, return an empty dict. Students of one submission
    are joined with "and".
    """
    try:
        with (folder / GRADESCOPE_NAMES).open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_METADATA)
    except OSError:
        return {}
    names: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if found := re.match(r"[\"']?(submission_\d+)[\"']?:", line):
            current = found[1]
        elif current and (found := re.match(r"\s+(?:- )?:?name: *(.+)", line)):
            student = found[1].strip().strip("\"'")
            names[current] = f"{names[current]} and {student}" if current in names else student
    return names
