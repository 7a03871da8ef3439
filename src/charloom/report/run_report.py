"""Writes the report of a run as one HTML file, and the plot of its loss.

It reads only the run directory, so a report can be made while another process trains the run. Text from
a network is untrusted: it is escaped, and control characters are replaced by visible signs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from charloom.errors import ConfigError
from charloom.formatting import number_of, one_of
from charloom.gradient_check import GradientCheck, StoredChecks, read_checks
from charloom.messages import for_command_line
from charloom.report import prose, sections
from charloom.report.curve_events import event_marks
from charloom.report.gradient_plot import curve_figure
from charloom.report.html_page import page
from charloom.report.learning_rate_plot import save_search_pictures, search_picture
from charloom.report.loss_plot import loss_figure
from charloom.report.main_rows import in_order
from charloom.report.page_data import Picture
from charloom.report.plot_files import coloured, inline_svg, picture_of, png_of, svg_of
from charloom.report.plot_style import LIGHT, NARROW, SENTINELS, WIDE
from charloom.report.records import OrderedRecords, Record, Records, gather
from charloom.report.samples import Samples, gather_samples
from charloom.report.sampling_section import GridSection, grid_section
from charloom.report.writer import passage_update
from charloom.run_file_names import LOSS_PNG, LOSS_SVG, METRICS, REPORT, SAMPLES
from charloom.sampling_grid import GridAxes
from charloom.store import RunInspection, inspect_run, replace_file
from charloom.store.journal import ProgressCallback, ignore_progress
from charloom.store.journal_lines import is_record, is_sample
from charloom.store.journal_objects import sound_objects
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.stored_search import read_search

# The size of a panel of the loss on the page: lower than in loss.svg, so that both panels fit below the text on paper.
ON_PAGE: Final = (WIDE[0], 300)
LARGEST: Final = 1e15  # largest number that a plot can show


@dataclass(frozen=True)
class Content:
    """The data of a run that its report shows, and messages about damaged files of the run."""

    view: RunInspection
    records: Records | None
    samples: Samples
    stored: StoredChecks
    search: LearningRateSearch | None
    damage: Sequence[str]
    grid: GridSection | None = None


def write_report(
    run: str | Path,
    output: str | Path | None = None,
    on_message: Callable[[str], None] = lambda _: None,
    on_progress: ProgressCallback = ignore_progress,
    grid: GridAxes | None = None,
) -> Path:
    """Write report.html, loss.svg and loss.png into a run directory.

    Each file is replaced atomically. The report of an unfinished run shows its state so far. For a run
    without a record, no plot of the loss is written. A run whose learning rate was searched also gets
    learning_rates.svg and learning_rates.png. The report leaves out damaged files and lines, and
    says so.

    Args:
        run: the run directory.
        output: the path of the page, instead of report.html in the run directory. If it is given, nothing
            is written into the run directory.
        on_message: called with a message about each damaged or missing file. The message has
            placeholders for arguments and commands; see `charloom.messages`.
        on_progress: called several times while metrics.jsonl or samples.jsonl is read, with the path of
            the file, the number of bytes read and its size in bytes.
        grid: the temperatures and the values of top-p of a table of texts, which the model of the run writes
            now; None leaves the table out.

    Returns:
        The path of the page.

    Raises:
        ConfigError: `output` is a directory.
        NotAModelError: `run` is not a run directory.
        NewerFormatError: a later version of charloom wrote a file in the run directory.
        DamagedError: config.json is damaged.
        ReadError: the disk failed while reading.
        WriteError: a file cannot be written.
    """
    if output is not None and Path(output).is_dir():
        raise ConfigError(f"{output} is a directory; give the path of a file.")
    content = read_content(run, on_progress, grid)
    for message in content.damage:
        on_message(message)
    html = render(
        content,
        loss_picture(content, write_files=output is None),
        curve_picture(content.stored.checks),
        rates_picture(content, write_files=output is None),
    )
    path = content.view.path / REPORT if output is None else Path(output)
    replace_file(path, html.encode("utf-8", "replace"), durable=False)
    return path


def read_content(
    run: str | Path, on_progress: ProgressCallback, grid: GridAxes | None = None
) -> Content:
    """Return the data of a run that its report shows. Read metrics.jsonl and samples.jsonl only once.

    `grid` has the rows and columns of a table of texts, which the model of the run writes; None leaves it out.
    """
    view = inspect_run(Path(run))
    view.require_settings()
    damage = list(view.damage)
    samples = read_samples(view, damage, on_progress)
    wanted = [*(sample.update for sample in samples.shown), passage_update(view)]
    records = read_records(
        view, [update for update in wanted if update is not None], damage, on_progress
    )
    stored = read_checks(view.path)
    stored = replace(stored, checks=tuple(map(in_order, stored.checks)))
    found = read_search(view.path)
    damage += [message for message in (stored.damage, found.damage) if message]
    table = None if grid is None else grid_section(view, grid, damage)
    return Content(view, records, samples, stored, found.search, damage, table)


def read_samples(view: RunInspection, damage: list[str], on_progress: ProgressCallback) -> Samples:
    """Return the samples that a report shows.

    If some samples of the run are damaged or lost, add a message to `damage`.
    """
    messages: list[str] = []
    lines = sound_objects(view.path / SAMPLES, is_sample, messages, on_progress, view.lengths)
    samples = gather_samples(lines)
    if messages:
        damage.append(" ".join([*messages, prose.kept_samples_sentence(samples)]))
    return samples


def read_records(
    view: RunInspection, wanted: Sequence[int], damage: list[str], on_progress: ProgressCallback
) -> Records | None:
    """Return the records that a report shows, including the last record at or before each `wanted` update.

    Return None if the run has no records. If some of its records are damaged or lost, add a message to
    `damage`.
    """
    messages: list[str] = []
    path = view.path / METRICS
    lines = sound_objects(path, is_record, messages, on_progress, view.lengths)
    sound = sound_records(map(Record.of, lines), path, messages)
    records = gather(sound, wanted, view.config.smoothing)
    if messages:
        damage.append(" ".join([*messages, prose.kept_records_sentence(records)]))
    return records


def sound_records(records: Iterable[Record], path: Path, damage: list[str]) -> Iterator[Record]:
    """Yield the records whose updates are in ascending order and whose losses fit into a plot.

    Add messages about the other records of the file `path` to `damage`.
    """
    ordered, large = OrderedRecords(records), 0
    for record in ordered:
        if max(record.update, record.smooth_loss, record.validation_nats or 0.0) < LARGEST:
            yield record
        else:
            large += 1
    if ordered.left_out:
        damage.append(
            f"{path} is damaged: {number_of(ordered.left_out, 'record')} left out, because their "
            f"updates are in a wrong order."
        )
    if large:
        damage.append(
            f"{path}: {number_of(large, 'record')} left out, because the loss is too large for a plot."
        )


def loss_picture(content: Content, write_files: bool) -> Picture | None:
    """Return the plot of the losses of a run; None if the run has no record.

    If `write_files` is True, also write the plot into the run directory as loss.svg and loss.png.
    """
    if content.records is None:
        return None
    config = content.view.config
    marks = event_marks(content.records, content.view.events)
    draw = partial(
        loss_figure, content.records, config.seq_length, one=one_of(config.tokens), marks=marks
    )
    wide = svg_of(draw(size=ON_PAGE, palette=SENTINELS))
    narrow = svg_of(draw(size=NARROW, palette=SENTINELS))
    if write_files:
        svg, png = coloured(svg_of(draw(palette=SENTINELS)), LIGHT), png_of(draw())
        # Do not wait until the files are on the disk: a report can be made again at any time.
        path = content.view.path
        replace_file(path / LOSS_SVG, svg.encode(), durable=False)
        replace_file(path / LOSS_PNG, png, durable=False)
    label = "The smooth loss over the updates, with red crosses at the ends of epochs"
    if content.records.best is not None:
        label += ", and the validation loss"
    if marks:
        label += f"; vertical lines mark events: {', '.join(marks)}"
    return Picture(inline_svg(wide, "loss-wide", label), inline_svg(narrow, "loss-narrow", label))


def rates_picture(content: Content, write_files: bool) -> Picture | None:
    """Return the plot of the search for the learning rate; None if the run has no search.

    If `write_files` is True, also write the plot into the run directory.
    """
    if content.search is None:
        return None
    one = one_of(content.view.config.tokens)
    if write_files:
        save_search_pictures(content.search, one, content.view.path)
    return search_picture(content.search, one)


def curve_picture(checks: Sequence[GradientCheck]) -> Picture | None:
    """Return the plot of the gradient checks; None if `checks` is empty."""
    if not checks:
        return None
    label = "The error of central differences over their step, and the error of the complex step"
    return picture_of(partial(curve_figure, checks), "curve", label)


def render(
    content: Content, loss: Picture | None, curve: Picture | None, rates: Picture | None
) -> str:
    """Return the report as HTML.

    Args:
        content: the data of the run.
        loss: the plot of the loss; None leaves it out.
        curve: the plot of the gradient checks; None leaves it out.
        rates: the plot of the search for the learning rate; None leaves it out.
    """
    view, records, stored = content.view, content.records, content.stored
    return page(
        "run.html",
        title=view.text.name,
        lede=sections.run_sentence(view),
        notice=sections.notice(view, records),
        divergence=sections.divergence(view, records),
        damage=list(map(for_command_line, content.damage)),
        key_figures=sections.key_figures(view, records),
        gradient=sections.gradient_section(stored.checks, curve),
        search=sections.search_section(view, content.search, rates),
        loss=sections.loss_section(view, records, loss),
        samples=sections.samples_section(view, content.samples, records),
        passage=sections.passage_section(view, records),
        grid=content.grid,
        settings=sections.settings_section(view, records),
        command=sections.repeating_command(view, whole=stored.begun),
    )
