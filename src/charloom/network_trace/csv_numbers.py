"""Reads numbers by name from the text of a CSV file, as spreadsheets and programs write it. It does not judge them."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from charloom.formatting import excerpt

# The words with which the first cell of a heading says that names stand below it.
HEADINGS: Final = ("", "name", "names", "value", "values", "variable", "quantity", "symbol")
COMMENT: Final = "#"
IN_BRACKETS: Final = re.compile(r"[^\s,;\[\]]+")  # a number in a cell such as "[0.5 -0.2]"


def numbers_in_csv(text: str) -> Mapping[str, Any]:
    """Return the numbers in the text of a CSV file by their names.

    A name is at the beginning of each line, and then its numbers, those of a matrix row by row. Or the names are in the
    first line, and the numbers of each below it. The separator is a semicolon, a tab, a comma or a space. Where it is not a
    comma, a number may have a decimal comma. A heading, empty lines and lines that begin with # are left out.

    Raises:
        ValueError: a line has something else than numbers after its name, or a name stands twice.
    """
    rows = list(_rows(text))
    if len(rows) > 1 and _is_heading(rows[0][1]):
        heads, below = rows[0][1], rows[1:]
        if all(_is_number(row[0]) for _, row in below):
            return _columns(heads, below)
        rows = below
    found: dict[str, Any] = {}
    for place, row in rows:
        numbers = _numbers(place, row[1:])
        if row[0] in found:
            raise ValueError(
                f"line {place} has {excerpt(row[0], 40)} again; give each name once, with the numbers of a matrix row by "
                f"row in one line"
            )
        found[row[0]] = numbers[0] if len(numbers) == 1 else numbers
    return found


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line that has any, with the number of the line."""
    lines = [
        (n, line)
        for n, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith(COMMENT)
    ]
    separator = next((one for one in ";\t," if any(one in line for _, line in lines)), " ")
    for n, line in lines:
        words = [line] if separator != " " else [" ".join(line.split())]
        cells = [cell.strip() for cell in next(csv.reader(words, delimiter=separator))]
        if any(cells):
            decimal_comma = separator != ","
            yield n, [_plain(cell, decimal_comma) for cell in cells]


def _plain(cell: str, decimal_comma: bool) -> str:
    """Return a cell with a decimal point and a plain minus sign if it is a number; else the cell itself."""
    plain = cell.replace("\N{MINUS SIGN}", "-")
    # In a file with commas as separators, a number with a decimal comma is in quotes.
    if "," in plain and "." not in plain and (decimal_comma or plain.count(",") == 1):
        plain = plain.replace(",", ".")
    return plain if _is_number(plain) else cell


def _is_number(cell: str) -> bool:
    """Return True if a cell is a decimal number."""
    try:
        Decimal(cell)
    except ArithmeticError:
        return False
    return True


def _is_heading(cells: Sequence[str]) -> bool:
    """Return True if a first line has no number of a value, or begins with a word such as "name"."""
    return cells[0].lower() in HEADINGS or not any(
        _is_number(cell) or cell.startswith("[") for cell in cells
    )


def _columns(heads: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Mapping[str, Any]:
    """Return the numbers below each name of the first line. A column without a name counts the lines."""
    found = {}
    for place, head in enumerate(heads):
        if head in found:
            raise ValueError(f"its first line has {excerpt(head, 40)} twice; give each name once")
        if head:
            numbers = [
                number for line, row in rows for number in _numbers(line, row[place : place + 1])
            ]
            found[head] = numbers[0] if len(numbers) == 1 else numbers
    return found


def _numbers(line: int, cells: Sequence[str]) -> list[Decimal]:
    """Return the numbers in cells; an empty cell has none, and one such as "[0.5 -0.2]" has several."""
    words = [
        word
        for cell in cells
        for word in (IN_BRACKETS.findall(cell) if cell.startswith("[") else [cell])
        if word
    ]
    for word in words:
        if not _is_number(word):
            raise ValueError(f"line {line} has {excerpt(word, 40)}, which is not a number")
    return [Decimal(word) for word in words]
