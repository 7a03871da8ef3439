"""Makes the contents of each section of the report, as strings for the template.

The caller passes the data of the run. This module reads no file and knows nothing about HTML or colours.
"""

import math
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from charloom.config import Config, help_of, without_effect
from charloom.formatting import (
    bits_per_character,
    capitalized,
    count,
    counted,
    decimals,
    duration,
    number_of,
    one_of,
    power_of_ten,
    scientific,
)
from charloom.gradient_check import GradientCheck, Row
from charloom.messages import command, for_command_line, terminal_command
from charloom.model import parameter_shapes
from charloom.model.input_pairs import pair_rows
from charloom.model.schedule import Schedule
from charloom.recipes import CLASSIC, DEFAULT_RECIPE, RECIPES
from charloom.registered_cells import cell_named
from charloom.report import prose
from charloom.report.curve_events import event_story
from charloom.report.main_rows import main_check
from charloom.report.page_data import (
    CheckTable,
    EpochEnd,
    GradientSection,
    KeyFigure,
    LossSection,
    ParameterErrors,
    PassageSection,
    Picture,
    SampleEntry,
    SamplesSection,
    SearchSection,
    Setting,
    SettingsGroup,
    SettingsSection,
)
from charloom.report.records import Record, Records
from charloom.report.samples import Samples
from charloom.report.validation_coverage import JudgedPart
from charloom.report.writer import Writer, end_of
from charloom.run_file_names import TEXT
from charloom.store import RunInspection, charloom_version
from charloom.store.end_events import END_CHANGED, has_valid_end, with_last_end
from charloom.store.journal_lines import is_finite
from charloom.store.json_numbers import is_number
from charloom.store.model_start import START_NATS, read_start_losses
from charloom.training import Sample
from charloom.training.divergence_message import divergence_sentence
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.learning_rate_words import learning_rate_sentence
from charloom.training.overfitting_message import overfitting_sentence
from charloom.training.schedule_message import late_schedule
from charloom.training.start_message import bad_starts


def run_sentence(view: RunInspection) -> str:
    """Return the first lines of the report: the network, the text, for how long it learns, and the learning rate."""
    config, text = view.config, view.text
    title = cell_named(config.cell).title
    layers = "" if config.layers == 1 else f"{number_of(config.layers, 'layer')} of "
    streams = "" if config.batch_size == 1 else f" in {count(config.batch_size)} streams"
    return (
        f"{title[:1].upper()}{title[1:]} with {layers}{count(config.hidden_size)} hidden units"
        f"{extras_phrase(config, text.vocabulary_size)} learns to write like this text of {count(text.characters)} {config.tokens}, "
        f"{count(text.vocabulary_size)} of them different. It is trained for {'at most ' if config.patience else ''}{length_of_run(config)} with windows of "
        f"{count(config.seq_length)} {config.tokens}{streams}. {learning_rate_sentence(config)}"
    )


def extras_phrase(config: Config, characters: int) -> str:
    """Return a phrase about the pairs that the network reads and the n-grams that help it; "" without both.

    `characters` is the number of characters in the vocabulary.
    """
    phrases = []
    if config.input_pairs:
        rows = pair_rows(config, characters)
        phrases.append(f"inputs for {count(rows)} pairs of {config.tokens}")
    if config.ngram_order:
        phrases.append(f"n-grams of up to {counted(config.ngram_order, one_of(config.tokens))}")
    start = ", " if len(phrases) == 2 else " and "
    return start + " and ".join(phrases) if phrases else ""


def length_of_run(config: Config) -> str:
    """Return the planned length of a run as text: a number of updates or of epochs."""
    return counted(config.updates, "update") if config.updates else counted(config.epochs, "epoch")


def notice(view: RunInspection, records: Records | None) -> str | None:
    """Return a notice saying that the run is not finished; None if the run is finished."""
    status, done = view.status, records.last.update if records else 0
    done = max(done, status.update if status else 0)
    if status.state == "finished" if status else done >= view.updates:
        return None
    state = f" (state: {status.state})" if status else ""
    resume, again = command("resume", view.path), terminal_command("report", view.path)
    return for_command_line(
        f"This run is not finished: {count(done)} of {count(view.updates)} updates are done{state}. "
        f"This report shows its state so far. If no process trains it any more, {resume} continues it. "
        f"{again} writes this report again."
    )


def divergence(view: RunInspection, records: Records | None) -> str | None:
    """Return a sentence saying that training diverged; None if it did not, or if the run has no record."""
    if records is None:
        return None
    last, factors = records.last, [event.get("learning_rate_factor") for event in view.events]
    factor = next(filter(is_number, reversed(factors)), 1.0)
    sentence = divergence_sentence(
        view.config, view.text.vocabulary_size, last.update, last.train_nats, factor
    )
    return None if sentence is None else capitalized(for_command_line(sentence))


