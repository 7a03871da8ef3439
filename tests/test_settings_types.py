"""The type of the settings is that of `Config`, `help` lists them, and type checkers reject a misspelt one."""

import subprocess
import sys
from typing import get_type_hints

import pytest

import charloom
from charloom.config import Config, help_of
from charloom.messages import for_python
from charloom.recipes import RECIPES
from charloom.settings_types import Settings

FUNCTIONS = {
    charloom.train: "quick", charloom.find_learning_rate: "quick", charloom.reproduce: "classic",
}  # fmt: skip


def test_the_type_of_the_settings_has_every_field_of_the_config():
    types = get_type_hints(Settings)
    assert list(types) == list(Config.__dataclass_fields__)
    for name, kind in get_type_hints(Config).items():
        assert types[name] == kind | None, name


@pytest.mark.parametrize(("function", "recipe"), FUNCTIONS.items())
def test_help_lists_every_setting_with_the_value_that_the_function_uses(function, recipe):
    text = " ".join(function.__doc__.split())
    assert f"each with its value in the recipe {recipe}:" in text
    for name in Config.__dataclass_fields__:
        assert f" {name} = {getattr(RECIPES[recipe].config, name)!r}: " in text
        assert " ".join(for_python(help_of(name)).split()) in text


def test_a_type_checker_rejects_a_misspelt_setting_and_a_wrong_type(tmp_path):
    # mypy reads the types of the package, which takes seconds.
    program = tmp_path / "program.py"
    program.write_text(
        "import charloom\n"
        "config: charloom.Config = charloom.Config(hidden_size=4)\n"
        'charloom.train("a.txt", hidden_size=4, cell="gru", updates=None)\n'
        'charloom.train("a.txt", hiden_size=4)\n'
        'charloom.train("a.txt", hidden_size="many")\n'
        "from charloom.research import configure\n"
        'configure("quick", hidden_size=3, cell="gru")\n'
        'configure("quick", hiddensize=3)\n'
        'configure("quick", hidden_size="many")\n'
    )
    words = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(program)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 4, done.stdout
    assert ":4: error" in errors[0]
    assert "hiden_size" in errors[0]
    assert ":5: error" in errors[1]
    assert ":8: error" in errors[2]
    assert "hiddensize" in errors[2]
    assert ":9: error" in errors[3]
