"""Makes a Python file of the code cells of a Jupyter notebook. It runs nothing and knows no networks.

Lines for the notebook itself, such as `%matplotlib inline` and `!pip install x`, become comments.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from charloom.errors import DoctorError
from charloom.formatting import excerpt, listing, shortened

NOTEBOOK: Final = ".ipynb"
LARGEST: Final = 50_000_000  # bytes of a notebook; most of them are pictures
# Cell magics whose cell is still Python. The cell of any other one, such as %%bash, is left out.
PYTHON_CELLS: Final = ("%%time", "%%timeit", "%%capture", "%%prun", "%%python", "%%python3")
# A line that only a notebook understands: a magic, a command of the shell, or help.
MAGIC: Final = re.compile(r"(\s*)(?:[%!?].*|[\w.\[\]]+\?{1,2}\s*)")
ASSIGNED_MAGIC: Final = re.compile(r"(\s*[\w, ]+=\s*)[%!](?!=).*")
DEFINITION: Final = re.compile(r"^\s*(?:async\s+def|def|class)\s", re.MULTILINE)


class NotebookCode(NamedTuple):
    """The code of a notebook.

    Attributes:
        text: the code cells as one Python file.
        places: for each line of the file, the number of its cell, counted from 1 over the code cells, and of
            its line in the cell; (0, 0) for a line between two cells.
        left_out: the numbers of the code cells that are not Python.
    """

    text: str
    places: tuple[tuple[int, int], ...]
    left_out: tuple[int, ...]

    def place(self, line: int) -> str:
        """Return where a line of the file is in the notebook, such as "code cell 3, line 2"."""
        cell, inner = self.places[line - 1] if 0 < line <= len(self.places) else (0, 0)
        return f"code cell {cell}, line {inner}" if cell else f"line {line}"

    def cells_of(self, lines: str) -> str:
        """Return the cells of some lines, given as "3, 5, 9", such as "code cells 1 and 2"."""
        inside = [int(line) for line in lines.split(", ") if 0 < int(line) <= len(self.places)]
        cells = sorted({self.places[line - 1][0] for line in inside} - {0})
        return named_cells(cells) if cells else f"lines {lines}"

    def note(self, name: str) -> str:
        """Return a sentence about the notebook `name`, which says how it was judged."""
        if not self.left_out:
            return f"{name} was judged as if its code cells were one file."
        return f"{name} was judged as if its code cells were one file, without {named_cells(self.left_out)}: not Python."


def named_cells(numbers: Sequence[int]) -> str:
    """Return the words for some code cells, such as "code cells 1 and 2"."""
    cells = "code cell" if len(numbers) == 1 else "code cells"
    return f"{cells} {listing([str(number) for number in numbers])}"


def is_notebook(path: Path) -> bool:
    """Return True if the name of a file is that of a Jupyter notebook."""
    return path.suffix.lower() == NOTEBOOK


def code_of_notebook(path: Path) -> NotebookCode:
    """Return the code cells of a notebook as Python.

    Raises:
        DoctorError: the file is not a notebook, is too large, has no code or is for another language.
    """
    notebook = read_notebook(path)
    cells = list(sources(notebook))
    if not any(source.strip() for source in cells):
        raise DoctorError(f"{shortened(Path(path.name))} has no code cell.")
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    left_out = []
    for number, source in enumerate(cells, start=1):
        code = python_of(source)
        if code is None:
            left_out.append(number)
            continue
        # A blank line and a comment separate the cells.
        lines += ["", f"# code cell {number}", *code]
        places += [(0, 0), (0, 0), *((number, line) for line in range(1, len(code) + 1))]
    return NotebookCode("\n".join(lines) + "\n", tuple(places), tuple(left_out))


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the notebook at `path` as JSON data; raise DoctorError if it is not one in Python."""
    name = shortened(Path(path.name))
    try:
        if path.stat().st_size > LARGEST:
            raise DoctorError(
                f"{name} is too large; clear the outputs of its cells, and save it again."
            )
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        metadata = notebook.get("metadata", {})
        language = metadata.get("language_info", {}).get("name") or metadata.get(
            "kernelspec", {}
        ).get("language")
        cells = list(cells_of(notebook))
    except OSError as error:
        raise DoctorError(f"{name} cannot be read: {error.strerror or error}.") from None
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise DoctorError(
            f"{name} is not a Jupyter notebook, or it is damaged; open it in Jupyter, and save it again."
        ) from None
    if language not in (None, "", "python", "ipython"):
        raise DoctorError(f"{name} is a notebook for {excerpt(str(language), 40)}, not for Python.")
    return {"cells": cells}


def cells_of(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the cells of a notebook; the older format 3 has them in worksheets."""
    if "worksheets" in notebook:
        for sheet in notebook["worksheets"]:
            yield from sheet["cells"]
    else:
        yield from notebook["cells"]


def sources(notebook: dict[str, Any]) -> Iterator[str]:
    """Yield the source of each code cell."""
    for cell in notebook["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            parts = source if isinstance(source, list) else [source]
            yield "".join(part for part in parts if isinstance(part, str))


def python_of(source: str) -> list[str] | None:
    """Return the lines of a cell as Python, as many as the cell has; None for a cell that is not Python.

    A cell with a syntax error is kept if it defines something, so that the error has its place.
    """
    lines = source.splitlines()
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].startswith("%%"):
        if lines[first].split()[0] not in PYTHON_CELLS:
            return None
        lines[first] = f"# {lines[first]}"
    if parses(lines):
        return lines
    lines = list(map(without_magic, lines))
    return lines if parses(lines) or DEFINITION.search(source) else None


def without_magic(line: str) -> str:
    """Return a line that does nothing in the place of one that only a notebook understands."""
    if found := MAGIC.fullmatch(line):
        return f"{found[1]}pass  # {line.strip()}"
    if found := ASSIGNED_MAGIC.fullmatch(line):
        return f"{found[1]}None  # {line.strip()}"
    return line


def parses(lines: list[str]) -> bool:
    """Return True if the lines are Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