def key_figures(view: RunInspection, records: Records | None) -> list[KeyFigure]:
    """Return the key figures: the first, lowest and last smooth loss, and the training time.

    If the run has validation losses, the lowest validation loss replaces the lowest smooth loss.
    """
    if records is None:
        return []
    T, last, best = view.config.seq_length, records.last, records.best
    tokens, one = view.config.tokens, one_of(view.config.tokens)
    figures = [smooth_figure("First", records.first, T, one)]
    if best is None or best.validation_nats is None:
        figures.append(smooth_figure("Lowest", records.lowest, T, one))
    figures.append(smooth_figure("Last", last, T, one))
    if best is not None and best.validation_nats is not None:
        nats = best.validation_nats
        notes = [f"bits per {one}", f"{nats:.4f} nats", f"at update {count(best.update)}"]
        part = JudgedPart.of(view)
        if part is not None and not part.is_whole:
            notes.append(f"on {count(part.predicted)} of its {count(part.held_out)} {tokens}")
        bits = f"{bits_per_character(nats):.3f}"
        figures.append(KeyFigure("Lowest validation loss", bits, notes))
    if last.seconds:
        rates = [
            f"{last.update / last.seconds:,.0f} updates per second",
            f"{last.characters / last.seconds:,.0f} {tokens} per second",
        ]
        figures.append(KeyFigure("Training time", duration(last.seconds), rates))
    return figures


def smooth_figure(which: str, record: Record, seq_length: int, one: str) -> KeyFigure:
    """Return the smooth loss of a record as a key figure.

    Args:
        which: first word of the label: First, Lowest or Last.
        record: the record.
        seq_length: sequence length T, to convert nats per window to bits.
        one: unit of prediction: character or byte.
    """
    bits = f"{decimals(bits_per_character(record.smooth_loss, seq_length), 2)} bits per {one}"
    notes = ["nats per window", bits, f"at update {count(record.update)}"]
    return KeyFigure(f"{which} smooth loss", decimals(record.smooth_loss, 2), notes)


def gradient_section(
    checks: Sequence[GradientCheck], picture: Picture | None
) -> GradientSection | None:
    """Return the section on the gradient checks; None if `picture`, their plot, is None."""
    if picture is None:
        return None
    main, rows = main_check(checks), sum(len(check.rows) for check in checks)
    others = rows - len(main.rows)
    return GradientSection(
        paragraphs=prose.gradient_story(checks),
        picture=picture,
        main=check_table(main),
        columns=prose.COLUMN_NOTE,
        explanation=prose.central_story(checks),
        checks=[check_table(check) for check in checks] if others else [],
        others=f"{counted(others, 'more row')}" if others else "",
        total=f"all {counted(rows, 'row')} of {counted(len(checks), 'check')}",
        notes=prose.gradient_notes(checks),
    )


def search_section(
    view: RunInspection, search: LearningRateSearch | None, picture: Picture | None
) -> SearchSection | None:
    """Return the section on the search for the learning rate; None if the run has none."""
    if search is None or picture is None:
        return None
    return SearchSection(prose.search_story(search, view.config), picture)


def check_table(check: GradientCheck) -> CheckTable:
    """Return the table of one gradient check."""
    return CheckTable(
        size=prose.size(check),
        details=f"{check.settings.dtype}, {prose.initial_values_text(check)}, engine {check.settings.engine}",
        passed=check.passed,
        rows=[parameter_errors(row) for row in check.rows],
    )


def parameter_errors(row: Row) -> ParameterErrors:
    """Return as text the errors of one parameter in a gradient check. `row` holds their values."""
    return ParameterErrors(
        parameter=row.parameter,
        checked=f"{count(row.checked)} of {count(row.total)}",
        absolute=scientific(row.absolute),
        elementwise=scientific(row.elementwise),
        worst=prose.worst_entry(row),
        norm_relative=scientific(row.norm_relative),
        step=power_of_ten(row.central.step),
        central_absolute=scientific(row.central.absolute),
        central_elementwise=scientific(row.central.elementwise),
        central_norm_relative=scientific(row.central.norm_relative),
        passed=row.passed,
    )


def loss_section(
    view: RunInspection, records: Records | None, picture: Picture | None
) -> LossSection | None:
    """Return the section on the smooth loss; None if the run has no record."""
    if records is None or picture is None:
        return None
    shown = f"{count(len(records.ends))} of {count(records.epochs)} epochs"
    return LossSection(
        paragraphs=[
            *prose.loss_story(
                records, view.config, view.text.vocabulary_size, JudgedPart.of(view), view.best
            ),
            *event_story(records, view.events),
            *schedule_paragraph(view),
            *overfitting_paragraph(view, records),
        ],
        picture=picture,
        per=f"bits per {one_of(view.config.tokens)}",
        epochs=[epoch_end(record, view.config.seq_length) for record in records.ends],
        left_out=shown if len(records.ends) < records.epochs else "",
    )


