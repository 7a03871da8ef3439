"""Writes a diagnosis of a user's backpropagation as one HTML file.

The page shows the verdict, then each mistake with the right equation and the fix, then the errors. Names
of files and functions are untrusted text.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis import Diagnosis, Row
from charloom.diagnosis.diagnosis_result import LOSS
from charloom.diagnosis.error_patterns import STEP_LIMITS
from charloom.diagnosis.found_mistake import reasons_text
from charloom.formatting import count, duration, listing, number_of, scientific
from charloom.gradient_errors import rank
from charloom.messages import for_python, spelled_in_html
from charloom.report.heatmap import heatmap_figure
from charloom.report.html_page import page, write_page
from charloom.report.page_data import GradientErrors, KeyFigure, Picture, Setting, TrialErrors
from charloom.report.plot_files import picture_of
from charloom.store import charloom_version

# Number of explanations of the errors that the page shows in full. It shows only the titles of the others.
SEVERAL: Final = 2


def write_diagnosis(
    diagnosis: Diagnosis, path: str | Path, spell: Callable[[str], str] = for_python
) -> Path:
    """Write the page of a diagnosis.

    Args:
        diagnosis: the result of `charloom.doctor`.
        path: the file to write; an existing file is replaced.
        spell: replaces the placeholders of arguments and commands in a message by their names in one
            interface; by default those of the Python interface.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the path is a directory, or its parent directory does not exist.
        WriteError: the file cannot be written.
    """
    return write_page(path, lambda: render_diagnosis(diagnosis, spell))


def render_diagnosis(
    diagnosis: Diagnosis, spell: Callable[[str], str] = for_python, back: str = ""
) -> str:
    """Return the page of a diagnosis as HTML.

    `spell` is a function that replaces the placeholders in a message; see `write_diagnosis`. `back` is the
    file of the page with all submissions of a class; "" if there is none.
    """
    made = page(
        "diagnosis.html",
        back=back,
        diagnosis=diagnosis,
        subject=short_subject(diagnosis),
        verdict=diagnosis.headline(),
        starting=sentence,
        key_figures=list(key_figures(diagnosis)),
        explanations=diagnosis.explanations[:SEVERAL],
        clipped=any(one.id == "clipped" for one in diagnosis.accounted),
        others=[reasons_text(explanation) for explanation in diagnosis.explanations[SEVERAL:]],
        clues=list(map(sentence, diagnosis.hints)),
        picture=picture(diagnosis),
        of_places=diagnosis.errors_in_steps(STEP_LIMITS[diagnosis.tried.dtype])[1],
        summary=[errors_as_text(diagnosis, row) for row in worst_rows(diagnosis.rows)],
        trials=[
            TrialErrors(
                title,
                [errors_as_text(diagnosis, row) for row in diagnosis.rows if row.trial == place],
            )
            for place, title in enumerate(map(trial_title, diagnosis.tried.trials))
        ],
        tried=list(trial_settings(diagnosis)),
    )
    return spelled_in_html(made, spell)


def subject(diagnosis: Diagnosis) -> str:
    """Return the name of the checked function, or "a function" if it has no name."""
    return diagnosis.subject or "a function"


def short_subject(diagnosis: Diagnosis) -> str:
    """Return the name of the checked function without the folders of an absolute path."""
    name = subject(diagnosis)
    return Path(name).name if Path(name).is_absolute() else name


def sentence(clue: str) -> str:
    """Return `clue`, a sentence about the errors, with its first letter in upper case.

    If the sentence starts with a gradient's name, such as dW, return it unchanged.
    """
    return clue if re.match(r"d\w\b", clue) else clue[:1].upper() + clue[1:]


def key_figures(diagnosis: Diagnosis) -> Iterator[KeyFigure]:
    """Yield the key figures: the largest error, the trials, and the calls of the user's function."""
    tried = diagnosis.tried
    if diagnosis.rows:
        worst = diagnosis.worst()
        of = (
            "the loss, relative" if worst.parameter == LOSS else f"{row_name(worst)}, norm-relative"
        )
        yield KeyFigure("Largest error", scientific(worst.norm_relative), [of])
    trials = len(tried.trials)
    wrong = len({row.trial for row in diagnosis.rows if not row.passed})
    those = number_of(wrong, "of them", "of them") if wrong else "none of them"
    yield KeyFigure("Trials", count(trials), [f"{those} wrong"])
    yield KeyFigure("Calls", count(tried.calls), [f"in {duration(diagnosis.seconds)}"])


