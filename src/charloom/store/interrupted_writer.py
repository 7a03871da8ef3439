"""Removes temporary files that an interrupted process left in a run, and moves unreadable events aside."""

from collections.abc import Sequence
from pathlib import Path

from charloom.run_file_names import (
    CHECKPOINTS,
    CONFIG,
    DAMAGED_EVENTS,
    EVENTS,
    GRADCHECK,
    LEARNING_RATES,
    PASSAGE,
    STATUS,
    TEXT,
)
from charloom.store.atomic_files import read_file, remove_temporaries, replace_file
from charloom.store.resume_plan import ResumePlan
from charloom.temporary_names import ABANDONED_SECONDS


def clean_up(plan: ResumePlan) -> dict[str, int]:
    """Remove the temporary files that an interrupted process left in a run.

    Also move unreadable lines of events.jsonl to damaged-events.jsonl.

    Returns:
        How many bytes of each journal (records, samples and events) to keep, by file name.

    Raises:
        DamagedError: damaged-events.jsonl is not a plain file.
        WriteError: the disk failed.
    """
    path, lines = plan.inspection.path, plan.inspection.lines
    for name in (CONFIG, STATUS, TEXT, GRADCHECK, LEARNING_RATES, PASSAGE):
        remove_temporaries(path, name)
    remove_temporaries(path / CHECKPOINTS)
    # Other processes may be writing control.json or a report, so only old temporary files are removed.
    remove_temporaries(path, older_than=ABANDONED_SECONDS)
    lengths = {name: end.length for name, end in plan.journals.items()}
    lengths[EVENTS] = 0 if lines is None else sum(map(len, lines.sound))
    if lines is not None and lines.broken:
        set_aside_events(path, lines.sound, lines.broken)
    return lengths


def set_aside_events(path: Path, sound: Sequence[bytes], broken: Sequence[bytes]) -> None:
    """Move the unreadable lines of events.jsonl to damaged-events.jsonl, so that nothing is lost.

    Args:
        path: the run directory.
        sound: the readable lines, which stay in events.jsonl.
        broken: the unreadable lines.

    Raises:
        DamagedError: damaged-events.jsonl is not a plain file.
        WriteError: the disk failed.
    """
    before = read_file(path / DAMAGED_EVENTS) or b""
    for name, kept in ((DAMAGED_EVENTS, [before, *broken]), (EVENTS, sound)):
        replace_file(path / name, b"".join(kept))
