"""Collects why runs of a study failed, and their warnings: runs with equal settings and the same message are one note."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from charloom.formatting import listing
from charloom.studies.best_runs import settings_text
from charloom.studies.plan import PlannedRun
from charloom.studies.results import FAILED, RunResult
from charloom.studies.summary import Group, StudySummary

MOST_NUMBERS: Final = 8  # of runs or seeds that do not follow each other


class RunNote(NamedTuple):
    """What is said about runs that differ only in their seeds.

    Attributes:
        runs: the runs, in the order of the plan.
        settings: their settings, such as "cell gru, hidden_size 32"; "" if all runs of the study have the same.
        message: why they failed, or their warnings.
    """

    runs: Sequence[PlannedRun]
    settings: str
    message: str

    @property
    def name(self) -> str:
        """The runs with their settings, such as "runs 6 to 8 (cell gru, seeds 0 to 2)"."""
        s = "" if len(self.runs) == 1 else "s"
        numbers = numbers_text([run.number for run in self.runs])
        seeds = numbers_text([run.settings["seed"] for run in self.runs])
        about = ", ".join(part for part in (self.settings, f"seed{s} {seeds}") if part)
        return f"run{s} {numbers} ({about})"


def failure_notes(summary: StudySummary) -> list[RunNote]:
    """Return why runs of a study failed, in the order of the plan."""
    return notes_of(
        summary,
        lambda one: (one.reason or "no reason is known") if one.state == FAILED else None,
    )


def warning_notes(summary: StudySummary) -> list[RunNote]:
    """Return the warnings of the runs of a study, in the order of the plan."""
    return notes_of(summary, lambda one: " ".join(one.warnings) or None)


def notes_of(summary: StudySummary, message_of: Callable[[RunResult], str | None]) -> list[RunNote]:
    """Return the notes of a study, in the order of the plan.

    Args:
        summary: the results of the study.
        message_of: returns the message about a run with this result, or None.
    """
    found = [note for group in summary.groups for note in group_notes(group, summary, message_of)]
    return sorted(found, key=lambda note: note.runs[0].number)


def group_notes(
    group: Group, summary: StudySummary, message_of: Callable[[RunResult], str | None]
) -> list[RunNote]:
    """Return the notes of a group: one for each message."""
    said = {one.key: message for one in group.results if (message := message_of(one)) is not None}
    runs: dict[str, list[PlannedRun]] = {}
    for run in group.runs:
        if run.key in said:
            runs.setdefault(said[run.key], []).append(run)
    text = summary.texts[group.text] if len(summary.texts) > 1 else ""
    settings = ", ".join(part for part in (text, settings_text(group)) if part)
    return [RunNote(those, settings, message) for message, those in runs.items()]


def numbers_text(numbers: Sequence[int]) -> str:
    """Return numbers in words, such as "3", "6 to 8", "1, 5 and 9", or the first ones and how many more there are."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and list(numbers) == list(range(first, last + 1)):
        return f"{first} to {last}"
    words = [str(number) for number in numbers[:MOST_NUMBERS]]
    if len(numbers) > MOST_NUMBERS:
        words.append(f"{len(numbers) - MOST_NUMBERS:,} more")
    return listing(words)