def worst_rows(rows: Sequence[Row]) -> list[Row]:
    """Return, for each parameter, the row whose error is largest relative to its limit."""
    names = dict.fromkeys(row.parameter for row in rows)
    return [
        max(
            (row for row in rows if row.parameter == name),
            key=lambda row: rank(row.norm_relative) / row.limit,
        )
        for name in names
    ]


def errors_as_text(diagnosis: Diagnosis, row: Row) -> GradientErrors:
    """Return as text the errors of one gradient, or of the loss, in one trial. `row` holds their values."""
    place = f"[{', '.join(map(str, row.index))}] " if row.index else ""
    return GradientErrors(
        name=row_name(row),
        norm_relative=scientific(row.norm_relative),
        limit=scientific(row.limit),
        absolute=scientific(row.absolute),
        elementwise=scientific(row.elementwise),
        worst=f"{place}is {digits(row.given)}, should be {digits(row.exact)}",
        where=diagnosis.tried.trials[row.trial].name,
        passed=row.passed,
    )


def digits(value: float) -> str:
    """Return a number as text with six significant digits; infinities and NaN also become text."""
    return f"{value:.6g}" if math.isfinite(value) else scientific(value)


def row_name(row: Row) -> str:
    """Return the name of the result that `row` checks: a gradient, such as dW, or the loss."""
    return LOSS if row.parameter == LOSS else f"d{row.parameter}"


def trial_title(trial: Any) -> str:
    """Return a heading with the name, the sizes, sigma and the initial state of a trial."""
    return (
        f"{trial.name}: H = {trial.hidden_size}, T = {trial.seq_length}, "
        f"K = {trial.vocabulary_size}, σ = {trial.sigma:g}, h0 {trial.state}"
    )


def picture(diagnosis: Diagnosis) -> Picture | None:
    """Return a heat map of the errors at each time step; None if the diagnosis has no such errors."""
    limit = STEP_LIMITS[diagnosis.tried.dtype]
    errors, _ = diagnosis.errors_in_steps(limit)
    if not errors or not all(errors.values()):
        return None
    label = f"Errors by gradient and time step. {heatmap_description(errors, limit)}"
    return picture_of(partial(heatmap_figure, errors, limit), "steps", label)


def heatmap_description(errors: Any, limit: float) -> str:
    """Return a description of the heat map for screen readers.

    Args:
        errors: for each gradient, an error for each time step.
        limit: the largest error that counts as right.
    """
    parts = []
    for name, row in errors.items():
        wrong = [str(t) for t, error in enumerate(row, start=1) if not error <= limit]
        steps = "right at every step" if not wrong else f"wrong at step {listing(wrong)}"
        parts.append(f"{name} is {steps if len(wrong) < len(row) else 'wrong at every step'}")
    return "; ".join(parts) + "."


def trial_settings(diagnosis: Diagnosis) -> Iterator[Setting]:
    """Yield the settings of the trials, with which a user can repeat them."""
    tried = diagnosis.tried
    yield Setting("checked", subject(diagnosis))
    yield Setting("called as", tried.convention)
    yield Setting("cell", tried.cell)
    yield Setting("dtype", tried.dtype)
    yield Setting("expected loss", f"{tried.reduction} over the steps")
    yield Setting("seed", str(tried.seed))
    yield Setting("charloom", charloom_version())
