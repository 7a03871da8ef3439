"""Shows the progress and the results of a study on the terminal, and as JSON."""

from typing import TYPE_CHECKING, Any

from charloom.cli.count_display import CountDisplay
from charloom.formatting import count, counted, duration

if TYPE_CHECKING:
    from charloom.studies import Study, StudyProgress
    from charloom.studies.summary import StudySummary


class StudyDisplay(CountDisplay):
    """Shows how many runs are done, and the time left."""

    def take(self, progress: "StudyProgress") -> None:
        """Show how far the study is."""
        if progress.message is not None:
            self.say_above(progress.message)
        done = progress.runs - progress.left
        self.show(progress_line(progress), done, progress.runs, self._clock())


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
    about = f"bits per {summary.unit}, {summary.measured}; {runs_line(study, summary)}"
    return [*lines, "", about, *([summary.caution] if summary.caution else [])]


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
                "warned": group.warned,
                "mean_bits": group.mean,
                "deviation": group.deviation,
                "interval": group.interval,
                "seconds": group.seconds,
            }
            for group in summary.groups
        ],
        "failures": [
            {
                "run": run.number,
                "key": run.key,
                "settings": run.settings,
                "reason": result.reason,
            }
            for run, result in summary.failures
        ],
        "warnings": [
            {
                "run": run.number,
                "key": run.key,
                "settings": run.settings,
                "warnings": list(result.warnings),
            }
            for run, result in summary.warned
        ],
    }
