"""Reads a whole run into memory, and raises an error for any damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.config import Config
from charloom.model.schedule import Schedule
from charloom.run_file_names import BEST, CHECKPOINTS, EVENTS, LATEST, METRICS, SAMPLES
from charloom.store.atomic_files import reading
from charloom.store.control_files import Status
from charloom.store.damage import attempt, intact
from charloom.store.journal import read_lines
from charloom.store.journal_lengths import SavedLengths, saved_lengths
from charloom.store.journal_lines import is_event
from charloom.store.journal_objects import sound_objects
from charloom.store.run_checkpoints import RunCheckpoints
from charloom.store.run_inspection import inspect_head, read_passage
from charloom.store.run_settings import TextDescription, read_settings, schedule_of


@dataclass(frozen=True, kw_only=True)
class RunView:
    """The contents of a run directory as plain data.

    Attributes:
        path: the directory.
        config: the settings.
        text: the description of the text.
        version: the version of charloom that created the run.
        events: the events, one dict each.
        status: the contents of status.json; None if the file is missing or damaged.
        passage: the long sample at the end of the run; None if the run has not written it.
        latest: the update of the latest checkpoint; None if the run has not saved one.
        best: the update of the best checkpoint; None if the run has no best checkpoint.
        metrics: the records, one dict each.
        samples: the samples, one dict each.
    """

    path: Path
    config: Config
    text: TextDescription
    version: str
    events: Sequence[Mapping[str, Any]]
    status: Status | None
    passage: str | None
    latest: int | None
    best: int | None
    metrics: Sequence[Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]]

    @property
    def updates(self) -> int:
        """The number of updates that the finished run will have."""
        return Schedule.of(self.config, self.text.characters).updates


def read_run(path: str | Path) -> RunView:
    """Read all files of a run directory into memory, and return their contents.

    Raises:
        NotAModelError: the path is not a run directory.
        NewerFormatError: a later version of charloom wrote a file in it.
        ReadError: the disk failed while reading.
        DamagedError: a file in it is damaged.
    """
    path = Path(path)
    head = inspect_head(path)
    settings = head.require_settings()
    events = read_lines(path / EVENTS)
    with reading(path):
        passage = read_passage(path)
    for name in (LATEST, BEST):
        if name in head.problems:
            head.problems[name].refuse()
    return RunView(
        path=path,
        config=settings.config,
        text=settings.text,
        version=settings.version,
        events=events,
        status=head.status,
        passage=passage,
        latest=head.latest,
        best=head.best,
        metrics=read_lines(path / METRICS),
        samples=read_lines(path / SAMPLES),
    )


def lengths_at(run: Path) -> SavedLengths | None:
    """Return the lengths that a run's journals had when the newest checkpoint was saved.

    A checkpoint is skipped if its state.json is damaged. Returns None if no checkpoint is left.

    Raises:
        ReadError: the disk failed while reading.
    """
    checkpoints = RunCheckpoints(run / CHECKPOINTS)
    latest = intact(attempt(lambda: checkpoints.pointer(LATEST)))
    events = list(sound_objects(run / EVENTS, is_event, []))
    schedule = schedule_of(intact(attempt(lambda: read_settings(run))))
    return saved_lengths(checkpoints, latest, events, schedule)
