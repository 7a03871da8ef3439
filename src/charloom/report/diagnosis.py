"""The doctor's page: what is wrong with somebody's backpropagation, as one HTML file.

The verdict comes first, then each mistake with the equation that it breaks and how it is mended,
then where it shows. Names of files and functions are a stranger's text. It judges nothing.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from charloom.doctor import Diagnosis, Row
from charloom.doctor.result import LOSS
from charloom.errors import ConfigError
from charloom.report.heatmap import heatmap_figure
from charloom.report.page import page
from charloom.report.plots import NARROW, SENTINELS, WIDE, inline_svg, svg_of
from charloom.spelling import count, duration, listing, number_of, scientific
from charloom.store import charloom_version, replace_file

# Up to here an error of one step's share is rounding: the share is a difference of two gradients.
STEP_LIMITS: Final = {"float64": 1e-6, "float32": 1e-4}
SEVERAL: Final = 2  # explanations that are shown in full; more are only named


class Line(NamedTuple):
    """A line of the table: a parameter in one trial."""

    name: str
    norm_relative: str
    limit: str
    absolute: str
    elementwise: str
    worst: str
    where: str
    passed: bool


def write_diagnosis(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write the page of a diagnosis.

    Args:
        diagnosis: from `charloom.doctor`.
        path: where to; a file that is there is replaced.

    Returns:
        The path.

    Raises:
        ConfigError: the path is a directory, or in none.
        WriteError: the disk refused.
    """
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a directory; name a file in it.")
    if not path.parent.is_dir():
        raise ConfigError(
            f"there is no directory {path.parent} to write {path.name} into; make it."
        )
    replace_file(path, render_diagnosis(diagnosis).encode("utf-8", "replace"), durable=False)
    return path


def render_diagnosis(diagnosis: Diagnosis) -> str:
    """The page as HTML that needs nothing else."""
    return page(
        "diagnosis.html",
        diagnosis=diagnosis,
        verdict=diagnosis.headline(),
        starting=sentence,
        key_figures=list(key_figures(diagnosis)),
        explanations=diagnosis.explanations[:SEVERAL],
        others=[
            listing([one.title for one in explanation])
            for explanation in diagnosis.explanations[SEVERAL:]
        ],
        clues=list(map(sentence, diagnosis.clues)),
        pictures=pictures(diagnosis),
        summary=[line(diagnosis, row) for row in worst_rows(diagnosis.rows)],
        trials=[
            (told, [line(diagnosis, row) for row in diagnosis.rows if row.trial == place])
            for place, told in enumerate(map(tell_trial, diagnosis.tried.trials))
        ],
        tried=list(what_was_tried(diagnosis)),
    )


def sentence(clue: str) -> str:
    """A clue with a capital, unless it begins with the name of a gradient."""
    return clue if re.match(r"d\w\b", clue) else clue[:1].upper() + clue[1:]


def key_figures(diagnosis: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Label, value, and what goes with it."""
    worst, tried = diagnosis.worst(), diagnosis.tried
    of = "the loss, relative" if worst.parameter == LOSS else f"{named(worst)}, norm-relative"
    yield "Largest error", scientific(worst.norm_relative), of
    trials = len(tried.trials)
    wrong = len({row.trial for row in diagnosis.rows if not row.passed})
    those = number_of(wrong, "of them", "of them") if wrong else "none of them"
    yield "Trials", count(trials), f"{those} wrong"
    yield "Calls", count(tried.calls), f"in {duration(diagnosis.seconds)}"


def worst_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each parameter the row that is furthest beyond its limit, or nearest to it."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.parameter not in found or excess(row) > excess(found[row.parameter]):
            found[row.parameter] = row
    return list(found.values())


def excess(row: Row) -> float:
    """How many times its limit an error is; one that is no number is beyond all."""
    return math.inf if math.isnan(row.norm_relative) else row.norm_relative / row.limit


def line(diagnosis: Diagnosis, row: Row) -> Line:
    """A row as it is written."""
    place = f"[{', '.join(map(str, row.index))}] " if row.index else ""
    return Line(
        name=named(row),
        norm_relative=scientific(row.norm_relative),
        limit=scientific(row.limit),
        absolute=scientific(row.absolute),
        elementwise=scientific(row.elementwise),
        worst=f"{place}is {row.given:.6g}, should be {row.exact:.6g}",
        where=diagnosis.tried.trials[row.trial].name,
        passed=row.passed,
    )


def named(row: Row) -> str:
    """What the row is the error of: dW, or the loss."""
    return LOSS if row.parameter == LOSS else f"d{row.parameter}"


def tell_trial(trial: Any) -> str:
    """A trial in words."""
    return (
        f"{trial.name}: H = {trial.hidden_size}, T = {trial.seq_length}, "
        f"K = {trial.vocabulary_size}, σ = {trial.sigma:g}, h0 {trial.state}"
    )


def pictures(diagnosis: Diagnosis) -> dict[str, Markup]:
    """The heat map of errors by step, wide and narrow; none where there are no steps."""
    errors = diagnosis.errors_by_step
    if not errors or not all(errors.values()):
        return {}
    limit = STEP_LIMITS[diagnosis.tried.dtype]
    label = f"Errors by parameter and time step. {spoken(errors, limit)}"
    return {
        f"steps_{name}": inline_svg(
            svg_of(heatmap_figure(errors, limit, width=width, palette=SENTINELS)),
            f"steps-{name}",
            label,
        )
        for name, width in (("wide", WIDE[0]), ("narrow", NARROW[0]))
    }


def spoken(errors: Any, limit: float) -> str:
    """What the picture shows, for those who do not see it."""
    said = []
    for name, row in errors.items():
        wrong = [str(t) for t, error in enumerate(row, start=1) if not error <= limit]
        steps = "right at every step" if not wrong else f"wrong at step {listing(wrong)}"
        said.append(f"d{name} is {steps if len(wrong) < len(row) else 'wrong at every step'}")
    return "; ".join(said) + "."


def what_was_tried(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Name and value of what one needs to try it again."""
    tried = diagnosis.tried
    yield "function", diagnosis.subject or "a function"
    yield "called as", tried.convention
    yield "cell", tried.cell
    yield "dtype", tried.dtype
    yield "loss", f"{tried.reduction} over the steps"
    yield "seed", str(tried.seed)
    yield "charloom", charloom_version()
