"""Finds the settings in which the runs of a comparison differ, and names the runs by them.

A setting that has no effect in a run, such as `beta1` without Adam, has no value there.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from charloom.api.compared_run import ComparedRun
from charloom.api.comparison_layout import different, most_common
from charloom.config import ONLY_WITH, Config, without_effect
from charloom.formatting import UNKNOWN
from charloom.training.learning_rate_words import schedule_phrase

TEXT: Final = "text"  # the text counts as a setting
VOCABULARY: Final = "vocabulary"  # the number of different characters too
# Settings that change how a run is saved and watched, and not what it learns. They name no run.
WATCHING: Final = frozenset(
    [
        "recipe",
        "engine",
        "threads",
        "report_every",
        "sample_first",
        "sample_every",
        "sample_until",
        "sample_length",
        "passage_length",
        "save_seconds",
        "save_every",
        "keep_saved",
        "judge_every",
        "judged_characters",
    ]
)
ENDS: Final = frozenset({"epochs", "updates"})  # name a run only if nothing else differs
MOST_NAMED: Final = 3  # largest number of settings in the label of a run


def settings_of(run: ComparedRun) -> dict[str, Any]:
    """Return the settings of a run that have an effect, with its text and its vocabulary; {} if it has no settings."""
    if run.settings is None:
        return {}
    config, text = run.settings.config, run.settings.text
    values = config.to_dict()
    if config.updates is not None:
        del values["epochs"]  # it has no effect if `updates` sets the end
    else:
        del values["updates"]
    kept = {name: value for name, value in values.items() if not without_effect(config, [name])}
    described = (text.name, text.fingerprint)
    return {TEXT: described, VOCABULARY: text.vocabulary_size, **kept}


def differing_settings(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the names of the settings in which runs differ, the text first, then in the order of `Config`.

    A setting that only some runs have differs only if those runs have different values of it.
    """
    each = [settings_of(run) for run in runs]
    names = [TEXT, VOCABULARY, *Config.__dataclass_fields__]
    return [name for name in names if len({values[name] for values in each if name in values}) > 1]


def shown_value(run: ComparedRun, name: str, runs: Sequence[ComparedRun]) -> str | None:
    """Return the value of a setting of a run as text; None if it has none.

    Texts with the same name and different contents get the beginning of their fingerprint.
    """
    value = settings_of(run).get(name)
    if value is None:
        return None
    details = [one for one, (on, _) in ONLY_WITH.items() if on == "schedule"]
    shown = set(details).intersection(differing_settings(runs))
    if name == "schedule" and run.config is not None and value != "constant" and not shown:
        return f"{value} ({schedule_phrase(run.config)})"
    if name == TEXT:
        title, fingerprint = value
        same = {
            other[1] for one in runs if (other := settings_of(one).get(TEXT)) and other[0] == title
        }
        return title if len(same) == 1 else f"{title} ({fingerprint[:8]})"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)


def names_of(runs: Sequence[ComparedRun]) -> list[str]:
    """Return a short name for each run: the last parts of its path, as many as make it differ from the others."""
    parts = [run.path.absolute().parts for run in runs]
    names = []
    for own in parts:
        size = 1
        while size < len(own) and sum(own[-size:] == other[-size:] for other in parts) > 1:
            size += 1
        names.append(str(Path(*own[-size:])))
    return names


def labels_of(runs: Sequence[ComparedRun]) -> list[str]:
    """Return a label for each run that names it by what differs, such as "cell lstm, hidden_size 256".

    It has all differing settings if they are few, or else as few as distinguish the runs. If they do not, it begins with
    the name of the run.
    """
    differing = [name for name in differing_settings(runs) if name not in WATCHING]
    chosen = [name for name in differing if name not in ENDS] or differing
    if len(chosen) > MOST_NAMED:
        # If recipes differ, many settings do, and the recipe names them all.
        recipe = ["recipe"] if "recipe" in differing_settings(runs) else []
        chosen = fewest(runs, [*recipe, *chosen])
    labels = [label_of(run, chosen, runs) for run in runs]
    names = names_of(runs)
    return [
        label if label and labels.count(label) == 1 else f"{name} ({label})" if label else name
        for name, label in zip(names, labels, strict=True)
    ]


def titles_of(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the name of each run with the settings that differ.

    If many differ, they are the first ones whose values most of the runs do not have.
    """
    differing = [name for name in differing_settings(runs) if name not in WATCHING]
    if len(differing) > MOST_NAMED and "recipe" in differing_settings(runs):
        differing = ["recipe", *differing]
    rows = [[shown_value(run, name, runs) or UNKNOWN for name in differing] for run in runs]
    most = most_common(differing, rows) if len(differing) > MOST_NAMED else {}
    titles = []
    for name, row in zip(names_of(runs), rows, strict=True):
        parts = different(differing, row, most)
        text = ", ".join(parts[:MOST_NAMED]) + (" …" if parts[MOST_NAMED:] else "")
        titles.append(f"{name}: {text}" if text else name)
    return titles


def fewest(runs: Sequence[ComparedRun], names: Sequence[str]) -> list[str]:
    """Return at most `MOST_NAMED` of the settings `names`, as few as are needed to distinguish the runs."""
    chosen: list[str] = []
    for _ in range(MOST_NAMED):
        rest = [name for name in names if name not in chosen]
        best = max(rest, key=told_apart(runs, chosen))
        chosen.append(best)
        if told_apart(runs, chosen[:-1])(best) == len(runs):
            break
    return [name for name in names if name in chosen]


def told_apart(runs: Sequence[ComparedRun], chosen: Sequence[str]) -> Callable[[str], int]:
    """Return a function that takes a setting, and counts the different labels of the runs with it and `chosen`."""
    return lambda name: len({label_of(run, [*chosen, name], runs) for run in runs})


def label_of(run: ComparedRun, names: Sequence[str], runs: Sequence[ComparedRun]) -> str:
    """Return the settings `names` of a run with their values, as text."""
    values = [(name, shown_value(run, name, runs)) for name in names]
    return ", ".join(f"{name} {value}" for name, value in values if value is not None)
