"""What each section of the report shows, as texts for the template to lay out.

Everything comes from the run directory, read before; nothing here knows of HTML or colours.
"""

import platform
from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np

from charloom.config import help_of
from charloom.gradcheck import GradientCheck, Row
from charloom.messages import command, for_command_line, terminal_command
from charloom.recipes import CLASSIC, DEFAULT_RECIPE, RECIPES
from charloom.report import prose
from charloom.report.content import (
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
    Setting,
    SettingsGroup,
)
from charloom.report.plots import is_epoch_end
from charloom.spelling import (
    bits_per_character,
    count,
    duration,
    number_of,
    one_of,
    power_of_ten,
    scientific,
)
from charloom.store import RunView, charloom_version
from charloom.store.checkpoint import is_count, is_number

CELLS: Final = {"rnn": "A plain recurrent network", "lstm": "An LSTM", "gru": "A GRU"}


def lede(view: RunView) -> str:
    """What was done, in one sentence."""
    config, text = view.config, view.text
    times = f"{count(config.updates)} updates" if config.updates else passes(config.epochs)
    layers = "" if config.layers == 1 else f"{number_of(config.layers, 'layer')} of "
    streams = "" if config.batch_size == 1 else f" in {count(config.batch_size)} streams"
    return (
        f"{CELLS[config.cell]} of {layers}{config.hidden_size} hidden units learns to "
        f"write like this text of {count(text['characters'])} {config.tokens}, "
        f"{text['vocabulary_size']} of them different, in {times} with windows of "
        f"{config.seq_length} {config.tokens}{streams}."
    )


def passes(epochs: int) -> str:
    """So many epochs."""
    return "1 epoch" if epochs == 1 else f"{count(epochs)} epochs"


def notice(view: RunView, metrics: Sequence[prose.Record]) -> str | None:
    """What a reader must know first: that the run is not finished; None if it is."""
    status, done = view.status or {}, metrics[-1]["update"] if metrics else 0
    if isinstance(status.get("update"), int):
        done = max(done, status["update"])
    if status.get("state") == "finished" or (not status and done >= view.updates):
        return None
    state = f" (state: {status['state']})" if status else ""
    resume, again = command("resume", view.path), terminal_command("report", view.path)
    return for_command_line(
        f"This run is not finished: {count(done)} of {count(view.updates)} updates are done{state}. "
        f"Here is what there is so far. Where nothing trains it any more, {resume} goes on "
        f"with it; {again} makes this page anew."
    )


def key_figures(view: RunView, metrics: Sequence[prose.Record]) -> list[KeyFigure]:
    """The first, lowest and last smooth loss and the time.

    Where the model was judged, its best judgement stands instead of the lowest smooth loss.
    """
    if not metrics:
        return []
    T, last, best = view.config.seq_length, metrics[-1], prose.best_judged(metrics)
    tokens = view.config.tokens
    per = f"bits per {one_of(tokens)}"
    shown = {"First": metrics[0], "Lowest": prose.lowest_record(metrics), "Last": last}
    if best is not None:
        del shown["Lowest"]
    figures = []
    for label, record in shown.items():
        notes = ["nats per window", f"{bits_per_character(record['smooth_loss'], T):.2f} {per}"]
        notes.append(f"at update {count(record['update'])}")
        loss = f"{record['smooth_loss']:.2f}"
        figures.append(KeyFigure(f"{label} smooth loss", loss, notes))
    if best is not None:
        nats = best["validation_nats"]
        notes = [f"{nats:.4f} nats", per, f"at update {count(best['update'])}"]
        bits = f"{bits_per_character(nats):.3f}"
        figures.append(KeyFigure("Best on the validation part", bits, notes))
    seconds = last.get("seconds")
    if seconds:
        rates = [
            f"{last['update'] / seconds:,.0f} updates per second",
            f"{last['characters'] / seconds:,.0f} {tokens} per second",
        ]
        figures.append(KeyFigure("Training time", duration(seconds), rates))
    return figures


def gradient_section(
    checks: Sequence[GradientCheck], picture: Picture | None
) -> GradientSection | None:
    """The paragraphs, the picture and the table of the gradient checks; None without a picture."""
    if picture is None:
        return None
    return GradientSection(
        paragraphs=prose.gradient_story(checks),
        picture=picture,
        explanation=prose.central_story(checks),
        checks=[check_table(check) for check in checks],
        notes=prose.gradient_notes(checks),
    )


def check_table(check: GradientCheck) -> CheckTable:
    """A gradient check as it stands in the table."""
    return CheckTable(
        size=prose.size(check),
        details=f"{check.settings.dtype}, {prose.beginning(check)}, engine {check.settings.engine}",
        passed=check.passed,
        rows=[parameter_errors(row) for row in check.rows],
    )


def parameter_errors(row: Row) -> ParameterErrors:
    """One line of the table."""
    return ParameterErrors(
        parameter=row.parameter,
        checked=f"{count(row.checked)} of {count(row.total)}",
        absolute=scientific(row.absolute),
        elementwise=scientific(row.elementwise),
        worst=prose.entry(row),
        norm_relative=scientific(row.norm_relative),
        step=power_of_ten(row.central.step),
        central_absolute=scientific(row.central.absolute),
        central_elementwise=scientific(row.central.elementwise),
        central_norm_relative=scientific(row.central.norm_relative),
        passed=row.passed,
    )


def loss_section(
    view: RunView, metrics: Sequence[prose.Record], picture: Picture | None
) -> LossSection | None:
    """The paragraphs and the picture of the smooth loss and a line for each epoch; None without a
    picture, which is there if a record is."""
    if picture is None:
        return None
    T, ends = view.config.seq_length, [r for r in metrics if is_epoch_end(r["epoch"])]
    return LossSection(
        paragraphs=prose.loss_story(metrics, view.config, view.text["vocabulary_size"], ends),
        picture=picture,
        per=f"bits per {one_of(view.config.tokens)}",
        epochs=[epoch_end(record, T) for record in ends],
    )