def schedule_paragraph(view: RunInspection) -> list[str]:
    """Return a list with a paragraph saying that a part of the schedule lies beyond the end of the run; or an empty one."""
    problem = late_schedule(Schedule.of(view.config, view.text.characters))
    return [] if problem is None else [capitalized(for_command_line(problem))]


def overfitting_paragraph(view: RunInspection, records: Records) -> list[str]:
    """Return a list with a paragraph saying that the model overfits.

    Return an empty list if the model does not overfit, or if the run diverged or is not finished.
    """
    found = records.overfitting
    if found is None or not view.config.validation or notice(view, records) is not None:
        return []
    if divergence(view, records) is not None:
        return []
    sentence = for_command_line(
        overfitting_sentence(found, view.best, terminal_command("sample", view.path))
    )
    return [capitalized(sentence)]


def epoch_end(record: Record, seq_length: int) -> EpochEnd:
    """Return the table row of a record at the end of an epoch."""
    return EpochEnd(
        epoch=count(int(record.epoch)),
        update=count(record.update),
        smooth_loss=decimals(record.smooth_loss, 2),
        bits=f"{bits_per_character(record.smooth_loss, seq_length):.3f}",
        time=duration(record.seconds),
    )


def samples_section(
    view: RunInspection, samples: Samples, records: Records | None
) -> SamplesSection | None:
    """Return the section on the samples; None if there are none."""
    if not samples.shown:
        return None
    at = [record_before(records, sample.update, view.config) for sample in samples.shown]
    return SamplesSection(
        prose.samples_story(samples.shown, samples.drawn, at[-1]),
        [
            sample_entry(sample, record, view.config)
            for sample, record in zip(samples.shown, at, strict=True)
        ],
    )


def record_before(records: Records | None, update: int, config: Config) -> Record | None:
    """Return the last record at or before `update`; None if this record was lost.

    A run writes a record every `report_every` updates. So if the last record found is at least
    `report_every` updates older than `update`, the right record was lost.
    """
    record = records.at.get(update) if records else None
    if record is None or update - record.update >= config.report_every:
        return None
    return record


def sample_entry(sample: Sample, record: Record | None, config: Config) -> SampleEntry:
    """Return a sample with the losses of `record`.

    `record` is the last record at or before the update of the sample; None if it was lost.
    """
    if not sample.update:
        return SampleEntry("Before training", [], sample.text)
    facts = []
    if record is not None:
        bits = bits_per_character(record.smooth_loss, config.seq_length)
        facts = [
            f"epoch {record.epoch:.2f}",
            f"smooth loss {decimals(record.smooth_loss, 2)} nats",
            f"{decimals(bits, 2)} bits per {one_of(config.tokens)}",
        ]
    return SampleEntry(f"Update {count(sample.update)}", facts, sample.text)


def passage_section(view: RunInspection, records: Records | None) -> PassageSection | None:
    """Return the section on the passage, the long sample that a run writes at its end.

    Return None if the run has not written its passage yet.
    """
    if not view.passage:
        return None
    writer = Writer.of(view, records)
    story = prose.passage_story(view.passage, writer, view.config, view.text.vocabulary_size)
    return PassageSection([*story, *start_paragraph(view, records)], view.passage)


def start_paragraph(view: RunInspection, records: Records | None) -> list[str]:
    """Return a list with a paragraph saying that the model writes badly from a state in which it can begin.

    Return an empty list if it writes well, if this was not measured, or if the run is not finished.
    """
    problem = bad_starts(read_start_losses(end_of(view).get(START_NATS)))
    if problem is None or notice(view, records) is not None:
        return []
    return [capitalized(for_command_line(problem))]


def settings_section(view: RunInspection, records: Records | None) -> SettingsSection:
    """Return the section with rows about the text, about software and progress, and the run's settings."""
    configuration = configuration_rows(view)
    return SettingsSection(
        groups=[
            SettingsGroup("Text", text_rows(view)),
            SettingsGroup("Software and progress", software_rows(view, records)),
        ],
        configuration=configuration,
        number=counted(len(configuration), "setting"),
        line=configuration_line(view),
    )


def text_rows(view: RunInspection) -> list[Setting]:
    """Return the rows about the text: its name, length, vocabulary size and SHA-256."""
    text, tokens = view.text, view.config.tokens
    return [
        Setting("name", text.name),
        Setting(tokens, count(text.characters), "the length of the text"),
        Setting("vocabulary", count(text.vocabulary_size), f"number of different {tokens}, K"),
        Setting("SHA-256", text.fingerprint),
    ]


