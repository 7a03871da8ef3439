"""Stands in for what a file reads at its top level: a text instead of a file, and an answer instead of input."""

import ast
import io
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

REPEATS: Final = 40
TEXT: Final = "The quick brown fox jumps over the lazy dog, and then it sleeps.\n" * REPEATS
ANSWER: Final = "5"
# Functions and methods that return a file, a text or what is made of a text.
READING: Final = (
    "open", "read", "read_text", "read_bytes", "readlines", "urlopen", "get", "urlretrieve", "input",
    "raw_input", "read_csv", "loadtxt", "genfromtxt", "fromfile", "get_file", "parse_args", "load",
)  # fmt: skip


def open_stand_in(_file: Any = "", mode: str = "r", *_: Any, **__: Any) -> Any:
    """Return an open file with the text that stands in for every file."""
    return io.BytesIO(TEXT.encode()) if "b" in mode else io.StringIO(TEXT)


def input_stand_in(*_: Any) -> str:
    """Return an answer that can be read as a number."""
    return ANSWER


@contextmanager
def with_stand_ins(module: types.ModuleType) -> Iterator[None]:
    """Let `open` and `input` in a module return the text and the answer during the `with` block."""
    names = {"open": open_stand_in, "input": input_stand_in}
    vars(module).update(names)
    try:
        yield
    finally:
        for name, function in names.items():
            if vars(module).get(name) is function:
                delattr(module, name)


def name_for_text(node: ast.stmt) -> str:
    """Return the variable that a statement assigns a text that it reads, such as `data`; "" if there is none."""
    if isinstance(node, (ast.With, ast.Try)):
        found = [name for child in node.body if (name := name_for_text(child))]
        return found[0] if found else ""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return ""
    calls = [n.func for n in ast.walk(node.value) if isinstance(n, ast.Call)]
    names = [f.id if isinstance(f, ast.Name) else getattr(f, "attr", "") for f in calls]
    return node.targets[0].id if set(names) & set(READING) - {"load", "parse_args"} else ""