def epoch_end(record: prose.Record, seq_length: int) -> EpochEnd:
    """The record at an epoch's end as a line of the table."""
    seconds = record.get("seconds")
    return EpochEnd(
        epoch=count(int(record["epoch"])),
        update=count(record["update"]),
        smooth_loss=f"{record['smooth_loss']:.2f}",
        bits=f"{bits_per_character(record['smooth_loss'], seq_length):.3f}",
        time="not recorded" if seconds is None else duration(seconds),
    )


def samples_section(
    view: RunView, samples: Sequence[prose.Record], metrics: Sequence[prose.Record]
) -> SamplesSection | None:
    """The samples, each with where the training was; None without a sample."""
    if not samples:
        return None
    entries = []
    for sample in samples:
        record, facts = prose.record_at(metrics, sample["update"]), []
        if record is not None and sample["update"]:
            bits = bits_per_character(record["smooth_loss"], view.config.seq_length)
            facts = [
                f"epoch {record['epoch']:.2f}",
                f"smooth loss {record['smooth_loss']:.2f} nats",
                f"{bits:.2f} bits per {one_of(view.config.tokens)}",
            ]
        heading = f"Update {count(sample['update'])}" if sample["update"] else "Before training"
        entries.append(SampleEntry(heading, facts, sample["text"]))
    return SamplesSection(prose.samples_story(samples, metrics), entries)


def passage_section(view: RunView, metrics: Sequence[prose.Record]) -> PassageSection | None:
    """The long passage and what wrote it; None where it is not written yet."""
    if not view.passage:
        return None
    writer = None
    if metrics:
        update = passage_update(view)
        writer = prose.lowest_record(metrics)
        if update is not None:
            writer = prose.record_at(metrics, update) or writer
    return PassageSection(
        prose.passage_story(
            view.passage, writer, metrics, view.config, view.text["vocabulary_size"]
        ),
        view.passage,
    )


def passage_update(view: RunView) -> int | None:
    """The update of the model that wrote the passage; in runs whose events do not tell, that was the best."""
    ends = [event for event in view.events if event.get("event") == "finished"]
    told = ends[-1].get("passage") if ends else None
    return told if isinstance(told, int) else view.best


def settings_section(view: RunView, metrics: Sequence[prose.Record]) -> list[SettingsGroup]:
    """Everything that made the run what it is."""
    return [
        SettingsGroup("Text", text_rows(view)),
        SettingsGroup("Made by", maker_rows(view, metrics)),
        SettingsGroup("Configuration", configuration_rows(view)),
    ]


def text_rows(view: RunView) -> list[Setting]:
    """What the text is."""
    text, tokens = view.text, view.config.tokens
    return [
        Setting("name", text["name"]),
        Setting(tokens, count(text["characters"]), "the length of the text"),
        Setting("vocabulary", count(text["vocabulary_size"]), f"different {tokens} K"),
        Setting("SHA-256", text["fingerprint"]),
    ]


def maker_rows(view: RunView, metrics: Sequence[prose.Record]) -> list[Setting]:
    """What trained the run, how long, and what made the page."""
    last = metrics[-1] if metrics else {}
    seconds = last.get("seconds") or 0.0
    taken = f"{seconds:,.1f} for {count(last.get('update', 0))} of {count(view.updates)} updates"
    page = (
        f"charloom {charloom_version()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}, matplotlib {matplotlib.__version__}, {platform.machine()}"
    )
    return [
        Setting("charloom", view.version, "the version that began the run"),
        Setting("engine", view.engine or "not recorded", "what trained last"),
        Setting("trained with", surroundings(view)),
        Setting("seconds", taken, "of training"),
        *changes(view),
        Setting("this page", page),
    ]


def configuration_rows(view: RunView) -> list[Setting]:
    """The settings by name."""
    return [
        Setting(name, "none" if value is None else str(value), help_of(name))
        for name, value in view.config.to_dict().items()
    ]


def surroundings(view: RunView) -> str:
    """The versions and the kind of machine that trained last."""
    starts = [event for event in view.events if "engine" in event]
    last = starts[-1] if starts else {}
    names = {"version": "charloom ", "python": "Python ", "numpy": "NumPy ", "machine": ""}
    known = [f"{names[name]}{last[name]}" for name in names if isinstance(last.get(name), str)]
    return ", ".join(known) or "not recorded"


def changes(view: RunView) -> list[Setting]:
    """What happened on the way that the settings do not tell: resumed, learning rate steered."""
    resumed = [from_update(event) for event in view.events if event.get("event") == "resumed"]
    steered = [
        f"× {event['learning_rate_factor']:g} {from_update(event)}"
        for event in view.events
        if event.get("event") == "learning_rate_factor"
        and is_number(event.get("learning_rate_factor"))
    ]
    rows = {"resumed": resumed, "learning rate": steered}
    return [Setting(name, "; ".join(told)) for name, told in rows.items() if told]


def from_update(event: prose.Record) -> str:
    """Since when what an event tells holds."""
    update = event.get("update")
    return f"from update {count(update)}" if is_count(update) else "from an unknown update"


def own_command(view: RunView) -> str:
    """What to type to have this run again, in a directory of its own."""
    config = view.config
    verb, default = ("train", DEFAULT_RECIPE) if view.gradcheck is None else ("reproduce", CLASSIC)
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
    sources = view.text["sources"] or [str(view.path / "text.txt")]
    return for_command_line(terminal_command(verb, *sources, run="new-run", **changed))
