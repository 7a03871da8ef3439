"""Writes the runs of a study, or their curves, as one table into a CSV or Parquet file."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from charloom.config import Config
from charloom.errors import ConfigError, MissingPartError
from charloom.formatting import bits_per_character, shortened
from charloom.messages import pip_command
from charloom.store import replace_file
from charloom.studies.one_study import Study
from charloom.studies.plan import PlannedRun
from charloom.studies.results import CURVE

ENDINGS: Final = (".csv", ".parquet")
FIGURES: Final = ("state", "updates", "characters", "seconds", "train_nats", "validation_nats", "best_update", "reason")  # fmt: skip

Row = dict[str, Any]


def require_table_path(path: Path) -> None:
    """Raise ConfigError if the name of a file does not end in .csv or .parquet."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"the file is {shortened(path)}; its name must end in {' or '.join(ENDINGS)}."
        )


def write_table(study: Study, path: Path, curves: bool = False) -> int:
    """Write the runs of a study into a file, a row for each run, and return the number of rows.

    Args:
        study: the study.
        path: the file; it ends in .csv or .parquet.
        curves: write a row for each record of each run instead.

    Raises:
        ConfigError: the name of the file has another ending.
        MissingPartError: the file is Parquet, and pyarrow is not installed.
        WriteError: the file cannot be written.
    """
    require_table_path(path)
    rows = list(curve_rows(study) if curves else run_rows(study))
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix.lower() == ".csv":
        replace_file(path, csv_bytes(names, rows), durable=False)
    else:
        replace_file(path, parquet_bytes(names, rows), durable=False)
    return len(rows)


def run_rows(study: Study) -> Iterator[Row]:
    """Yield the row of each planned run: its settings, and the figures of its result if it has one.

    The last column, `model`, is the path of its run directory or model file, if the weights were kept.
    """
    results = study.results()
    shown = settings_in(study)
    for run in study.plan:
        row: Row = {
            "run": run.number,
            "key": run.key,
            "text": study.header.texts[run.text].name,
            "seed": run.settings["seed"],
        }
        row |= settings_of(run, study.header.recipe, shown)
        result = results.get(run.key)
        model = None if result is None else study.files.model_path(run)
        row |= {name: getattr(result, name, None) for name in FIGURES}
        yield {
            **row,
            "state": "planned" if result is None else result.state,
            "bits": result and result.bits,
            "warnings": (result and " ".join(result.warnings)) or None,
            "model": None if model is None else str(model),
        }


def settings_of(run: PlannedRun, recipe: str, names: list[str]) -> Row:
    """Return the values of settings of a run. If they contradict each other, return those that the study sets."""
    try:
        config = run.config(recipe)
    except ConfigError:
        return {name: run.settings.get(name) for name in names}
    return {name: getattr(config, name) for name in names}


def curve_rows(study: Study) -> Iterator[Row]:
    """Yield a row for each record of each run that has a result."""
    results = study.results()
    for run in study.plan:
        result = results.get(run.key)
        if result is None or result.curve is None:
            continue
        columns = [result.curve.get(name) or [] for name in CURVE]
        longest = len(columns[0])
        columns = [column or [None] * longest for column in columns]
        for values in zip(*columns, strict=True):
            row: Row = {"run": run.number, "key": run.key, **dict(zip(CURVE, values, strict=True))}
            for name in CURVE[1:]:
                nats = row[name]
                row[name.replace("nats", "bits")] = (
                    None if nats is None else bits_per_character(nats)
                )
            yield row


def settings_in(study: Study) -> list[str]:
    """Return the names of the settings that the study sets in any run, without the seed, in the order of `Config`."""
    given = {name for run in study.plan for name in run.settings}
    return [name for name in Config.__dataclass_fields__ if name in given - {"seed"}]


def csv_bytes(names: list[str], rows: list[Row]) -> bytes:
    """Return rows as CSV with a heading; a value that is None is an empty cell."""
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode("utf-8", "replace")


def parquet_bytes(names: list[str], rows: list[Row]) -> bytes:
    """Return rows as a Parquet file.

    Raises:
        MissingPartError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPartError(
            f"a Parquet file needs the package pyarrow. To install it, {pip_command('table')}. Or give a file that ends "
            f"in .csv."
        ) from None
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()
