"""Compares runs: which settings differ, how well their models predict, and how long they took.

The terminal, notebooks, the page and the picture show this one comparison.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from charloom.api.compared_run import ComparedRun
from charloom.api.comparison_intervals import BitsDifference, ValidationBits, difference
from charloom.api.comparison_layout import comparison_lines
from charloom.api.comparison_notes import notes_of
from charloom.api.comparison_svg import curves_svg
from charloom.api.run_rows import progress
from charloom.api.setting_differences import (
    differing_settings,
    labels_of,
    names_of,
    settings_of,
    shown_value,
    titles_of,
)
from charloom.api.text_arguments import as_path
from charloom.config import require_one_of
from charloom.errors import ConfigError
from charloom.formatting import UNKNOWN, count, counted
from charloom.messages import argument, for_python
from charloom.notebook_html import card, sentence, table
from charloom.report.comparison_curves import COMPARISON_AXES, ComparedCurve

BITS_DIGITS: Final = 4  # decimals of bits
MOST_COLUMNS: Final = 9  # of a table with a row for each run, in a notebook
LARGE_BITS: Final = 100.0  # from here on, bits are shown as whole numbers
SEED: Final = f"The intervals are about other texts like this one. They leave out what another {argument('seed')} would change."
COMPARISON_WIDTH: Final = 80  # of a table in a terminal


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Runs side by side. A terminal and a notebook show it as a table; `save_picture` draws the curves.

    Attributes:
        runs: the runs in the order in which they were given.
        evaluations: the bits of each run's model on its whole validation part; None if it was not evaluated.
        remarks: sentences about the evaluations of runs, by the index of the run.
    """

    runs: Sequence[ComparedRun]
    evaluations: Sequence[ValidationBits | None]
    remarks: dict[int, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """A short name of each run."""
        return names_of(self.runs)

    @cached_property
    def labels(self) -> list[str]:
        """A label of each run, which names it by the settings that differ."""
        return labels_of(self.runs)

    @cached_property
    def titles(self) -> list[str]:
        """The name of each run with the settings that differ; if many do, with those that most runs do not have."""
        return titles_of(self.runs)

    @cached_property
    def settings(self) -> list[str]:
        """The names of the settings that differ, with "text" and "vocabulary" if these differ."""
        return differing_settings(self.runs)

    @cached_property
    def notes(self) -> list[str]:
        """Sentences about what is unfinished, damaged or not comparable, with marks (`charloom.messages`)."""
        same = not self.settings and len(self.runs) > 1 and all(run.settings for run in self.runs)
        first = ["The runs do not differ in any setting."] if same else []
        seed = [SEED] if any(found and found.interval for found in self.evaluations) else []
        return [*first, *notes_of(self.runs, self.names, self.remarks), *seed]

    # The figures of a run

    def bits(self, n: int) -> float | None:
        """Return the bits per character of run `n`; None without a record.

        They are those of its model on the whole validation part if it was evaluated now, otherwise those that the
        run recorded (`ComparedRun.recorded_bits`).
        """
        found = self.evaluations[n]
        return self.runs[n].recorded_bits if found is None else found.bits

    def bits_on(self, n: int) -> str | None:
        """Return what the bits of run `n` were computed on: "validation" or "training"; None without a record."""
        return self.runs[n].bits_on if self.evaluations[n] is None else "validation"

    def model_update(self, n: int) -> int | None:
        """Return the update of the model whose validation loss the bits of run `n` are; None for a training loss."""
        return self.runs[n].best if self.bits_on(n) == "validation" else None

    def best_on_same_text(self, n: int) -> int | None:
        """Return the index of the run with the fewest bits among run `n` and those with the same validation text.

        Return None if no other run has this validation text.
        """
        part, bits = self.runs[n].validation_part, [self.bits(k) for k in range(len(self.runs))]
        same = [
            (value, k)
            for k, value in enumerate(bits)
            if value is not None
            and part is not None
            and self.runs[k].validation_part == part
            and self.bits_on(k) == "validation"
        ]
        return min(same)[1] if len(same) > 1 and n in [k for _, k in same] else None

    def difference(self, n: int) -> BitsDifference | None:
        """Return how many bits per character run `n` needs more than the best run on the same validation text.

        Return None if no other run has this validation text, or if run `n` is the best.
        """
        best = self.best_on_same_text(n)
        if best is None or best == n:
            return None
        mine, theirs = self.evaluations[n], self.evaluations[best]
        if mine is not None and theirs is not None:
            return difference(mine, theirs)
        recorded = self.runs[n].recorded_bits, self.runs[best].recorded_bits
        if recorded[0] is None or recorded[1] is None:
            return None
        return BitsDifference(recorded[0] - recorded[1], None)

    @cached_property
    def best(self) -> list[int]:
        """The indices of the runs that are the best on their validation text, among at least two."""
        return [n for n in range(len(self.runs)) if self.best_on_same_text(n) == n]

    # The table

    @cached_property
    def heads(self) -> list[str]:
        """The headings of the columns of the table."""
        on = (
            ["bits on"]
            if len({self.bits_on(n) for n in range(len(self.runs))} - {None}) > 1
            else []
        )
        interval = ["95 % interval"] if any(found for found in self.evaluations) else []
        above = ["above the best"] if self.best else []
        models = [self.model_update(n) for n in range(len(self.runs))]
        earlier = any(
            update is not None and update != run.summary.update
            for update, run in zip(models, self.runs, strict=True)
        )
        model = ["model of update"] if earlier else []
        return [
            "run",
            *self.settings,
            "done",
            *model,
            *on,
            "bits",
            *interval,
            *above,
            "seconds",
            "state",
        ]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The rows of the table, one for each run."""
        return [[self._cell(n, head) for head in self.heads] for n in range(len(self.runs))]

    def _cell(self, n: int, head: str) -> str:
        """Return the entry of run `n` in the column `head`."""
        run = self.runs[n]
        if head in self.settings:
            return shown_value(run, head, self.runs) or UNKNOWN
        summary, bits, found = run.summary, self.bits(n), self.evaluations[n]
        cells = {
            "run": self.names[n],
            "done": progress(summary.update, summary.updates),
            "model of update": None if (model := self.model_update(n)) is None else count(model),
            "bits on": self.bits_on(n),
            "bits": None if bits is None else bits_text(bits),
            "95 % interval": None if found is None else span(found.interval),
            "above the best": self._above(n),
            "seconds": None if run.seconds is None else f"{run.seconds:,.1f}",
            "state": summary.state + (", damaged" if summary.problems and run.settings else ""),
        }
        return cells[head] or UNKNOWN

    def _above(self, n: int) -> str | None:
        """Return how far run `n` is above the best run, as text; "best" for the best run."""
        if n in self.best:
            return "best"
        found = self.difference(n)
        if found is None:
            return None
        within = "" if found.interval is None else f" ({span(found.interval)})"
        return f"+{bits_text(found.bits)}{within}"

    def lines(self, width: int = COMPARISON_WIDTH) -> list[str]:
        """Return the table as lines of text.

        If it is wider than `width`, it has a column for each run; or the settings come first, and the figures below.
        """
        return comparison_lines(self.heads, self.rows, len(self.settings), width)

    def __repr__(self) -> str:
        """Return the table and the notes as text."""
        return "\n".join([*self.lines(), *map(for_python, self.notes)])

    def _repr_html_(self) -> str:
        """Return the table, the curves and the notes as HTML for a notebook."""
        notes = [sentence(for_python(note)) for note in self.notes]
        title = f"Comparison of {counted(len(self.runs), 'run')}"
        return card(title, self._table_html(), curves_svg(self.curves()), *notes)

    def _table_html(self) -> str:
        """Return the table as HTML: a row for each run or, if it has many columns, a column for each run."""
        if len(self.heads) <= MOST_COLUMNS:
            return table(self.heads, self.rows, self.best)
        first, *others = (list(line) for line in zip(self.heads, *self.rows, strict=True))
        return table(first, others)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data. The notes have marks (`charloom.messages`)."""
        return {
            "settings": self.settings,
            "runs": [self._fields(n) for n in range(len(self.runs))],
            "notes": self.notes,
        }

    def _fields(self, n: int) -> dict[str, Any]:
        """Return the fields of run `n` for JSON. An unknown value is None."""
        run, found, above = self.runs[n], self.evaluations[n], self.difference(n)
        summary, values = run.summary, settings_of(run)
        if "text" in values:
            values["text"] = values["text"][0]
        return {
            "run": str(run.path),
            "label": self.labels[n],
            "state": summary.state,
            "settings": {name: values.get(name) for name in self.settings},
            "text": None if run.settings is None else asdict(run.settings.text),
            "engine": run.engine,
            "update": summary.update,
            "updates": summary.updates,
            "model_update": self.model_update(n),
            "bits": self.bits(n),
            "bits_on": self.bits_on(n),
            "interval": None if found is None else found.interval,
            "evaluated_characters": None if found is None else found.characters,
            "above_best": None if above is None else asdict(above),
            "best": n in self.best,
            "seconds": run.seconds,
            "characters_read": None if run.last is None else run.last.characters,
            "problems": list(summary.problems),
        }

    # The picture

    def curves(self) -> list[ComparedCurve]:
        """Return the curves of the runs that have records, with their names and labels."""
        return [
            ComparedCurve(title, run.config.seq_length, run.curve, run.judged, run.config.smoothing)
            for title, run in zip(self.titles, self.runs, strict=True)
            if run.config is not None and run.curve
        ]

    def figure(self, over: str = "characters") -> Any:
        """Return one plot with the curves of all runs, as a matplotlib Figure.

        Args:
            over: the horizontal axis: characters, updates, epochs or seconds.

        Raises:
            ConfigError: there is no such axis, or no run has a record.
        """
        from charloom.report.comparison_plot import comparison_figure

        require_one_of("over", over, tuple(COMPARISON_AXES))
        curves = self.curves()
        if not curves:
            raise ConfigError("none of the runs has a record yet, so there is no curve to draw.")
        return comparison_figure(curves, over)

    def save_picture(self, path: str | Path, over: str = "characters") -> Path:
        """Write the plot of `figure` to a file that ends in .svg or .png, and return its path.

        Raises:
            ConfigError: the ending is another one, there is no such axis, or no run has a record.
            WriteError: the file cannot be written.
        """
        from charloom.report.plot_files import require_image, save_figure

        path = as_path(path)
        require_image(path)
        save_figure(self.figure(over), path)
        return path


def span(interval: tuple[float, float] | None) -> str | None:
    """Return an interval as text, such as 1.4802 to 1.4903; None if it is not known."""
    if interval is None:
        return None
    low, high = interval
    return f"{bits_text(low)} to {bits_text(high)}"


def bits_text(bits: float) -> str:
    """Return a number of bits as text, with few digits if the model diverged."""
    return f"{bits:.{BITS_DIGITS}f}" if abs(bits) < LARGE_BITS else f"{bits:,.0f}"
