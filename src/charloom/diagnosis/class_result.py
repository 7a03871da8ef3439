"""Holds the verdicts on the submissions of a class as plain data, and the sentences that summarise them.

This module knows no files, processes, pages or terminals.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from charloom.formatting import capitalized, counted, duration, excerpt, listing
from charloom.messages import for_python, spelled_for, spelled_in_html
from charloom.notebook_html import card, sentence, table

ERROR: Final = "error"  # verdict on a submission that could not be judged
# How a submission can be separated from the system, the weakest first: it only has limits; Landlock forbids it
# other files and processes; or it has namespaces of its own, in which it sees no others.
SEPARATIONS: Final = ("limits", "landlock", "namespaces")
# How a reason begins that is a sentence, and not with the name of a file or a function.
BEGINS_A_SENTENCE: Final = re.compile(r"(the|an?|no|this|your|making) ")
LONGEST_REASON: Final = 300  # characters of a reason
PLACE: Final = re.compile(r'  File (".*", [\w ,]*line \d+)')  # a line of a traceback


@dataclass(frozen=True, repr=False)
class Judged:
    """The verdict on one submission.

    Attributes:
        name: the student's name, or the name of the file or folder.
        file: the checked file, by its path in the submission; "" if there is none.
        function: the name of the checked function; None if none was given.
        verdict: the verdict of `charloom.doctor`, such as "right", or "error" if there is none.
        passed: whether the submission passes.
        mistakes: the ids of the mistakes that were found, likeliest first.
        headline: the verdict in a sentence; "" if there is none.
        error: why the submission could not be judged; "" if it was judged. It may have several lines.
        notes: sentences for the teacher.
        seconds: how long it took.
        diagnosis: the diagnosis as plain data (`Diagnosis.to_dict`); None if there is none.
        separation: how the submission was separated from the system, one of `SEPARATIONS`; "" if it did not
            run.
        marked_page: the diagnosis as an HTML page, with placeholders for names of arguments; "" if none was
            requested, or there is no diagnosis.
    """

    name: str
    file: str
    function: str | None
    verdict: str
    passed: bool
    mistakes: tuple[str, ...] = ()
    headline: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    diagnosis: dict[str, Any] | None = None
    separation: str = ""
    marked_page: str = ""

    def __repr__(self) -> str:
        return f"<{self.name}: {self.verdict}>"

    @property
    def marked_reason(self) -> str:
        """Why the submission has its verdict, with placeholders for names of arguments."""
        reason = self.headline or main_line(self.error)
        return capitalized(reason) if BEGINS_A_SENTENCE.match(reason) else reason

    @property
    def reason(self) -> str:
        """Why the submission has its verdict, on one line."""
        return self.reason_for(for_python)

    def reason_for(self, spell: Callable[[str], str]) -> str:
        """Return why the submission has its verdict, on one line. `spell` replaces the placeholders."""
        return excerpt(spell(self.marked_reason), LONGEST_REASON)

    @property
    def page(self) -> str:
        """The diagnosis as an HTML page; "" if none was requested, or there is no diagnosis."""
        return self.page_for(for_python)

    def page_for(self, spell: Callable[[str], str]) -> str:
        """Return the diagnosis as an HTML page. `spell` replaces the placeholders."""
        return spelled_in_html(self.marked_page, spell)

    @property
    def differences(self) -> tuple[str, ...]:
        """The ids of the differences of the submission's network from the specification.

        If its gradients are right, what it does to them, such as clipping, is a difference too.
        """
        if not self.diagnosis:
            return ()
        found = list(self.diagnosis["network"])
        if self.verdict != "wrong" and self.diagnosis["explanations"]:
            found += self.diagnosis["explanations"][0]
        return tuple(dict.fromkeys(one["id"] for one in found))

    @property
    def faults(self) -> tuple[str, ...]:
        """The ids in `mistakes` that are not differences of a submission whose gradients are right."""
        return tuple(one for one in self.mistakes if one not in self.differences)

    @property
    def largest_error(self) -> float | None:
        """The largest norm-relative error of a gradient or the loss; None if it is not known."""
        rows = self.diagnosis["rows"] if self.diagnosis else []
        errors = [row["norm_relative"] for row in rows]
        return max((error for error in errors if error is not None), default=None)

    def to_dict(self, spell: Callable[[str], str] = for_python) -> dict[str, Any]:
        """Return the verdict as plain data. `spell` replaces the placeholders in messages."""
        fields = {name: value for name, value in vars(self).items() if name != "marked_page"}
        fields |= {"mistakes": list(self.mistakes), "notes": list(self.notes)}
        fields |= {"reason": self.marked_reason, "differences": list(self.differences)}
        result: dict[str, Any] = spelled_for(fields, spell)
        return result


def main_line(error: str) -> str:
    """Return the cause in an error message: the exception of a traceback and its place, or the first line.

    A first line that ends with a colon is followed by the list below it.
    """
    lines = error.splitlines() or [""]
    inner = list(takewhile(lambda line: line.startswith((" ", "\t")), lines[1:]))
    places = [found[1] for line in inner if (found := PLACE.match(line))]
    if places and len(lines) > 1 + len(inner):
        return f"{lines[1 + len(inner)]} ({places[-1].replace(chr(34), '')})"
    if not lines[0].endswith(":"):
        return lines[0]
    listed = "; ".join(line.strip() for line in inner) if inner else "".join(lines[1:2])
    return f"{lines[0]} {listed}"


@dataclass(frozen=True, repr=False)
class DiagnosedClass:
    """The verdicts on the submissions of a class, the result of `charloom.doctor_class`.

    A notebook shows it as a table.

    Attributes:
        submissions: the verdicts, sorted by the names of the submissions.
        unjudged: the names of the submissions that were not judged, because the work was interrupted.
        seconds: how long it took.
    """

    submissions: tuple[Judged, ...]
    unjudged: tuple[str, ...] = ()
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"<{self.summary()}>"

    def _repr_html_(self) -> str:
        rows = [(one.name, one.verdict, one.reason) for one in self.submissions]
        return card(
            "Diagnosis of a class",
            sentence(self.summary()),
            table(("submission", "verdict", "reason"), rows),
        )

    @property
    def passed(self) -> bool:
        """Whether every submission was judged and passes."""
        return not self.unjudged and all(one.passed for one in self.submissions)

    @property
    def separation(self) -> str:
        """The weakest separation of a submission from the system (`SEPARATIONS`); "" if none ran."""
        kinds = {one.separation for one in self.submissions}
        return next((kind for kind in SEPARATIONS if kind in kinds), "")

    @property
    def counts(self) -> dict[str, int]:
        """The number of submissions with each verdict, the most frequent verdict first."""
        verdicts = [one.verdict for one in self.submissions]
        return dict(
            sorted(((v, verdicts.count(v)) for v in set(verdicts)), key=lambda p: (-p[1], p[0]))
        )

    def summary(self) -> str:
        """Return the numbers of verdicts in a sentence without a full stop."""
        parts = [f"{number} {verdict}" for verdict, number in self.counts.items()]
        counts = f": {listing(parts)}" if parts else ""
        left = f"; {len(self.unjudged)} not judged" if self.unjudged else ""
        number = counted(len(self.submissions), "submission")
        return f"{number} in {duration(self.seconds)}{counts}{left}"

    def to_dict(self, spell: Callable[[str], str] = for_python) -> dict[str, Any]:
        """Return the verdicts as plain data. `spell` replaces the placeholders in messages."""
        return {
            "submissions": [one.to_dict(spell) for one in self.submissions],
            "counts": self.counts,
            "passed": self.passed,
            "unjudged": list(self.unjudged),
            "separation": self.separation,
            "seconds": self.seconds,
        }


HEADINGS: Final = (
    "submission",
    "verdict",
    "mistakes",
    "differences",
    "reason",
    "largest error",
    "file",
    "seconds",
    "notes",
)


def row_of(one: Judged, spell: Callable[[str], str] = for_python) -> tuple[str, ...]:
    """Return the cells of a submission in a table with `HEADINGS`."""
    largest = one.largest_error
    return (
        one.name,
        one.verdict,
        ", ".join(one.faults),
        ", ".join(one.differences),
        one.reason_for(spell),
        "" if largest is None else f"{largest:.1e}",
        one.file,
        f"{one.seconds:.1f}",
        " ".join(map(spell, one.notes)),
    )


def in_order(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """Return the verdicts sorted by the names of the submissions."""
    return tuple(sorted(judged, key=lambda one: one.name.casefold()))