def software_rows(view: RunInspection, records: Records | None) -> list[Setting]:
    """Return rows about the software, the network's size and the progress of a run.

    The rows name the software that trained the run, and the software that made the report.
    """
    seconds, done = (records.last.seconds, records.last.update) if records else (0.0, 0)
    epoch = f"{records.last.epoch:,.2f}".removesuffix(".00") if records else "0"
    goal = length_of_run(view.config)
    reached = f"update {count(done)}, after {epoch} epochs; the goal is {goal}"
    shapes = parameter_shapes(view.config, view.text.vocabulary_size).values()
    parameters = sum(map(math.prod, shapes))
    taken = f"{seconds:,.1f} for {count(done)} of {counted(view.updates, 'update')}"
    page = (
        f"charloom {charloom_version()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, matplotlib {matplotlib.__version__}, {platform.machine()}"
    )
    return [
        Setting("charloom", view.version, "the version that started the run"),
        Setting("engine", view.engine or "not recorded", "the engine that trained last"),
        Setting("trained with", software_and_machine(view)),
        Setting("parameters", count(parameters), "the numbers that training changes"),
        Setting("progress", reached),
        Setting("seconds", taken, "time of training"),
        *changes(view),
        Setting("this page", page),
    ]


def configuration_line(view: RunInspection) -> str:
    """Return the settings that have an effect in one line, for paper: "recipe classic · cell rnn · …"."""
    config = view.config
    parts = [
        f"{row.name} {row.value}"
        for row in configuration_rows(view)
        if row.value and not without_effect(config, [row.name])
    ]
    return " · ".join(parts)


def configuration_rows(view: RunInspection) -> list[Setting]:
    """Return a row for each setting of the run."""
    settings: dict[str, Any] = view.config.to_dict()
    if settings["updates"] is not None:
        settings["epochs"] = None  # `epochs` has no effect if `updates` sets the end of the run
    return [
        Setting(name, "none" if value is None else str(value), help_of(name))
        for name, value in settings.items()
    ]


def software_and_machine(view: RunInspection) -> str:
    """Return the versions of the software that trained the run last, and the kind of machine, as text."""
    starts = [event for event in view.events if "engine" in event]
    last = starts[-1] if starts else {}
    names = {"version": "charloom ", "python": "Python ", "numpy": "NumPy ", "machine": ""}
    known = [f"{names[name]}{last[name]}" for name in names if isinstance(last.get(name), str)]
    return ", ".join(known) or "not recorded"


def changes(view: RunInspection) -> list[Setting]:
    """Return rows with the updates at which the run was resumed, or its learning rate or end was changed."""
    resumed = [
        f"from update {count(event['update'])}"
        for event in view.events
        if event["event"] == "resumed"
    ]
    steered = [
        f"× {event['learning_rate_factor']:g} from update {count(event['update'])}"
        for event in view.events
        if event["event"] == "learning_rate_factor" and is_finite(event.get("learning_rate_factor"))
    ]
    moved = [
        f"after {length_of_run(with_last_end(view.config, [event]))}, set at update {count(event['update'])}"
        for event in view.events
        if event["event"] == END_CHANGED and has_valid_end(event)
    ]
    rows = {"resumed": resumed, "learning rate": steered, "end": moved}
    return [Setting(name, "; ".join(parts)) for name, parts in rows.items() if parts]


def repeating_command(view: RunInspection, whole: bool) -> list[str]:
    """Return the command that repeats this run in a new run directory, in pieces: each option with its value is one.

    The texts are named without their folders, which are private in a report that is handed in, unless two have the same
    name.

    Args:
        view: the run.
        whole: True if `charloom reproduce` started the run, False if `charloom train` did.
    """
    config = view.config
    verb, default = ("reproduce", CLASSIC) if whole else ("train", DEFAULT_RECIPE)
    recipe = RECIPES.get(config.recipe, RECIPES[CLASSIC])
    ends_otherwise = recipe.minutes is not None and config.updates is None
    changed = {
        name: value
        for name, value in config.to_dict().items()
        if name == "seed"
        or (name == "epochs" and ends_otherwise)
        or (name != "recipe" and value != getattr(recipe.config, name))
    }
    if recipe.name != default:
        changed = {"recipe": recipe.name, **changed}
    sources = view.text.sources
    names = [Path(source).name or source for source in sources]
    if not sources:
        names = [str(Path(view.path.absolute().name, TEXT))]
    elif len(set(names)) < len(sources):
        names = list(sources)
    return re.split(
        " (?=--)", for_command_line(terminal_command(verb, *names, run="new-run", **changed))
    )
