"""Reads the values of one column of a CSV file, with errors that name the line.

Columns are separated by commas, in a file whose name ends with .tsv or .tab by tabs. The first row has their names.
A quoted value may contain newlines.
"""

import csv
from collections.abc import Generator, Iterator
from pathlib import PurePath
from typing import Final

from charloom.errors import TextError
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.name_suggestions import did_you_mean

LONGEST_VALUE: Final = (
    2**31 - 1
)  # characters of a value; the csv module allows 131,072 unless it is told
MOST_NAMES: Final = 20  # largest number of columns in a message
TAB_ENDINGS: Final = (".tsv", ".tab")


def csv_values(lines: Iterator[str], name: str, column: str) -> Iterator[str]:
    """Yield the values of a column.

    Args:
        lines: the lines of the file with their newlines.
        name: the name of the file in messages.
        column: the name of the column.

    Raises:
        TextError: a line is broken, or the file has no such column.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_VALUE))
    rows = _rows(lines, name)
    _, header = next(rows, (1, []))
    place = place_of(column, header, name)
    for line, row in rows:
        if len(row) != len(header):
            raise TextError(
                f"{name}, line {line:,}: the row has {counted(len(row), 'column')}, but the header has "
                f"{len(header):,}. Correct the line; a value with a comma or a newline must be in quotes."
            )
        yield row[place]


def _rows(lines: Iterator[str], name: str) -> Generator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of its first line."""
    delimiter = "\t" if PurePath(name).suffix.lower() in TAB_ENDINGS else ","
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            wrong = "a quote is not closed" if "end of data" in str(error) else str(error)
            raise TextError(
                f"{name}, line {line:,}: {wrong}. Correct the line; within quotes, a quote is written twice."
            ) from None
        if row is None:
            return
        if row:
            yield line, row


def place_of(column: str, header: list[str], name: str) -> int:
    """Return the index of a column; raise TextError if the `header` does not have it exactly once."""
    if header.count(column) == 1:
        return header.index(column)
    if not header:
        raise TextError(f"{name} has no line with the names of its columns.")
    if column in header:
        raise TextError(f"{name} has several columns {shortened(column)}; rename one.")
    others = ", ".join(map(shortened, header[:MOST_NAMES])) + (
        " …" if len(header) > MOST_NAMES else ""
    )
    alone = " Columns must be separated by commas, or by tabs in a .tsv file." * (len(header) == 1)
    meant = did_you_mean(column, header)
    raise TextError(
        f"{name} has no column {shortened(column)}; {argument('field')} must be one of "
        f"{others}{f'; {meant}' if meant else '.'}{alone}"
    )
