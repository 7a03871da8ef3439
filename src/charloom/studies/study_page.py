"""Writes the report of a study: its table, its curves with bands, and the effect of its settings on the loss."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from charloom.errors import StudyError
from charloom.formatting import (
    UNKNOWN,
    bits_per_character,
    count,
    counted,
    decimals,
    duration,
    listing,
    shortened,
)
from charloom.messages import terminal_command
from charloom.model.memory_limit import parameter_count
from charloom.report.html_page import page, write_page
from charloom.report.page_data import KeyFigure, Picture
from charloom.report.plot_files import picture_of
from charloom.report.study_plots import (
    BandLine,
    Coordinate,
    band_figure,
    pairs_figure,
    parallel_figure,
)
from charloom.store import charloom_version
from charloom.studies.best_runs import BestRuns, best_in_summary
from charloom.studies.one_study import Study
from charloom.studies.power_law import PowerLaw, fit_power_law
from charloom.studies.results import FINISHED
from charloom.studies.run_notes import RunNote, failure_notes, warning_notes
from charloom.studies.student_t import mean_interval
from charloom.studies.summary import (
    Group,
    StudySummary,
    rows_of,
    setting_text,
    settings_heads,
    summarize,
)

MOST_CURVES: Final = 7  # a reader can distinguish this many lines
MOST_ROWS: Final = 100
MOST_PAIRS: Final = 4  # settings in the pair plots
# Choices of settings in a picture. More would be large, slow and hard to see.
MOST_CHOICES: Final = 300
LOG_FROM: Final = (
    8.0  # an axis is logarithmic if its largest value is at least this many times its smallest one
)
PARAMETERS: Final = "parameters"
TRAINING, VALIDATION = "train_nats", "validation_nats"  # losses of a curve
LEAST_EXPLAINED: Final = 0.8  # a power law that explains less of the variance is not shown
MOST_EXPLAINED: Final = 0.99995  # from here on, four decimal places would round to 1
MOST_JOINED: Final = 12  # points of a line that are joined
SIZES: Final = ("hidden_size", "layers", "ngram_order", "input_pairs")


class StudySection(NamedTuple):
    """A section of the page: its heading, a sentence that explains the picture, the picture, and lines of text."""

    id: str
    heading: str
    sentence: str
    picture: Picture
    lines: Sequence[str] = ()


class StudyRow(NamedTuple):
    """A row of the table: the settings, and the figures, as text."""

    settings: Sequence[str]
    figures: Sequence[str]


def write_study(study: Study, path: str | Path) -> Path:
    """Write the report of a study as one HTML file.

    Args:
        study: the study; it need not be complete.
        path: the file to write; an existing file is replaced.

    Raises:
        ConfigError: the path is a directory, or its parent directory does not exist.
        StudyError: no run has finished.
        WriteError: the file cannot be written.
    """
    return write_page(path, lambda: render_study(study))


def render_study(study: Study) -> str:
    """Return the report of a study as HTML.

    Raises:
        StudyError: no run has finished.
    """
    summary = summarize(study)
    if summary.best is None:
        raise StudyError(
            f"no run of {shortened(study.path)} has finished yet; {terminal_command('study', study.path)} runs it."
        )
    heads = settings_heads(summary)
    return page(
        "study.html",
        name=study.path.name,
        lede=lede(study, summary),
        figures=key_figures(study, summary),
        heads=heads,
        rows=[
            StudyRow(row[: len(heads)], row[len(heads) :]) for row in rows_of(summary, MOST_ROWS)
        ],
        more=f"{counted(len(summary.groups) - MOST_ROWS, 'row')} more are in the files of study export."
        if len(summary.groups) > MOST_ROWS
        else "",
        on=summary.measured,
        caution=summary.caution,
        unit=summary.unit,
        sections=[
            section
            for section in (
                curves_section(summary),
                *effect_sections(study, summary),
                parallel_section(summary),
                pairs_section(summary),
            )
            if section is not None
        ],
        failures=note_lines(failure_notes(summary)),
        warnings=note_lines(warning_notes(summary)),
        version=charloom_version(),
    )


def note_lines(notes: Sequence[RunNote]) -> list[str]:
    """Return the lines of a list of failed runs or of warnings."""
    lines = [f"{note.name}: {note.message}" for note in notes[:MOST_ROWS]]
    hidden = sum(len(note.runs) for note in notes[MOST_ROWS:])
    return (
        [*lines, f"{counted(hidden, 'run')} more are in the files of study export."]
        if hidden
        else lines
    )


def lede(study: Study, summary: StudySummary) -> str:
    """Return the sentence below the title: what was trained, and on which texts."""
    runs = counted(len(study.plan), "run")
    of = f" that differ in {listing([*summary.varied, 'seed'])}" if summary.varied else ""
    return f"{runs}{of}, on {listing(summary.texts)}."


def key_figures(study: Study, summary: StudySummary) -> list[KeyFigure]:
    """Return the numbers at the top of the page."""
    bests = best_in_summary(study, summary)
    finished = sum(len(one.bits) for one in summary.groups)
    seconds = sum(
        result.seconds
        for one in summary.groups
        for result in one.results
        if result.state == FINISHED
    )
    notes = [f"of {count(len(study.plan) + study.trials_left)}"]
    pruned = sum(one.pruned for one in summary.groups)
    if pruned:
        notes.append(f"{count(pruned)} pruned")
    if summary.failures:
        notes.append(f"{count(len(summary.failures))} failed")
    if summary.warned:
        notes.append(f"{count(len(summary.warned))} with warnings")
    return [
        KeyFigure("Finished runs", count(finished), notes),
        *(figure for best in bests for figure in figures_of_best(best)),
        KeyFigure("Processor time", duration(seconds), ["of all finished runs, one core each"]),
    ]


def figures_of_best(best: BestRuns) -> list[KeyFigure]:
    """Return the numbers of the best settings of a text."""
    unit = f"bits per {best.summary.unit}"
    group, lowest = best.lowest
    return [
        KeyFigure(
            "Lowest mean",
            decimals(best.group.mean or 0.0, 4),
            [unit, label_of(best.group, best.summary)],
        ),
        KeyFigure(
            "Its best run",
            decimals(best.result.bits or 0.0, 4),
            [f"{unit}, seed {best.run.settings['seed']}"],
        ),
        KeyFigure(
            "Lowest of all runs",
            decimals(lowest.bits or 0.0, 4),
            [unit, label_of(group, best.summary)],
        ),
    ]


def label_of(group: Group, summary: StudySummary, without: Sequence[str] = ()) -> str:
    """Return the name of a group in a legend: its settings, without those in `without`."""
    parts = [summary.texts[group.text]] if len(summary.texts) > 1 else []
    parts += [
        f"{name} {setting_text(value)}"
        for name, value in group.settings.items()
        if name not in without
    ]
    return ", ".join(parts) or "all runs"


def curves_section(summary: StudySummary) -> StudySection | None:
    """Return the curves of the best groups, with bands over the seeds; None if there are none."""
    groups = [group for group in summary.groups if group.bits][:MOST_CURVES]
    lines = lines_of(groups, summary, VALIDATION if summary.validated else TRAINING)
    if not lines:
        return None
    single = summary.validated and max(len(line.x) for line in lines) == 1
    lines = lines_with_points(lines, groups, summary) if single else lines
    loss = "validation loss" if summary.validated and not single else "training loss"
    shown = (
        "of all settings"
        if len(lines) == len(summary.groups)
        else "of the best settings"
        if len(lines) == 1
        else f"of the best {len(lines)} settings"
    )
    draw = partial(band_figure, lines, "updates", f"{loss}, bits per {summary.unit}")
    points = " The single points are the validation loss, which these runs have only once."
    return StudySection(
        "curves",
        "Curves",
        f"The {loss} {shown}: the mean over the seeds, and a band from the lowest to the highest run."
        + (points if single else ""),
        picture_of(draw, "curves", f"{loss} over updates, {counted(len(lines), 'line')}"),
    )


def lines_of(groups: Sequence[Group], summary: StudySummary, field: str) -> list[BandLine]:
    """Return the mean curves of those groups that have one."""
    return [line for group in groups if (line := curve_line(group, summary, field)) is not None]


def lines_with_points(
    points: Sequence[BandLine], groups: Sequence[Group], summary: StudySummary
) -> list[BandLine]:
    """Return the curves of the training loss, each with the only validation loss of the same group.

    Args:
        points: the lines of the validation loss, with one point each.
        groups: the groups.
        summary: the results of the study.
    """
    training = {line.label: line for line in lines_of(groups, summary, TRAINING)}
    return [replace(training.get(point.label, point), extra=point) for point in points]


def curve_line(group: Group, summary: StudySummary, field: str) -> BandLine | None:
    """Return the mean curve of a group with its band, at the updates that all its runs have."""
    curves = []
    for result in group.results:
        if result.state == FINISHED and result.curve and field in result.curve:
            pairs = zip(result.curve["update"], result.curve[field], strict=True)
            curves.append(
                {update: bits_per_character(nats) for update, nats in pairs if nats is not None}
            )
    if not curves:
        return None
    shared = sorted(set.intersection(*map(set, curves)))
    columns = [[curve[update] for curve in curves] for update in shared]
    if not shared:
        return None
    return BandLine(
        label_of(group, summary),
        shared,
        [fmean(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def effect_sections(study: Study, summary: StudySummary) -> list[StudySection]:
    """Return a section for each numeric setting with at least three values: the loss as a function of it.

    If several settings change the size of the network, the first section is about the number of parameters.
    """
    done = [group for group in summary.groups if group.bits]
    names = [name for name in summary.varied if len(numbers_of(done, name)) > 2]
    sections = [effect_section(name, done, summary, value_of(name)) for name in names]
    if any(name in SIZES for name in names):
        section = effect_section(PARAMETERS, done, summary, parameters_by(study), without=SIZES)
        sections.insert(0, section)
    return [section for section in sections if section is not None]


def value_of(name: str) -> Any:
    """Return a function that returns the value of the setting `name` of a group."""
    return lambda group: group.settings.get(name)


def numbers_of(groups: Sequence[Group], name: str) -> set[float]:
    """Return the values of a setting; an empty set if one of them is not a number."""
    values = [group.settings.get(name) for group in groups]
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return set()
    return {float(value) for value in values if value is not None}


def parameters_by(study: Study) -> Callable[[Group], int]:
    """Return a function that returns the number of parameters of a group, and computes it once for each size."""
    known: dict[tuple[Any, ...], int] = {}

    def parameters(group: Group) -> int:
        settings = group.runs[0].settings
        key = (group.text, *(settings.get(name) for name in ("cell", *SIZES)))
        if key not in known:
            known[key] = parameters_of(group, study)
        return known[key]

    return parameters


def parameters_of(group: Group, study: Study) -> int:
    """Return the number of parameters of the networks of a group."""
    run = group.runs[0]
    return parameter_count(run.config(study.header.recipe), study.header.texts[run.text].symbols)


def effect_section(
    name: str,
    groups: Sequence[Group],
    summary: StudySummary,
    value: Any,
    without: Sequence[str] = (),
) -> StudySection | None:
    """Return the section about the effect of a setting on the loss; None if there are too few values.

    Each line has the groups that agree in a setting with few values, such as the cell. Of several groups with the same
    value, the best is shown.
    """
    apart = line_setting(groups, summary, [name, *without])
    lines: dict[str, dict[float, Group]] = {}
    for group in groups:
        label = label_of(group, summary, [one for one in summary.varied if one != apart])
        points = lines.setdefault(label, {})
        best = points.get(value(group))
        if best is None or group.order < best.order:
            points[value(group)] = group
    if max(map(len, lines.values())) < 3:
        return None
    shown = dict(list(lines.items())[:MOST_CURVES])
    possible = sum(map(len, shown.values()))
    shown = {label: thinned(points, MOST_CHOICES // len(shown)) for label, points in shown.items()}
    every = [size for points in shown.values() for size in points]
    log = min(every) > 0 and max(every) >= LOG_FROM * min(every)
    fitted = name in (PARAMETERS, *SIZES)
    laws = {label: law_of(lines[label]) if fitted else None for label in shown}
    joined = max(map(len, shown.values())) <= MOST_JOINED
    drawn = [band_of_points(label, points, laws[label], joined) for label, points in shown.items()]
    draw = partial(band_figure, drawn, name, f"bits per {summary.unit}", log)
    others = [one for one in summary.varied if one not in (name, apart, *without)]
    seeds = max(len(group.bits) for group in groups)
    sentence = (
        "The points are means over the seeds, and the bands are their 95 % intervals."
        if seeds > 1
        else "Each point is one run."
    )
    if others or (name == PARAMETERS and len(groups) > possible):
        sentence += " Where settings differ in other ways too, the best of them is shown."
    sentence += shown_text(len(every), possible)
    if any(laws.values()):
        sentence += " The dotted curves are fitted power laws."
    return StudySection(
        f"effect-{name.replace('_', '-')}",
        f"Effect of {name}",
        sentence,
        picture_of(draw, f"effect-{name}", f"bits per character over {name}, {len(drawn)} lines"),
        [
            f"{label}: {law_text(law, name, len(lines[label]))}"
            for label, law in laws.items()
            if law is not None
        ],
    )


def thinned(points: dict[float, Group], most: int) -> dict[float, Group]:
    """Return at most `most` points of a line: those of the best groups, and of others spread over the rest."""
    chosen = {group.runs[0].key for group in selection(list(points.values()), most)}
    return {size: group for size, group in points.items() if group.runs[0].key in chosen}


def selection(groups: Sequence[Group], most: int) -> list[Group]:
    """Return at most `most` groups, the best first: the best ones, and others whose ranks are spread over the rest."""
    ranked = sorted(groups, key=lambda group: group.order)
    if len(ranked) <= most:
        return ranked
    best = most // 4
    count, rest = most - best, ranked[best:]
    return ranked[:best] + [rest[n * len(rest) // count] for n in range(count)]


def shown_text(shown: int, possible: int) -> str:
    """Return a sentence that says how many points a picture leaves out; nothing if it has all of them."""
    if shown == possible:
        return ""
    return (
        f" {count(shown)} of {count(possible)} are shown: the best ones, and others that are spread evenly over the rest "
        f"from the best to the worst."
    )


def line_setting(
    groups: Sequence[Group], summary: StudySummary, without: Sequence[str]
) -> str | None:
    """Return the setting whose values get a line each: the first one that is not a number, else one with few values."""
    candidates = [name for name in summary.varied if name not in without]
    named = [name for name in candidates if not numbers_of(groups, name)]
    few = [name for name in candidates if 1 < len(numbers_of(groups, name)) <= MOST_CURVES]
    return next(iter(named + few), None)


def law_of(points: dict[float, Group]) -> PowerLaw | None:
    """Return the power law of the points of a line; None if it has too few points, or if the law does not fit."""
    sizes = sorted(points)
    law = fit_power_law(sizes, [points[size].mean or 0.0 for size in sizes])
    return law if law is not None and law.explained >= LEAST_EXPLAINED else None


def law_text(law: PowerLaw, name: str, sizes: int) -> str:
    """Return a power law as a formula, with the number of sizes to which it was fitted."""
    explained = f"{law.explained:.4f}" if law.explained < MOST_EXPLAINED else "> 0.9999"
    return (
        f"bits = {law.limit:.3f} + {law.factor:.4g} · {name}^(-{law.exponent:.3f}), fitted to {counted(sizes, 'size')}, "
        f"R² {explained}"
    )


def band_of_points(
    label: str, points: dict[float, Group], law: PowerLaw | None, joined: bool
) -> BandLine:
    """Return the line of an effect: the means, and their 95 % intervals as a band."""
    sizes = sorted(points)
    means = [points[size].mean or 0.0 for size in sizes]
    intervals = [mean_interval(points[size].bits) for size in sizes]
    low = [middle if one is None else one[0] for middle, one in zip(means, intervals, strict=True)]
    high = [middle if one is None else one[1] for middle, one in zip(means, intervals, strict=True)]
    return BandLine(label, sizes, means, low, high, law, joined)


def coordinates_of(groups: Sequence[Group], names: Sequence[str]) -> list[Coordinate]:
    """Return an axis for each setting, with the values of the groups."""
    found = []
    for name in names:
        values = [group.settings.get(name, UNKNOWN) for group in groups]
        numbers = numbers_of(groups, name)
        log = bool(numbers) and min(numbers) > 0 and max(numbers) >= LOG_FROM * min(numbers)
        found.append(Coordinate(name, values if numbers else [str(one) for one in values], log))
    return found


def parallel_section(summary: StudySummary) -> StudySection | None:
    """Return parallel coordinates of all groups; None if fewer than two settings differ."""
    done = [group for group in summary.groups if group.bits]
    if len(summary.varied) < 2 or len(done) < 3:
        return None
    groups = selection(done, MOST_CHOICES)
    coordinates = coordinates_of(groups, summary.varied)
    coordinates.append(Coordinate("bits", [group.mean or 0.0 for group in groups]))
    draw = partial(parallel_figure, coordinates)
    return StudySection(
        "parallel",
        "All settings",
        "Each line is one choice of settings; it crosses each axis at its value. The best tenth is drawn strongly."
        + shown_text(len(groups), len(done)),
        picture_of(draw, "parallel", f"parallel coordinates of {listing(summary.varied)} and bits"),
    )


def pairs_section(summary: StudySummary) -> StudySection | None:
    """Return pair plots of the settings that are numbers; None if there are fewer than two of them."""
    done = [group for group in summary.groups if group.bits]
    names = [name for name in summary.varied if len(numbers_of(done, name)) > 2][:MOST_PAIRS]
    if len(names) < 2 or len(done) < 8:
        return None
    groups = selection(done, MOST_CHOICES)
    loss = [group.mean or 0.0 for group in groups]
    draw = partial(pairs_figure, coordinates_of(groups, names), loss)
    return StudySection(
        "pairs",
        "Pairs of settings",
        "Each point is one choice of settings; the lower its loss, the larger it is. The best tenth has another colour."
        + shown_text(len(groups), len(done)),
        picture_of(draw, "pairs", f"pair plots of {listing(names)}"),
    )
