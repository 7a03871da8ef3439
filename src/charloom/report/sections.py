"""What each section of the report shows, as plain data for the template to lay out.

Everything comes from the run directory, read before; nothing here knows of HTML or colours.
"""

import platform
import shlex
from collections.abc import Sequence
from typing import Any, Final

import matplotlib
import numpy as np

from charloom.config import help_of
from charloom.gradcheck import GradientCheck, Row
from charloom.recipes import CLASSIC, DEFAULT_RECIPE, RECIPES
from charloom.report import prose
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
    run = shlex.quote(str(view.path))
    return (
        f"This run is not finished: {count(done)} of {count(view.updates)} updates are done{state}. "
        f"Here is what there is so far. Where nothing trains it any more, charloom resume {run} "
        f"goes on with it; charloom report {run} makes this page anew."
    )


def key_figures(view: RunView, metrics: Sequence[prose.Record]) -> list[tuple[str, str, list[str]]]:
    """The first, lowest and last smooth loss and the time: label, value, and what goes with it.

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
        bits = bits_per_character(record["smooth_loss"], T)
        notes = ["nats per window", f"{bits:.2f} {per}"]
        notes.append(f"at update {count(record['update'])}")
        figures.append((f"{label} smooth loss", f"{record['smooth_loss']:.2f}", notes))
    if best is not None:
        nats = best["validation_nats"]
        notes = [f"{nats:.4f} nats", per, f"at update {count(best['update'])}"]
        figures.append(("Best on the validation part", f"{bits_per_character(nats):.3f}", notes))
    seconds = last.get("seconds")
    if seconds:
        rates = [
            f"{last['update'] / seconds:,.0f} updates per second",
            f"{last['characters'] / seconds:,.0f} {tokens} per second",
        ]
        figures.append(("Training time", duration(seconds), rates))
    return figures


def gradient_section(checks: Sequence[GradientCheck]) -> dict[str, Any] | None:
    """The paragraphs and the table of the gradient checks; None where there is none."""
    if not checks:
        return None
    return {
        "paragraphs": prose.gradient_story(checks),
        "explanation": prose.central_story(checks),
        "checks": [
            {
                "size": prose.size(check),
                "details": f"{check.settings.dtype}, {prose.beginning(check)}, "
                f"engine {check.settings.engine}",
                "passed": check.passed,
                "rows": [gradient_row(row) for row in check.rows],
            }
            for check in checks
        ],
        "notes": prose.gradient_notes(checks),
    }


def gradient_row(row: Row) -> dict[str, str | bool]:
    """One line of the table."""
    return {
        "parameter": row.parameter,
        "checked": f"{count(row.checked)} of {count(row.total)}",
        "absolute": scientific(row.absolute),
        "elementwise": scientific(row.elementwise),
        "worst": prose.entry(row),
        "norm_relative": scientific(row.norm_relative),
        "step": power_of_ten(row.central.step),
        "central_absolute": scientific(row.central.absolute),
        "central_elementwise": scientific(row.central.elementwise),
        "central_norm_relative": scientific(row.central.norm_relative),
        "passed": row.passed,
    }


def loss_section(view: RunView, metrics: Sequence[prose.Record]) -> dict[str, Any] | None:
    """The paragraphs of the smooth loss and a line for each epoch; None without a record."""
    if not metrics:
        return None
    T, ends = view.config.seq_length, [r for r in metrics if is_epoch_end(r["epoch"])]
    return {
        "paragraphs": prose.loss_story(metrics, view.config, view.text["vocabulary_size"], ends),
        "per": f"bits per {one_of(view.config.tokens)}",
        "epochs": [
            {
                "epoch": count(int(record["epoch"])),
                "update": count(record["update"]),
                "smooth_loss": f"{record['smooth_loss']:.2f}",
                "bits": f"{bits_per_character(record['smooth_loss'], T):.3f}",
                "time": duration(record.get("seconds") or 0.0),
            }
            for record in ends
        ],
    }


def samples_section(
    view: RunView, samples: Sequence[prose.Record], metrics: Sequence[prose.Record]
) -> dict[str, Any] | None:
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
        entries.append({"heading": heading, "facts": facts, "text": sample["text"]})
    return {"paragraphs": prose.samples_story(samples, metrics), "entries": entries}


def passage_section(view: RunView, metrics: Sequence[prose.Record]) -> dict[str, Any] | None:
    """The long passage and what wrote it; None where it is not written yet."""
    if not view.passage:
        return None
    best = None
    if metrics:
        best = prose.lowest_record(metrics)
        if view.best is not None:
            best = prose.record_at(metrics, view.best) or best
    return {
        "paragraphs": prose.passage_story(
            view.passage, best, view.config, view.text["vocabulary_size"]
        ),
        "text": view.passage,
    }


def settings_section(
    view: RunView, metrics: Sequence[prose.Record]
) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Everything that made the run what it is, in groups of name, value and explanation."""
    text, tokens = view.text, view.config.tokens
    last = metrics[-1] if metrics else {}
    seconds = last.get("seconds") or 0.0
    taken = f"{seconds:,.1f} for {count(last.get('update', 0))} of {count(view.updates)} updates"
    return [
        (
            "Text",
            [
                ("name", text["name"], ""),
                (tokens, count(text["characters"]), "the length of the text"),
                ("vocabulary", count(text["vocabulary_size"]), f"different {tokens} K"),
                ("SHA-256", text["fingerprint"], ""),
            ],
        ),
        (
            "Made by",
            [
                ("charloom", view.version, "the version that began the run"),
                ("engine", view.engine or "not recorded", "what trained last"),
                ("trained with", surroundings(view), ""),
                ("seconds", taken, "of training"),
                *changes(view),
                (
                    "this page",
                    f"charloom {charloom_version()}, Python {platform.python_version()}, NumPy "
                    f"{np.__version__}, matplotlib {matplotlib.__version__}, {platform.machine()}",
                    "",
                ),
            ],
        ),
        (
            "Configuration",
            [
                (name, "none" if value is None else str(value), help_of(name))
                for name, value in view.config.to_dict().items()
            ],
        ),
    ]


def surroundings(view: RunView) -> str:
    """The versions and the kind of machine that trained last."""
    starts = [event for event in view.events if "engine" in event]
    names = {"version": "charloom ", "python": "Python ", "numpy": "NumPy ", "machine": ""}
    known = [f"{names[name]}{starts[-1][name]}" for name in names if starts and name in starts[-1]]
    return ", ".join(known) or "not recorded"


def changes(view: RunView) -> list[tuple[str, str, str]]:
    """What happened on the way that the settings do not tell: resumed, learning rate steered."""
    rows = []
    for name, event_name, field in (
        ("resumed", "resumed", None),
        ("learning rate", "learning_rate_factor", "learning_rate_factor"),
    ):
        events = [event for event in view.events if event.get("event") == event_name]
        told = [
            f"{'' if field is None else f'× {event.get(field)} '}from update {event.get('update')}"
            for event in events
        ]
        if told:
            rows.append((name, "; ".join(told), ""))
    return rows


def command(view: RunView) -> str:
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
    options = (
        word
        for name, value in changed.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    )
    return shlex.join(["charloom", verb, *sources, "--run", "new-run", *options])
