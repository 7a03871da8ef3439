"""The best settings of a study, and the command that trains their best run again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.errors import StudyError
from charloom.formatting import counted, decimals, shortened
from charloom.messages import command, for_command_line
from charloom.studies.one_study import Study
from charloom.studies.plan import PlannedRun
from charloom.studies.results import FINISHED, RunResult
from charloom.studies.summary import Group, StudySummary, setting_text, summarize


@dataclass(frozen=True)
class BestRuns:
    """The best settings of a study.

    Attributes:
        study: the study.
        summary: its results.
        group: the runs with the lowest mean of the bits per character.
        run: the run of `group` with the fewest bits.
        result: the result of `run`.
        lowest: the group whose run has the fewest bits of all runs on the text, and the result of this run. It may be a
            group with a higher mean.
    """

    study: Study
    summary: StudySummary
    group: Group
    run: PlannedRun
    result: RunResult
    lowest: tuple[Group, RunResult]

    @property
    def elsewhere(self) -> bool:
        """Whether a run with other settings has fewer bits than the best run of the best settings."""
        return self.lowest[1].key != self.result.key

    @property
    def command(self) -> str:
        """The command that trains the best run again, into a run directory. Marks stand for the names of options."""
        text = self.study.header.texts[self.run.text]
        recipe = self.study.header.recipe
        return command("train", *text.paths, recipe=recipe, **self.run.settings, threads=1)

    @property
    def model(self) -> Path | None:
        """The run directory or the model file of the best run; None if its weights were not kept."""
        return self.study.files.model_path(self.run)

    def lines(self, spell: Callable[[str], str] = for_command_line) -> list[str]:
        """Return sentences about the best settings. `spell` replaces the marks in the command."""
        settings = settings_text(self.group)
        on = "on the validation part" if self.summary.validated else "on the training text"
        several = len(self.summary.texts) > 1
        lines = [f"text: {self.summary.texts[self.group.text]}"] if several else []
        lines.append(f"best settings: {settings or 'the study has only one choice of settings'}")
        lines.append(f"bits per {self.summary.unit} {on}: {spread_text(self.group)}")
        others = [one for one in self.summary.groups if one.text == self.group.text and one.bits]
        if self.summary.caution:
            lines.append(self.summary.caution)
        if len(others) > 1:
            lines.append(f"next best: {settings_text(others[1])}, {spread_text(others[1])}")
        seed = self.run.settings["seed"]
        lines.append(f"its best run: seed {seed}, {decimals(self.result.bits or 0.0, 4)} bits")
        if self.elsewhere:
            group, result = self.lowest
            lines.append(
                f"the fewest bits of all runs: {decimals(result.bits or 0.0, 4)}, a run with {settings_text(group)}, "
                f"whose mean is {spread_text(group)}"
            )
        if self.model is not None:
            lines.append(f"its model: {self.model}")
        lines += ["train it again:", f"  {spell(self.command)}"]
        left = sum(len(one.runs) - len(one.results) for one in self.summary.groups)
        if left:
            lines.append(
                f"without a result yet: {left:,} of {counted(len(self.study.plan), 'run')}."
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the best settings as plain data."""
        return {
            "text": self.summary.texts[self.group.text],
            "settings": self.group.settings,
            "mean_bits": self.group.mean,
            "deviation": self.group.deviation,
            "interval": self.group.interval,
            "run": self.run.to_dict(),
            "bits": self.result.bits,
            "fewest_bits": self.lowest[1].bits,
            "model": None if self.model is None else str(self.model),
            "command": for_command_line(self.command),
        }


def best_of(study: Study) -> list[BestRuns]:
    """Return the best settings of a study so far, for each text with a finished run.

    Raises:
        StudyError: no run has finished.
    """
    return best_in_summary(study, summarize(study))


def best_in_summary(study: Study, summary: StudySummary) -> list[BestRuns]:
    """Return the best settings in the results `summary` of a study, as `best_of` does."""
    firsts = {group.text: group for group in reversed(summary.groups) if group.bits}
    if not firsts:
        raise StudyError(
            f"no run of {shortened(study.path)} has finished yet; {command('study', study.path)} runs it."
        )
    return [best_in(study, summary, firsts[text]) for text in sorted(firsts)]


def best_in(study: Study, summary: StudySummary, group: Group) -> BestRuns:
    """Return the best run of a group, the best one of its text."""
    result = lowest_of(group)
    run = next(run for run in group.runs if run.key == result.key)
    others = [
        (one, lowest_of(one)) for one in summary.groups if one.text == group.text and one.bits
    ]
    lowest = min(others, key=lambda pair: (pair[1].bits, pair[1].key != result.key))
    return BestRuns(study, summary, group, run, result, lowest)


def lowest_of(group: Group) -> RunResult:
    """Return the finished result of a group with the fewest bits; the group has one."""
    finished = [one for one in group.results if one.state == FINISHED and one.bits is not None]
    return min(finished, key=lambda one: (one.bits, one.key))


def settings_text(group: Group) -> str:
    """Return the settings of a group, such as "cell gru, hidden_size 32"."""
    return ", ".join(f"{name} {setting_text(value)}" for name, value in group.settings.items())


def spread_text(group: Group) -> str:
    """Return the mean of a group in bits with its spread, such as "2.0134, standard deviation 0.0021 (5 seeds)"."""
    if group.mean is None:
        return "no run has finished"
    done, runs = len(group.bits), len(group.runs)
    seeds = counted(runs, "seed") if done == runs else f"{done} of {counted(runs, 'seed')}"
    if group.deviation is None:
        return f"{decimals(group.mean, 4)} ({seeds})"
    return f"{decimals(group.mean, 4)}, standard deviation {decimals(group.deviation, 4)} ({seeds})"
