"""The types of what the pages show: every value is a text that is ready to be laid out.

Templates read attributes of these. It knows nothing of runs, HTML or colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A picture as two SVG elements: one for wide screens, one for narrow ones."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class KeyFigure:
    """A figure at the head of a page: its label, its value and what goes with it."""

    label: str
    value: str
    notes: Sequence[str]


@dataclass(frozen=True)
class ParameterErrors:
    """A line of the report's gradient table: the errors of one parameter in one check."""

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
    """A gradient check: the size of the network, the other settings, and a line per parameter."""

    size: str
    details: str
    passed: bool
    rows: Sequence[ParameterErrors]


@dataclass(frozen=True)
class GradientSection:
    """The section on the gradient checks: the explanation stands below the picture."""

    paragraphs: Sequence[str]
    picture: Picture
    explanation: Sequence[str]
    checks: Sequence[CheckTable]
    notes: Sequence[str]


@dataclass(frozen=True)
class EpochEnd:
    """A line of the table of epochs: the figures of the record at an epoch's end."""

    epoch: str
    update: str
    smooth_loss: str
    bits: str
    time: str


@dataclass(frozen=True)
class LossSection:
    """The section on the smooth loss.

    `per` is the unit of the table's column of bits; `left_out` tells how many of the epochs the table
    has, and is empty where it has all.
    """

    paragraphs: Sequence[str]
    picture: Picture
    per: str
    epochs: Sequence[EpochEnd]
    left_out: str


@dataclass(frozen=True)
class SampleEntry:
    """A sample under its heading, with the figures of the model that wrote it."""

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
    """The section on the long passage."""

    paragraphs: Sequence[str]
    text: str


@dataclass(frozen=True)
class Setting:
    """A line of a list of settings; `help` explains the name and may be empty."""

    name: str
    value: str
    help: str = ""


@dataclass(frozen=True)
class SettingsGroup:
    """Settings under a heading."""

    heading: str
    rows: Sequence[Setting]


@dataclass(frozen=True)
class GradientErrors:
    """A line of the doctor's tables: the errors of one gradient in one trial."""

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
    """A trial in words, and the errors of each gradient in it."""

    heading: str
    rows: Sequence[GradientErrors]
