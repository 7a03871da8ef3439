"""The tests of an installed wheel need only charloom, NumPy and pytest, because they run without the repository."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "installed"
ALLOWED = {"charloom", "numpy", "pytest", *sys.stdlib_module_names}


def other_imports(source):
    """Return the modules that a file imports but that an installed wheel does not have."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return sorted(name for name in names if name.partition(".")[0] not in ALLOWED)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_test_of_the_installed_wheel_imports_nothing_else(path):
    assert other_imports(path.read_text(encoding="utf-8")) == []


def test_a_planted_import_is_seen():
    assert other_imports("import os\nfrom small_runs import train\n") == ["small_runs"]
