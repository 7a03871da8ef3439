"""Shows the progress and the results of a study on the terminal, and as JSON."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from charloom.cli.terminal import LINE_SECONDS, say
from charloom.formatting import count, counted, duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from charloom.studies import Study, StudyProgress
    from charloom.studies.summary import StudySummary


class StudyDisplay:
    """Shows how many runs are done, and the time left.

    A terminal shows one line that is updated. Without a terminal, a line is printed every few seconds.

    Args:
        clock: function that returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + LINE_SECONDS
        self._bar = self._made_bar() if sys.stderr.isatty() else None

    def __enter__(self) -> "StudyDisplay":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def take(self, progress: "StudyProgress") -> None:
        """Show how far the study is."""
        line = progress_line(progress)
        if progress.message is not None:
            self._say(progress.message)
        if self._bar is not None:
            done = progress.runs - progress.left
            self._bar.update(self._task, completed=done, total=progress.runs, description=line)
        elif self._clock() >= self._next and progress.left:
            self._next = self._clock() + LINE_SECONDS
            say(line)

    def _say(self, message: str) -> None:
        """Show a message above the line of a terminal."""
        if self._bar is None:
            say(message)
        else:
            self._bar.console.print(f"charloom: {message}", markup=False, highlight=False)

    @staticmethod
    def _made_bar() -> "Bar":
        """Return the line for a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            BarColumn(bar_width=20),
            TextColumn("charloom: {task.description}", markup=False),
        )
        return Progress(*columns, console=Console(stderr=True), transient=True)


def progress_line(progress: "StudyProgress") -> str:
    """Return how far a study is, such as "120 of 400 runs done, 1 failed, about 12 s left"."""
    line = f"{count(progress.finished + progress.pruned)} of {count(progress.runs)} runs done"
    if progress.pruned:
        line += f", {count(progress.pruned)} of them pruned"
    if progress.failed:
        line += f", {count(progress.failed)} failed"
    if progress.left and progress.seconds_left is not None:
        line += f", about {duration(progress.seconds_left)} left"
    return line


def study_lines(study: "Study", summary: "StudySummary", most: int) -> list[str]:
    """Return the table of a study with at most `most` rows, and a line about the runs."""
    from charloom.studies.summary import text_of

    lines = text_of(summary, most)
    if len(summary.groups) > most:
        lines.append(f"… {count(len(summary.groups) - most)} more rows; --all shows them.")
    on = (
        "the lowest on the validation part"
        if summary.validated
        else "of the training text at the end"
    )
    return [*lines, "", f"bits per {summary.unit}, {on}; {runs_line(study, summary)}"]


def runs_line(study: "Study", summary: "StudySummary") -> str:
    """Return how many runs are done, such as "15 runs finished, 1 failed, 4 left"."""
    finished = sum(len(group.bits) for group in summary.groups)
    failed = sum(group.failed for group in summary.groups)
    pruned = sum(group.pruned for group in summary.groups)
    left = len(study.plan) - finished - failed - pruned + study.trials_left
    line = f"{counted(finished, 'run')} finished"
    line += f", {count(pruned)} pruned" if pruned else ""
    line += f", {count(failed)} failed" if failed else ""
    return line + (f", {count(left)} left." if left else ".")


def summary_fields(study: "Study", summary: "StudySummary") -> dict[str, Any]:
    """Return the results of a study as plain data."""
    return {
        "study": str(study.path),
        "runs": len(study.plan) + study.trials_left,
        "finished": sum(len(group.bits) for group in summary.groups),
        "failed": len(summary.failures),
        "pruned": sum(group.pruned for group in summary.groups),
        "bits_on": "validation" if summary.validated else "training",
        "groups": [
            {
                "text": summary.texts[group.text],
                "settings": group.settings,
                "runs": len(group.runs),
                "finished": len(group.bits),
                "failed": group.failed,
                "pruned": group.pruned,
                "mean_bits": group.mean,
                "deviation": group.deviation,
                "interval": group.interval,
                "seconds": group.seconds,
            }
            for group in summary.groups
        ],
        "failures": [
            {"run": run.number, "key": run.key, "reason": result.reason}
            for run, result in summary.failures
        ],
    }
