"""The table of a study: the runs with equal settings but different seeds are one row, with mean and spread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.formatting import UNKNOWN, count, decimals, one_of, shortened
from charloom.formatting import table as text_table
from charloom.notebook_html import card, sentence, table
from charloom.recipes import recipe_of
from charloom.studies.compared_parts import exact_part
from charloom.studies.one_study import Study
from charloom.studies.plan import PlannedRun
from charloom.studies.results import FAILED, FINISHED, PRUNED, RunResult
from charloom.studies.student_t import mean_interval

FIGURES: Final = ("runs", "bits", "deviation", "95 % interval", "seconds")
MOST_SHOWN: Final = 50  # rows of the table in Python
VALUE_WIDTH: Final = 24  # largest number of characters of a setting's value in a table


@dataclass(frozen=True)
class Group:
    """The runs of a study that differ only in their seeds.

    Attributes:
        text: the index of their text.
        settings: the settings in which the groups of the study differ.
        runs: the planned runs.
        results: the results that exist, in the order of the runs.
    """

    text: int
    settings: dict[str, Any]
    runs: tuple[PlannedRun, ...]
    results: tuple[RunResult, ...]

    @cached_property
    def bits(self) -> list[float]:
        """The bits per character of the finished runs."""
        finished = (result.bits for result in self.results if result.state == FINISHED)
        return [bits for bits in finished if bits is not None]

    @cached_property
    def mean(self) -> float | None:
        """The mean of the bits per character; None if no run has finished."""
        return fmean(self.bits) if self.bits else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the bits per character over the seeds; None for fewer than two runs."""
        return stdev(self.bits) if len(self.bits) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean over seeds (Student's t); None for fewer than two runs."""
        return mean_interval(self.bits)

    @property
    def failed(self) -> int:
        """The number of runs that failed."""
        return sum(result.state == FAILED for result in self.results)

    @property
    def pruned(self) -> int:
        """The number of trials of a search that were pruned."""
        return sum(result.state == PRUNED for result in self.results)

    @property
    def warned(self) -> int:
        """The number of runs that have warnings."""
        return sum(bool(result.warnings) for result in self.results)

    @property
    def seconds(self) -> float | None:
        """The mean duration of the finished runs; None if no run has finished."""
        times = [result.seconds for result in self.results if result.state == FINISHED]
        return fmean(times) if times else None

    @property
    def order(self) -> tuple[bool, bool, float]:
        """The key that sorts groups: complete ones first, then the lowest mean; groups without one last."""
        return self.mean is None, len(self.bits) < len(self.runs), self.mean or 0.0


@dataclass(frozen=True)
class StudySummary:
    """The results of a study.

    Attributes:
        varied: the settings in which the groups differ.
        texts: the names of the texts.
        groups: the groups, the lowest mean of the bits per character first. If a search repeats its best settings with
            other seeds, the groups with the most runs are first: a single run may have the fewest bits by luck.
        validated: whether the bits are those of the validation part; otherwise, of the training text.
        unit: what the bits are counted for, "character" or "byte".
        comparable: whether all runs on a text have their losses on the same part of it.
    """

    varied: tuple[str, ...]
    texts: tuple[str, ...]
    groups: tuple[Group, ...]
    validated: bool
    unit: str = "character"
    comparable: bool = True

    @property
    def measured(self) -> str:
        """On which part of the text the bits were measured, for the end of a sentence about bits."""
        return (
            "the lowest on the validation part"
            if self.validated
            else "of the training text, the mean over the updates of the last record"
        )

    @property
    def caution(self) -> str:
        """A sentence that says why the bits cannot be compared; "" if they can."""
        if self.comparable:
            return ""
        return "The runs have different validation parts, so their bits cannot be compared exactly."

    @property
    def best(self) -> Group | None:
        """The group with the lowest mean; None if no run has finished."""
        return self.groups[0] if self.groups and self.groups[0].bits else None

    def __repr__(self) -> str:
        """Return the table as text."""
        return "\n".join(text_of(self, MOST_SHOWN))

    def _repr_html_(self) -> str:
        """Return the table as HTML for a notebook."""
        return html_of(self, MOST_SHOWN)

    @property
    def failures(self) -> list[tuple[PlannedRun, RunResult]]:
        """The runs that failed, in the order of the plan, with their results."""
        return self._those(lambda result: result.state == FAILED)

    @property
    def warned(self) -> list[tuple[PlannedRun, RunResult]]:
        """The runs that have warnings, in the order of the plan, with their results."""
        return self._those(lambda result: bool(result.warnings))

    def _those(self, wanted: Callable[[RunResult], bool]) -> list[tuple[PlannedRun, RunResult]]:
        """Return the runs whose results are `wanted`, in the order of the plan, with their results."""
        found = []
        for group in self.groups:
            runs = {run.key: run for run in group.runs}
            found += [(runs[one.key], one) for one in group.results if wanted(one)]
        return sorted(found, key=lambda pair: pair[0].number)


def summarize(study: Study) -> StudySummary:
    """Return the results of a study so far."""
    results = study.results()
    varied = varied_settings(study)
    usual = usual_settings(study)
    made = [
        group_of(runs, {name: usual.get(name) for name in varied}, results)
        for runs in grouped(study.plan)
    ]
    search = study.header.search
    repeats = search is not None and search.spec.repeat > 0
    return StudySummary(
        tuple(varied),
        tuple(text.name for text in study.header.texts),
        tuple(sorted(made, key=lambda one: (-len(one.bits) if repeats else 0, one.order))),
        is_validated(study),
        one_of(study.header.tokens),
        is_comparable(study),
    )


def grouped(plan: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Return the runs of a plan in groups that differ only in their seeds.

    Such runs usually follow each other, so a key is computed only when the settings change.
    """
    groups: dict[bytes, list[PlannedRun]] = {}
    before: tuple[int, dict[str, Any]] | None = None
    group: list[PlannedRun] = []
    for run in plan:
        others = run.settings.copy()
        others.pop("seed", None)
        if before != (run.text, others):
            before = run.text, others
            group = groups.setdefault(canonical_json(before), [])
        group.append(run)
    return list(groups.values())


def is_validated(study: Study) -> bool:
    """Return True if a run of the study has a validation part, as each run of a search has."""
    if study.header.search is not None:
        return True
    usual = usual_settings(study)["validation"]
    return any(run.settings.get("validation", usual) for run in study.plan)


def is_comparable(study: Study) -> bool:
    """Return True if the runs on each text have their losses on the same part of it."""
    usual = usual_settings(study)
    names = exact_part({**usual, "validation": 1.0, "split": "streams"})
    values = {
        (run.text, *(run.settings.get(name, usual[name]) for name in names)) for run in study.plan
    }
    parts = {
        (text, *exact_part(dict(zip(names, each, strict=True))).items()) for text, *each in values
    }
    return len(parts) <= len({run.text for run in study.plan})


def setting_text(value: Any) -> str:
    """Return the value of a setting for a table: a number with four digits, and a dash for None."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return UNKNOWN if value is None else shortened(value, VALUE_WIDTH).strip("'\"")


def usual_settings(study: Study) -> dict[str, Any]:
    """Return the settings of a run for which the study sets nothing: those of its recipe."""
    return recipe_of(study.header.recipe).config.to_dict()


def group_of(
    runs: Sequence[PlannedRun], varied: dict[str, Any], results: dict[str, RunResult]
) -> Group:
    """Return the group of `runs`, which differ only in their seeds.

    Args:
        runs: the runs.
        varied: the settings in which the groups differ, with their values for runs that do not set them.
        results: the results by key.
    """
    settings = runs[0].settings
    return Group(
        runs[0].text,
        {name: settings.get(name, value) for name, value in varied.items()},
        tuple(runs),
        tuple(results[run.key] for run in runs if run.key in results),
    )


def varied_settings(study: Study) -> list[str]:
    """Return the settings that the specification varies and that have more than one value, in their order.

    Those of a search are all that it draws, because a search that has begun may have only one trial.
    """
    if study.header.search is not None:
        return list(study.header.varied)
    usual = usual_settings(study)
    values: dict[str, set[str]] = {name: set() for name in study.header.varied}
    for run in study.plan:
        for name, seen in values.items():
            seen.add(repr(run.settings.get(name, usual.get(name))))
    return [name for name, seen in values.items() if len(seen) > 1]


def settings_heads(summary: StudySummary) -> list[str]:
    """Return the headings of the columns with the text, if there are several, and the settings."""
    return [*(["text"] if len(summary.texts) > 1 else []), *summary.varied]


def rows_of(summary: StudySummary, most: int) -> list[list[str]]:
    """Return the rows of at most `most` groups."""
    several = len(summary.texts) > 1
    return [row_of(group, summary, several) for group in summary.groups[:most]]


def text_of(summary: StudySummary, most: int) -> list[str]:
    """Return the lines of the table."""
    left = settings_heads(summary)
    return text_table([*left, *FIGURES], rows_of(summary, most), left=len(left))


def html_of(summary: StudySummary, most: int) -> str:
    """Return the table as HTML for a notebook."""
    unit = f"Bits per {summary.unit}: the mean over the seeds."
    rows = rows_of(summary, most)
    return card("Study", table([*settings_heads(summary), *FIGURES], rows), sentence(unit))


def row_of(group: Group, summary: StudySummary, several: bool) -> list[str]:
    """Return the entries of a group's row. `several` says whether the study has several texts."""
    settings = [setting_text(group.settings.get(name)) for name in summary.varied]
    done = len(group.bits)
    runs = count(done) if done == len(group.runs) else f"{count(done)} of {count(len(group.runs))}"
    if group.pruned:
        runs = "pruned" if not done else f"{runs}, {group.pruned} pruned"
    if group.failed:
        runs += f", {group.failed} failed"
    if group.warned:
        runs += f", {group.warned} warned"
    interval = group.interval
    return [
        *([summary.texts[group.text]] if several else []),
        *settings,
        runs,
        number(group.mean, 4),
        number(group.deviation, 4),
        UNKNOWN if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
        number(group.seconds, 2),
    ]


def number(value: float | None, places: int) -> str:
    """Return a number with `places` decimal places; a dash for None."""
    return UNKNOWN if value is None else decimals(value, places)
