"""Computes what the server says about a study: its entry in the list, its table and its curves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from charloom.errors import CharloomError, DamagedError, NewerFormatError
from charloom.even_sample import EvenSample
from charloom.messages import for_page
from charloom.studies import Study, StudyProgress, StudySummary, summarize
from charloom.studies.results import FAILED, FINISHED, RunResult, merged
from charloom.studies.summary import Group, setting_text, settings_heads
from charloom.studies.worker_counts import living_workers
from charloom.web import schemas as wire
from charloom.web.runs_folder import Location
from charloom.web.watched_study import WRONG_VALUES, WatchedStudy

MOST_FAILURES: Final = 100
MOST_POINTS: Final = 500  # of a curve


@dataclass
class StudyFigures:
    """The figures of a study, which are computed again only if something new was read.

    Args:
        place: where the study is.
        watched: the study.
    """

    place: Location
    watched: WatchedStudy
    _counted: tuple[int, wire.StudyAbout, float] | None = None
    _summary: tuple[int, StudySummary] | None = None
    _curves: tuple[int, list[wire.StudyCurve]] | None = None

    def about(self, now: float) -> wire.StudyAbout:
        """Return the entry of the study in the list at the time `now`, in Unix time."""
        try:
            with checked_values():
                return self._about(now)
        except CharloomError as error:
            state: wire.StudyState = "newer" if isinstance(error, NewerFormatError) else "damaged"
            reason = without_path(for_page(error.message), self.watched.path)
            return self._empty().model_copy(update={"state": state, "reason": reason})

    def _about(self, now: float) -> wire.StudyAbout:
        """Do the same as `about` for a study that is not damaged."""
        counted, seconds = self._counts()
        done = counted.finished + counted.failed + counted.pruned
        left = counted.runs - done
        # Failed runs may be trained once more, so processes can work although every run has a result.
        most = left + counted.failed
        running = min(most, living_workers(self.watched.path, now)) if most else 0
        worked = seconds / max(running, 1)
        progress = StudyProgress(
            counted.runs, counted.finished, counted.failed, done, worked, counted.pruned
        )
        state: wire.StudyState = "finished" if not left else "interrupted" if done else "planned"
        return counted.model_copy(
            update={
                "state": "training" if running else state,
                "running": running,
                "seconds_left": progress.seconds_left if running else None,
                "damage": self.watched.damage,
                "reading": self.watched.unread,
                "changed": self.watched.changed,
            }
        )

    def _empty(self) -> wire.StudyAbout:
        """Return an entry without numbers."""
        return wire.StudyAbout(
            key=self.place.key,
            name=self.place.name.rpartition("/")[2],
            path=self.place.name,
            state="planned",
            damage=self.watched.damage,
            reading=self.watched.unread,
            changed=self.watched.changed,
        )

    def _counts(self) -> tuple[wire.StudyAbout, float]:
        """Return the entry without what depends on processes, and the seconds of all runs with a result."""
        if self._counted is None or self._counted[0] != self.watched.version:
            study = self.watched.study()
            results = list(study.results().values())
            finished = [one for one in results if one.state == FINISHED]
            failed = sum(one.state == FAILED for one in results)
            counted = self._empty().model_copy(
                update={
                    "search": study.header.search is not None,
                    "runs": len(study.plan) + study.trials_left,
                    "finished": len(finished),
                    "failed": failed,
                    "pruned": len(results) - len(finished) - failed,
                    "best_bits": min(
                        (one.bits for one in finished if one.bits is not None), default=None
                    ),
                    "unit": "byte" if study.header.tokens == "bytes" else "character",
                }
            )
            self._counted = (self.watched.version, counted, sum(one.seconds for one in results))
        return self._counted[1], self._counted[2]

    def detail(self, now: float, rows: int) -> wire.StudyDetail:
        """Return the study with its table and its curves.

        Args:
            now: the time, in Unix time.
            rows: the largest number of rows of the table.
        """
        about = self.about(now)
        if about.state in ("damaged", "newer"):
            return wire.StudyDetail(study=about)
        with checked_values():
            summary = self.summary()
            return wire.StudyDetail(
                study=about,
                heads=settings_heads(summary),
                validated=summary.validated,
                caution=summary.caution,
                groups=[group_row(group, summary) for group in summary.groups[:rows]],
                total=len(summary.groups),
                failures=failures_of(summary),
                curves=self._best_curves(summary),
            )

    def summary(self) -> StudySummary:
        """Return the results of the study."""
        if self._summary is None or self._summary[0] != self.watched.version:
            self._summary = (self.watched.version, summarize(self.watched.study()))
        return self._summary[1]

    def _best_curves(self, summary: StudySummary) -> list[wire.StudyCurve]:
        """Return the curves of the best groups, whose results are read again for this."""
        if self._curves is None or self._curves[0] != self.watched.version:
            from charloom.studies.study_page import MOST_CURVES  # imports matplotlib

            groups = [group for group in summary.groups if group.bits][:MOST_CURVES]
            keys = [result.key for group in groups for result in group.results]
            whole = merged(self.watched.whole_results(keys))
            lines = [curve_of(group, summary, whole) for group in groups]
            self._curves = (self.watched.version, [line for line in lines if line is not None])
        return self._curves[1]

    def whole_study(self) -> Study:
        """Return the study with all curves, for its report.

        Raises:
            CharloomError: the study is damaged.
        """
        with checked_values():
            return self.watched.whole_study()


@contextmanager
def checked_values() -> Iterator[None]:
    """Raise DamagedError if the files of a study have values that charloom does not write."""
    try:
        yield
    except WRONG_VALUES as error:
        raise DamagedError(f"a file of the study is damaged: {error}.") from error


def group_row(group: Group, summary: StudySummary) -> wire.StudyGroup:
    """Return a row of the table."""
    return wire.StudyGroup(
        settings=settings_of(group, summary),
        runs=len(group.runs),
        finished=len(group.bits),
        failed=group.failed,
        pruned=group.pruned,
        mean=group.mean,
        deviation=group.deviation,
        interval=group.interval,
        seconds=group.seconds,
    )


def settings_of(group: Group, summary: StudySummary) -> list[str]:
    """Return the settings of a group as text, and its text if there are several."""
    text = [summary.texts[group.text]] if len(summary.texts) > 1 else []
    return [*text, *(setting_text(group.settings.get(name)) for name in summary.varied)]


def failures_of(summary: StudySummary) -> list[wire.StudyFailure]:
    """Return the first runs that failed, with the reasons."""
    groups = {run.key: group for group in summary.groups if group.failed for run in group.runs}
    return [
        wire.StudyFailure(
            run=run.number,
            settings=settings_of(groups[run.key], summary),
            seed=setting_text(run.settings.get("seed")),
            reason=for_page(result.reason or "no reason is known"),
        )
        for run, result in summary.failures[:MOST_FAILURES]
    ]


def curve_of(
    group: Group, summary: StudySummary, whole: dict[str, RunResult]
) -> wire.StudyCurve | None:
    """Return the curve of a group, thinned; None if it has none. `whole` has the results with their curves."""
    from charloom.studies.study_page import curve_line  # imports matplotlib

    results = tuple(whole[result.key] for result in group.results if result.key in whole)
    field = "validation_nats" if summary.validated else "train_nats"
    line = curve_line(replace(group, results=results), summary, field)
    if line is None:
        return None
    sample: EvenSample[int] = EvenSample(MOST_POINTS)
    for n in range(len(line.x)):
        sample.add(n)
    kept = sample.kept()
    return wire.StudyCurve(
        name=line.label,
        updates=[line.x[n] for n in kept],
        mean=[line.y[n] for n in kept],
        low=[line.low[n] for n in kept],
        high=[line.high[n] for n in kept],
    )


def without_path(message: str, path: Path) -> str:
    """Return a message without the path of the study, which other machines should not learn."""
    return message.replace(f"{path}{os.sep}", "").replace(str(path), path.name)
