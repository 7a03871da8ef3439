"""Docstrings describe only arguments that their function or class has."""

import ast
import re
from pathlib import Path

import pytest

import charloom

PACKAGE = Path(charloom.__file__).parent
ARGUMENT = re.compile(r"^\*{0,2}([a-z_]\w*(?:, \*{0,2}\w+)*):", re.IGNORECASE)


def described(docstring):
    """Return the names of the arguments that a docstring describes under "Args:"."""
    lines = iter(docstring.splitlines())
    if not any(line == "Args:" for line in lines):
        return []
    names = []
    for line in lines:
        if not line.startswith(" "):
            break
        found = ARGUMENT.match(line.removeprefix("    "))
        names += re.findall(r"\w+", found[1]) if found else []
    return names


def missing_arguments(source):
    """Return "name: argument" for each described argument that a function or class does not have."""
    missing = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            own = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = [node]
        else:
            continue
        names = described(ast.get_docstring(node) or "")
        if names and own:
            has = {
                argument.arg for argument in ast.walk(own[0].args) if isinstance(argument, ast.arg)
            }
            missing += [f"{node.name}: {name}" for name in names if name not in has]
    return missing


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_every_described_argument_exists(path):
    assert missing_arguments(path.read_text(encoding="utf-8")) == []


def test_a_described_argument_that_does_not_exist_is_found():
    source = '''
class Guard:
    """Pass requests on.

    Args:
        app: the application.
        crowded: no longer
            there.
    """

    def __init__(self, app): ...


def add(first, second):
    """Add two numbers.

    Args:
        first, third: the numbers.

    Returns:
        sum: their sum.
    """
'''
    assert missing_arguments(source) == ["Guard: crowded", "add: third"]
