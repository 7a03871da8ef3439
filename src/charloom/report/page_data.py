"""The types that the templates of the pages read. Their values are strings, ready to be shown.

This module knows nothing about runs, HTML or colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A plot as two SVG elements: one for wide screens and one for narrow screens."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class KeyFigure:
    """A number at the top of a page: its label, its value and notes such as the unit."""

    label: str
    value: str
    notes: Sequence[str]


@dataclass(frozen=True)
class ParameterErrors:
    """A row of the gradient table of the report: the errors of one parameter in one check."""

    parameter: str
    checked: str
    absolute: str
    elementwise: str
    worst: str
    norm_relative: str
    step: str
    central_absolute: str
    central_elementwise: str
    central_norm_relative: str
    passed: bool


@dataclass(frozen=True)
class CheckTable:
    """A gradient check: the size of the network, the other settings, and a row per parameter."""

    size: str
    details: str
    passed: bool
    rows: Sequence[ParameterErrors]


@dataclass(frozen=True)
class GradientSection:
    """The section on the gradient checks.

    Attributes:
        paragraphs: text about the results of the checks.
        main: the most important check, with few rows.
        columns: what the columns of the tables mean.
        picture: the plot of the errors.
        explanation: paragraphs about the errors of central differences; the first one is above the plot.
        checks: one table per check, which the page folds; empty if `main` shows every row.
        others: how many rows `main` leaves out, such as "35 more rows"; empty if there are none.
        total: how many rows there are, such as "all 40 rows of 8 checks".
        notes: how the checked entries were chosen.
    """

    paragraphs: Sequence[str]
    main: CheckTable
    columns: str
    picture: Picture
    explanation: Sequence[str]
    checks: Sequence[CheckTable]
    others: str
    total: str
    notes: Sequence[str]


@dataclass(frozen=True)
class SearchSection:
    """The section on the search for the learning rate."""

    paragraphs: Sequence[str]
    picture: Picture


@dataclass(frozen=True)
class EpochEnd:
    """A row of the table of epochs: the values at the end of one epoch."""

    epoch: str
    update: str
    smooth_loss: str
    bits: str
    time: str


@dataclass(frozen=True)
class LossSection:
    """The section on the smooth loss.

    Attributes:
        paragraphs: the text of the section.
        picture: the plot of the losses.
        per: the heading of the column of bits in the table of epochs, such as "bits per character".
        epochs: the rows of the table of epochs.
        left_out: how many epochs the table shows, such as "500 of 1,200 epochs", if the table leaves out
            epochs; otherwise empty.
    """

    paragraphs: Sequence[str]
    picture: Picture
    per: str
    epochs: Sequence[EpochEnd]
    left_out: str


@dataclass(frozen=True)
class SampleEntry:
    """A sample: its heading, the epoch and the losses at its update, and its text."""

    heading: str
    facts: Sequence[str]
    text: str


@dataclass(frozen=True)
class SamplesSection:
    """The section on the samples."""

    paragraphs: Sequence[str]
    entries: Sequence[SampleEntry]


@dataclass(frozen=True)
class PassageSection:
    """The section on the passage, the long text that a run writes at its end."""

    paragraphs: Sequence[str]
    text: str


@dataclass(frozen=True)
class Setting:
    """A row of a list of settings: a name and its value. `help` explains the name and may be empty."""

    name: str
    value: str
    help: str = ""


@dataclass(frozen=True)
class SettingsGroup:
    """A list of settings and its heading."""

    heading: str
    rows: Sequence[Setting]


@dataclass(frozen=True)
class SettingsSection:
    """The section on the settings.

    Attributes:
        groups: rows about the text, the software and the progress of the run.
        configuration: a row for each setting of the run, which a screen folds.
        number: how many settings there are, such as "48 settings".
        line: the settings that have an effect in one line, for paper.
    """

    groups: Sequence[SettingsGroup]
    configuration: Sequence[Setting]
    number: str
    line: str


@dataclass(frozen=True)
class GradientErrors:
    """A row of the tables of a diagnosis: the errors of one gradient, or of the loss, in one trial.

    A trial is one network with its data, on which the user's function was checked.
    """

    name: str
    norm_relative: str
    limit: str
    absolute: str
    elementwise: str
    worst: str
    where: str
    passed: bool


@dataclass(frozen=True)
class TrialErrors:
    """The table of one trial of a diagnosis: its heading, and a row for each gradient and for the loss.

    A trial is one network with its data, on which the user's function was checked.
    """

    heading: str
    rows: Sequence[GradientErrors]


@dataclass(frozen=True)
class ClassRow:
    """A row of the table of a class: the verdict on one submission.

    Attributes:
        link: the file of the submission's page.
        mistakes: the ids of the mistakes.
        notes: sentences for the teacher.
        largest: the largest norm-relative error; "" if it is not known.
    """

    link: str
    name: str
    file: str
    verdict: str
    passed: bool
    reason: str
    mistakes: str
    notes: Sequence[str]
    largest: str
    seconds: str


@dataclass(frozen=True)
class TracedRow:
    """A value of a trace.

    Attributes:
        name: its name, such as "h_1".
        equation: "= " and the right side of its equation; "" for a given value.
        numbers: the numbers, a list for each row of a matrix.
        verdict: "right" or "wrong" for the student's numbers; "" if there are none.
        mark: a sign for the verdict.
        given: the student's numbers if they are wrong, else empty.
        remark: what else there is to say about the student's numbers; may be empty.
    """

    name: str
    equation: str
    numbers: Sequence[Sequence[str]]
    verdict: str
    mark: str
    given: Sequence[Sequence[str]]
    remark: str


@dataclass(frozen=True)
class TraceSection:
    """A step of a trace: its id on the page, its heading and its values."""

    id: str
    heading: str
    rows: Sequence[TracedRow]
