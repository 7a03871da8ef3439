"""The report of a run: what the run directory holds, as one HTML file that needs nothing else.

It reads the run directory and nothing more, so a run can be reported while another process trains
it, or years later. Whatever a network wrote is untrusted text: it is escaped, and characters that
could disturb the page are shown as signs of themselves.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from charloom.errors import DamagedError
from charloom.gradcheck import GradientCheck
from charloom.report import sections
from charloom.report.plots import (
    DARK,
    LIGHT,
    NARROW,
    SENTINELS,
    WIDE,
    coloured,
    curve_figure,
    inline_svg,
    loss_figure,
    png_of,
    svg_of,
)
from charloom.report.prose import Record
from charloom.store import RunView, read_run, replace_file

REPORT: Final = "report.html"
LOSS_SVG: Final = "loss.svg"
LOSS_PNG: Final = "loss.png"

TEMPLATES: Final = Path(__file__).parent / "templates"

# Signs that reorder the text around them: shown as their code points instead.
REORDERING: Final = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def write_report(run: str | Path) -> Path:
    """Write report.html, loss.svg and loss.png into a run directory, from what is in it.

    Each file is replaced at once. A run that is not finished gives a report of what there is; one
    without a record gives no picture of the loss.

    Returns:
        The path of report.html.

    Raises:
        NotAModelError: the path is no run directory.
        DamagedError: a file in it is not as it was written.
        WriteError: the disk refused.
    """
    view = read_run(run)
    metrics = [record for record in view.metrics if is_record(record)]
    pictures: dict[str, Markup] = {}
    if metrics:
        wide = svg_of(loss_figure(metrics, view.config.seq_length, palette=SENTINELS))
        narrow = svg_of(
            loss_figure(metrics, view.config.seq_length, size=NARROW, palette=SENTINELS)
        )
        label = "The smooth loss against updates, with a red cross at the end of each epoch"
        pictures["loss_wide"] = inline_svg(wide, "loss-wide", label)
        pictures["loss_narrow"] = inline_svg(narrow, "loss-narrow", label)
        png = png_of(loss_figure(metrics, view.config.seq_length))
        # A report can be made again at any time, so nobody waits for the disk.
        replace_file(view.path / LOSS_SVG, coloured(wide, LIGHT).encode(), durable=False)
        replace_file(view.path / LOSS_PNG, png, durable=False)
    checks = gradient_checks(view)
    if checks:
        label = "The error of central differences against their step, and of the complex step"
        for name, width in (("curve_wide", WIDE[0]), ("curve_narrow", NARROW[0])):
            svg = svg_of(curve_figure(checks, width=width, palette=SENTINELS))
            pictures[name] = inline_svg(svg, name.replace("_", "-"), label)
    page = render(view, metrics, checks, pictures)
    replace_file(view.path / REPORT, page.encode("utf-8", "replace"), durable=False)
    return view.path / REPORT


def render(
    view: RunView,
    metrics: Sequence[Record],
    checks: Sequence[GradientCheck],
    pictures: Mapping[str, Markup],
) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    template = environment.get_template("report.html")
    samples = [sample for sample in view.samples if is_sample(sample)]
    return template.render(
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        colours={"light": variables(LIGHT), "dark": variables(DARK)},
        pictures=pictures,
        title=view.text["name"],
        lede=sections.lede(view),
        notice=sections.notice(view, metrics),
        key_figures=sections.key_figures(view, metrics),
        gradient=sections.gradient_section(checks),
        loss=sections.loss_section(view, metrics),
        samples=sections.samples_section(view, samples, metrics),
        passage=sections.passage_section(view, metrics),
        settings=sections.settings_section(view, metrics),
        command=sections.command(view),
    )


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether a line of metrics.jsonl has the numbers that the report shows."""
    numbers = [record.get(name) for name in ("update", "epoch", "characters", "smooth_loss")]
    return all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)


def is_sample(sample: Mapping[str, Any]) -> bool:
    """Whether a line of samples.jsonl is a sample."""
    return isinstance(sample.get("update"), int) and isinstance(sample.get("text"), str)


def gradient_checks(view: RunView) -> list[GradientCheck]:
    """The gradient checks of a run; none where it has no gradcheck.json."""
    if view.gradcheck is None:
        return []
    try:
        return [GradientCheck.from_dict(check) for check in view.gradcheck["checks"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(
            f"{view.path / 'gradcheck.json'} is damaged: {error!r} where a gradient check should "
            f"be. Remove the file to have a report without it."
        ) from None


def shown(text: str) -> str:
    """A text as it can stand in a page: what would disturb it is shown as a sign of itself.

    Control characters become their pictures (U+0000 becomes ␀), bidirectional controls their code
    points, halves of surrogate pairs the replacement character. Line feeds and tabs stay.
    """
    return "".join(map(sign, text.replace("\r\n", "\n")))


def sign(character: str) -> str:
    """One character as it can stand in a page."""
    point = ord(character)
    if character in "\n\t":
        return character
    if point < 0x20:
        return chr(0x2400 + point)
    if point == 0x7F:
        return "\u2421"
    if unicodedata.category(character) == "Cs":
        return "\ufffd"
    if (
        unicodedata.category(character) == "Cc"
        or unicodedata.bidirectional(character) in REORDERING
    ):
        return f"[U+{point:04X}]"
    return character


def variables(palette: Mapping[str, str]) -> Markup:
    """A palette as CSS variables."""
    return Markup("; ".join(f"--{name}: {colour}" for name, colour in palette.items()))
