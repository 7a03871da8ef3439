"""Reads a run for a comparison: its settings, its figures, the points of its curves, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.config import Config
from charloom.errors import CharloomError
from charloom.even_sample import EvenSample
from charloom.formatting import bits_per_character, count, counted
from charloom.report.records import OrderedRecords, Record, Records, gather
from charloom.report.writer import end_of
from charloom.run_file_names import METRICS
from charloom.store import RunInspection, RunSummary, inspect_run
from charloom.store.intact_checkpoints import IntactCheckpoints
from charloom.store.journal_lines import is_record
from charloom.store.journal_objects import sound_objects
from charloom.store.model_start import START_NATS, read_start_losses
from charloom.store.run_settings import RunSettings, schedule_of
from charloom.store.run_summary import summarize_run, summary_of
from charloom.text.windows import Segment
from charloom.training.divergence_message import runs_away
from charloom.training.start_message import bad_reading

MOST_POINTS: Final = 1_000  # of the curve of the smooth loss

# The text and the part of it on which a validation loss was computed: the fingerprint of the text, its length, the unit
# of prediction, and the segments of the part.
ValidationPart = tuple[str, int, str, tuple[Segment, ...]]


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run of a comparison. A value that is not known is None.

    Attributes:
        summary: the state, the settings and the loss of the run, as a list of runs shows them.
        settings: the contents of config.json.
        engine: the engine that trained last.
        best: the update of the best checkpoint; None if there is none.
        last: the last record.
        curve: records that are spread evenly over the run, for the smooth loss.
        judged: records with a validation loss, in the order of their updates, including the best and the last.
        train_nats: the training loss of the run (`TrainingLoss`) in nats per character.
        findings: what users must know about the run, as clauses without its name, such as "is not finished". What is
            damaged is in `summary.problems`.
        start_problem: a message that the model predicts badly from the zero state, in which the validation part is read.
    """

    summary: RunSummary
    settings: RunSettings | None = None
    engine: str | None = None
    best: int | None = None
    last: Record | None = None
    curve: Sequence[Record] = ()
    judged: Sequence[Record] = ()
    train_nats: float | None = None
    findings: tuple[str, ...] = ()
    start_problem: str | None = None

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.summary.path

    @property
    def config(self) -> Config | None:
        """The settings of the run; None if they cannot be read."""
        return None if self.settings is None else self.settings.config

    @property
    def seconds(self) -> float | None:
        """The seconds that training took up to the last record; None without a record."""
        return None if self.last is None else self.last.seconds

    @property
    def bits_on(self) -> str | None:
        """What the bits of the run were computed on: "validation" or "training"; None without a record."""
        if self.judged:
            return "validation"
        return None if self.train_nats is None else "training"

    @property
    def recorded_bits(self) -> float | None:
        """The bits per character that the run recorded; None without a record.

        They are the validation loss of the best checkpoint or, before the first validation loss and without a
        validation part, the training loss of the last complete epoch.
        """
        if self.judged and self.summary.best_bits is not None:
            return self.summary.best_bits
        nats = self.judged[-1].validation_nats if self.judged else self.train_nats
        return None if nats is None else bits_per_character(nats)

    @property
    def validation_part(self) -> ValidationPart | None:
        """What the validation loss was computed on; None if the run has no validation part."""
        if self.settings is None or not self.settings.config.validation:
            return None
        config, text, schedule = (
            self.settings.config,
            self.settings.text,
            schedule_of(self.settings),
        )
        if schedule is None:
            return None
        segments = schedule.windows.parts["validation"]
        return text.fingerprint, text.characters, config.tokens, segments


def read_compared_run(path: Path, known: IntactCheckpoints | None = None) -> ComparedRun:
    """Return a run for a comparison. Damage is described in its summary and raises no error.

    `known` are checkpoints that are known to be intact and not checked again; None checks all.
    """
    try:
        view = inspect_run(path, known)
        summary = summary_of(view, None, None)
        records, curve = gathered(view)
    except CharloomError:
        summary = summarize_run(path)
        return ComparedRun(summary=summary)
    return ComparedRun(
        summary=summary,
        settings=view.found_settings,
        engine=view.engine,
        best=view.best,
        last=None if records is None else records.last,
        curve=curve,
        judged=() if records is None else records.judged,
        train_nats=None if records is None else records.training.nats,
        findings=tuple(findings_of(view, summary, records)),
        start_problem=bad_reading(read_start_losses(end_of(view).get(START_NATS))),
    )


def gathered(view: RunInspection) -> tuple[Records | None, Sequence[Record]]:
    """Return figures from the records of a run, and records that are spread evenly over it."""
    spread: EvenSample[Record] = EvenSample(MOST_POINTS)

    def passing() -> Iterator[Record]:
        # The summary of the run already describes damaged and lost lines.
        lines = sound_objects(view.path / METRICS, is_record, [], saved=view.lengths)
        for record in OrderedRecords(map(Record.of, lines)):
            spread.add(record)
            yield record

    records = gather(passing())
    return records, spread.kept()


def findings_of(view: RunInspection, summary: RunSummary, records: Records | None) -> list[str]:
    """Return clauses that say what users must know about a run before they compare it with others."""
    found: list[str] = []
    if view.found_settings is None:
        return found
    if records is None:
        found.append("has no record yet")
    elif summary.state != "finished":
        done = counted(summary.update or records.last.update, "update")
        of = "" if summary.updates is None else f" of {count(summary.updates)}"
        found.append(f"is not finished ({summary.state} after {done}{of})")
    if records is not None and diverged(view, records):
        found.append("diverged: it predicts worse than a uniform guess")
    if records is not None and records.overfitting is not None:
        found.append(
            f"overfits: its validation loss was lowest at update {count(records.overfitting.update)} and has risen since"
        )
    return found


def diverged(view: RunInspection, records: Records) -> bool:
    """Return True if the last training loss of a run is far above that of a uniform guess."""
    settings = view.found_settings
    return settings is not None and runs_away(
        records.last.train_nats, settings.text.vocabulary_size
    )
