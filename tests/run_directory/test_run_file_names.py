"""The name of each file of a run is in one module, and nowhere else in the package."""

import ast
from pathlib import Path

import charloom
from charloom import run_file_names

PACKAGE = Path(charloom.__file__).parent
NAMES = {
    value
    for name, value in vars(run_file_names).items()
    if name.isupper() and isinstance(value, str) and "." in value
}


def strings_in(source):
    """Return the string constants of a module."""
    nodes = ast.walk(ast.parse(source))
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def test_no_other_module_has_the_name_of_a_file_of_a_run():
    assert {"config.json", "metrics.jsonl", "text.txt"} <= NAMES
    found = [
        f"{path.relative_to(PACKAGE)}: {value}"
        for path in PACKAGE.rglob("*.py")
        if path.stem != "run_file_names"
        for value in strings_in(path.read_text(encoding="utf-8"))
        if isinstance(value, str) and value in NAMES
    ]
    assert found == []


def test_a_planted_name_is_found():
    assert "config.json" in strings_in('def f(run):\n    return run / "config.json"')
