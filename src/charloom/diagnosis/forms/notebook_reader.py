"""Reads the code of a Jupyter notebook in the way in which a wrapper reads it.

A wrapper contains the source of `code_of`, so that it needs nothing of charloom.
"""

import inspect
import json
import re
from pathlib import Path


def code_of(path: Path) -> str:
    """Return the code cells of a notebook, without magic commands."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in text.split("\n")]
    # A line such as `files = !ls` assigns what a command of the shell prints.
    return "\n".join(re.sub(r"^(\s*[\w, ]+=\s*)[%!](?!=).*", r"\1None", line) for line in lines)


def reader_source() -> str:
    """Return the lines of a wrapper that read a notebook: the source of `code_of`."""
    return f"\n{inspect.getsource(code_of)}"
