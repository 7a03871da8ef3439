"""The report of a run: what the run directory holds, as one HTML file that needs nothing else.

It reads the run directory and nothing more, so a run can be reported while another process trains
it, or years later. Whatever a network wrote is untrusted text: it is escaped, and characters that
could disturb the page are shown as signs of themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from markupsafe import Markup

from charloom.errors import ConfigError
from charloom.gradcheck import GradientCheck, StoredChecks, read_checks
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
from charloom.report.records import Ordered, Record, Records, gather
from charloom.report.samples import Samples, gather_samples
from charloom.report.writer import passage_update
from charloom.spelling import number_of, one_of
from charloom.store import RunOutline, damaged_models, read_outline, replace_file
from charloom.store.journal import Watch, unwatched
from charloom.store.layout import METRICS, SAMPLES
from charloom.store.lines import is_record, is_sample
from charloom.store.view import lengths_of, sound_objects

REPORT: Final = "report.html"
LOSS_SVG: Final = "loss.svg"
LOSS_PNG: Final = "loss.png"

LARGEST: Final = 1e15  # of a number that a picture can hold


@dataclass(frozen=True)
class Content:
    """What a report is made of: everything of a run that it shows, and what could not be read."""

    view: RunOutline
    records: Records | None
    samples: Samples
    stored: StoredChecks
    damage: Sequence[str]


def write_report(
    run: str | Path,
    output: str | Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    watch: Watch = unwatched,
) -> Path:
    """Write report.html, loss.svg and loss.png into a run directory, from what is in it.

    Each file is replaced at once. A run that is not finished gives a report of what there is; one
    without a record gives no picture of the loss. Where something in it is damaged, the page is made
    of what is whole, and says so.

    Args:
        run: the run directory.
        output: where to write the page instead; nothing is then written into the run.
        tell: called with a marked message about each thing that is damaged or missing.
        watch: called now and then while a journal is read: its path, the bytes that were read, and all.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the output is a directory.
        NotAModelError: the path is no run directory.
        DamagedError: its config.json is not as it was written.
        WriteError: the disk refused.
    """
    if output is not None and Path(output).is_dir():
        raise ConfigError(f"{output} is a directory; name a file in it.")
    content = read_content(run, watch)
    for told in content.damage:
        tell(told)
    html = render(
        content,
        loss_picture(content, write_files=output is None),
        curve_picture(content.stored.checks),
    )
    path = content.view.path / REPORT if output is None else Path(output)
    replace_file(path, html.encode("utf-8", "replace"), durable=False)
    return path


def read_content(run: str | Path, watch: Watch) -> Content:
    """Everything that a report shows of a run; each journal is read once."""
    damage: list[str] = []
    view = read_outline(run, damage)
    samples = read_samples(view, damage, watch)
    wanted = [*(sample.update for sample in samples.shown), passage_update(view)]
    records = read_records(view, [update for update in wanted if update is not None], damage, watch)
    stored = read_checks(view.path)
    damage += [stored.damage] if stored.damage else []
    # A pointer that is damaged is told of with the checkpoint that one can use instead.
    models = damaged_models(view)
    damage = [told for told in damage if not any(model.startswith(told) for model in models)]
    return Content(view, records, samples, stored, [*damage, *models])


def read_samples(view: RunOutline, damage: list[str], watch: Watch) -> Samples:
    """The samples that a report shows; `damage` gets a sentence where some are damaged or lost."""
    told: list[str] = []
    lines = sound_objects(view.path / SAMPLES, is_sample, told, watch, lengths_of(view))
    samples = gather_samples(lines)
    if told:
        damage.append(" ".join([*told, prose.samples_left(samples)]))
    return samples


def read_records(
    view: RunOutline, wanted: Sequence[int], damage: list[str], watch: Watch
) -> Records | None:
    """What a report keeps of the records, those of the `wanted` updates too; `damage` as `read_samples`."""
    told: list[str] = []
    path = view.path / METRICS
    lines = sound_objects(path, is_record, told, watch, lengths_of(view))
    records = gather(sound_records(map(Record.of, lines), path, told), wanted)
    if told:
        damage.append(" ".join([*told, prose.records_left(records)]))
    return records


def sound_records(records: Iterable[Record], path: Path, damage: list[str]) -> Iterator[Record]:
    """Yield the records that can be drawn; where others are left out, `damage` gets a sentence."""
    ordered, large = Ordered(records), 0
    for record in ordered:
        if can_be_drawn(record):
            yield record
        else:
            large += 1
    if ordered.left_out:
        damage.append(
            f"{path} is damaged: {number_of(ordered.left_out, 'record')} left out, because the order of "
            f"the updates is wrong there."
        )
    if large:
        damage.append(
            f"{path}: {number_of(large, 'record')} left out, because no picture can hold the loss."
        )


def loss_picture(content: Content, write_files: bool) -> Picture | None:
    """The picture of the smooth loss, which is also written into the run if that is wanted; None
    without a record."""
    if content.records is None:
        return None
    config = content.view.config
    draw = partial(loss_figure, content.records, config.seq_length, one=one_of(config.tokens))
    wide = svg_of(draw(palette=SENTINELS))
    narrow = svg_of(draw(size=NARROW, palette=SENTINELS))
    if write_files:
        png = png_of(draw())
        # A report can be made again at any time, so nobody waits for the disk.
        path = content.view.path
        replace_file(path / LOSS_SVG, coloured(wide, LIGHT).encode(), durable=False)
        replace_file(path / LOSS_PNG, png, durable=False)
    label = "The smooth loss against updates, with a red cross at the end of each epoch"
    if content.records.best is not None:
        label += ", and the loss on the validation part"
    return Picture(inline_svg(wide, "loss-wide", label), inline_svg(narrow, "loss-narrow", label))


def curve_picture(checks: Sequence[GradientCheck]) -> Picture | None:
    """The picture of the gradient checks; None without a check."""
    if not checks:
        return None
    label = "The error of central differences against their step, and of the complex step"

    def drawn(name: str, width: int) -> Markup:
        svg = svg_of(curve_figure(checks, width=width, palette=SENTINELS))
        return inline_svg(svg, f"curve-{name}", label)

    return Picture(drawn("wide", WIDE[0]), drawn("narrow", NARROW[0]))


def render(content: Content, loss: Picture | None, curve: Picture | None) -> str:
    """The page as HTML."""
    view, records, stored = content.view, content.records, content.stored
    return page(
        "report.html",
        title=view.text["name"],
        lede=sections.lede(view),
        notice=sections.notice(view, records),
        damage=list(map(for_command_line, content.damage)),
        key_figures=sections.key_figures(view, records),
        gradient=sections.gradient_section(stored.checks, curve),
        loss=sections.loss_section(view, records, loss),
        samples=sections.samples_section(view, content.samples, records),
        passage=sections.passage_section(view, records),
        settings=sections.settings_section(view, records),
        command=sections.own_command(view, whole=stored.begun),
    )


def can_be_drawn(record: Record) -> bool:
    """Whether a picture can hold the numbers of a record."""
    return max(record.update, record.smooth_loss, record.validation_nats or 0.0) < LARGEST
