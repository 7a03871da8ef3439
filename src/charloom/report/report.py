"""The report of a run: what the run directory holds, as one HTML file that needs nothing else.

It reads the run directory and nothing more, so a run can be reported while another process trains
it, or years later. Whatever a network wrote is untrusted text: it is escaped, and characters that
could disturb the page are shown as signs of themselves.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from charloom.errors import ConfigError, DamagedError
from charloom.gradcheck import GradientCheck
from charloom.messages import for_command_line
from charloom.report import prose, sections
from charloom.report.content import Picture
from charloom.report.page import page
from charloom.report.plots import (
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
from charloom.spelling import one_of
from charloom.store import RunView, damaged_models, read_run, replace_file

REPORT: Final = "report.html"
LOSS_SVG: Final = "loss.svg"
LOSS_PNG: Final = "loss.png"

# What each record must have to be shown, and what it may have.
NEEDED: Final = ("update", "epoch", "characters", "smooth_loss")
WELCOME: Final = ("seconds", "train_nats", "validation_nats")
LARGEST: Final = 1e15  # of a number that a picture can hold


def write_report(
    run: str | Path,
    output: str | Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write report.html, loss.svg and loss.png into a run directory, from what is in it.

    Each file is replaced at once. A run that is not finished gives a report of what there is; one
    without a record gives no picture of the loss. Where something in it is damaged, the page is made
    of what is whole, and says so.

    Args:
        run: the run directory.
        output: where to write the page instead; nothing is then written into the run.
        tell: called with a marked message about each thing that is damaged or missing.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the output is a directory.
        NotAModelError: the path is no run directory.
        DamagedError: its config.json or its gradient check is not as it was written.
        WriteError: the disk refused.
    """
    if output is not None and Path(output).is_dir():
        raise ConfigError(f"{output} is a directory; name a file in it.")
    damage: list[str] = []
    view = read_run(run, damage)
    # A pointer that is damaged is told of with the checkpoint that one can use instead.
    models = damaged_models(view)
    damage = [told for told in damage if not any(model.startswith(told) for model in models)]
    damage += models
    for told in damage:
        tell(told)
    metrics = sorted(filter(is_record, view.metrics), key=lambda record: record["update"])
    loss_picture = curve_picture = None
    if metrics:
        draw = partial(loss_figure, metrics, view.config.seq_length, one=one_of(view.config.tokens))
        wide = svg_of(draw(palette=SENTINELS))
        narrow = svg_of(draw(size=NARROW, palette=SENTINELS))
        label = "The smooth loss against updates, with a red cross at the end of each epoch"
        if prose.best_judged(metrics) is not None:
            label += ", and the loss on the validation part"
        loss_picture = Picture(
            inline_svg(wide, "loss-wide", label), inline_svg(narrow, "loss-narrow", label)
        )
        if output is None:
            png = png_of(draw())
            # A report can be made again at any time, so nobody waits for the disk.
            replace_file(view.path / LOSS_SVG, coloured(wide, LIGHT).encode(), durable=False)
            replace_file(view.path / LOSS_PNG, png, durable=False)
    checks = gradient_checks(view)
    if checks:
        label = "The error of central differences against their step, and of the complex step"
        curve_picture = Picture(
            *(
                inline_svg(svg_of(curve_figure(checks, width=width, palette=SENTINELS)), id, label)
                for id, width in (("curve-wide", WIDE[0]), ("curve-narrow", NARROW[0]))
            )
        )
    html = render(view, metrics, checks, loss_picture, curve_picture, damage)
    path = view.path / REPORT if output is None else Path(output)
    replace_file(path, html.encode("utf-8", "replace"), durable=False)
    return path


def render(
    view: RunView,
    metrics: Sequence[Record],
    checks: Sequence[GradientCheck],
    loss_picture: Picture | None,
    curve_picture: Picture | None,
    damage: Sequence[str],
) -> str:
    """The page as HTML."""
    samples = [sample for sample in view.samples if is_sample(sample)]
    return page(
        "report.html",
        title=view.text["name"],
        lede=sections.lede(view),
        notice=sections.notice(view, metrics),
        damage=list(map(for_command_line, damage)),
        key_figures=sections.key_figures(view, metrics),
        gradient=sections.gradient_section(checks, curve_picture),
        loss=sections.loss_section(view, metrics, loss_picture),
        samples=sections.samples_section(view, samples, metrics),
        passage=sections.passage_section(view, metrics),
        settings=sections.settings_section(view, metrics),
        command=sections.own_command(view),
    )


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether a line of metrics.jsonl has the numbers that the report shows."""
    return all(is_number(record.get(name)) for name in NEEDED) and all(
        record.get(name) is None or is_number(record[name]) for name in WELCOME
    )


def is_number(value: object) -> bool:
    """Whether a value can be drawn and written."""
    return type(value) in (int, float) and -LARGEST < value < LARGEST  # type: ignore[operator]


def is_sample(sample: Mapping[str, Any]) -> bool:
    """Whether a line of samples.jsonl is a sample."""
    return is_number(sample.get("update")) and isinstance(sample.get("text"), str)


def gradient_checks(view: RunView) -> list[GradientCheck]:
    """The gradient checks of a run; none where it has no gradcheck.json."""
    if view.gradcheck is None:
        return []
    try:
        checks = [GradientCheck.from_dict(check) for check in view.gradcheck["checks"]]
        if not all(fits(check, GradientCheck) for check in checks):
            raise TypeError("a value of another type")
        return checks
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(
            f"{view.path / 'gradcheck.json'} is damaged: {error!r} where a gradient check should "
            f"be. Remove the file to have a report without it."
        ) from None


def fits(value: Any, kind: Any) -> bool:
    """Whether a value, and in a dataclass each of its fields, is of the type that it is said to be."""
    if dataclasses.is_dataclass(kind):
        return all(fits(getattr(value, name), k) for name, k in get_type_hints(kind).items())
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(fits(part, parts[0]) for part in value)
    if parts:
        return any(fits(value, part) for part in parts)
    return type(value) in ((int, float) if kind is float else (kind,))
