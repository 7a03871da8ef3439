"""Each command has a help, and each option is what the config says."""

import inspect
import re
import shlex
from typing import get_args, get_type_hints

import pytest
import typer

import charloom.cli
from charloom import api
from charloom.cli import COMMANDS, app, name_of
from charloom.cli.setting_options import PANELS, SETTINGS, setting_option
from charloom.config import Config, default_of, help_of
from charloom.recipes import RECIPES
from command_line import charloom_


def all_commands():
    """Return the words of every command, such as "train" and "runs rm"."""
    found = []
    for name, command in typer.main.get_command(app).commands.items():
        found += [name, *(f"{name} {inner}" for inner in getattr(command, "commands", ()))]
    return found


@pytest.mark.parametrize("words", all_commands())
def test_every_command_has_a_help_with_an_example_that_parses(words):
    done = charloom_(words, "--help")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    example = shlex.split(lines[lines.index("  Example:") + 1].strip())
    names = words.split()
    assert example[: len(names) + 1] == ["charloom", *names]
    context = typer.main.get_command(app).make_context("charloom", example[1:])
    for depth, name in enumerate(names, 2):
        command = context.command.commands[name]
        context = command.make_context(name, example[depth:], parent=context)


def test_help_lists_all_commands():
    listed = charloom_("--help").stdout.partition("Commands:")[2]
    assert re.findall(r"^  ([\w-]+) ", listed, re.MULTILINE) == list(map(name_of, COMMANDS))
    assert {
        "reproduce", "train", "resume", "report", "control", "runs", "compare", "study", "sample", "evaluate", "score",
        "classify", "memorized",
        "neurons", "fixed-points", "serve", "export", "push", "import", "gradcheck", "doctor", "trace", "bench", "corpora", "recipes",
        "info",
    } == set(map(name_of, COMMANDS))  # fmt: skip


def test_version_is_shown():
    assert charloom_("--version").stdout == f"charloom {charloom.__version__}\n"


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_is_what_the_config_says(name):
    kind, option = get_args(setting_option(name, default_of(name)).annotation)
    assert kind == get_type_hints(Config)[name] | None
    default = default_of(name)
    assert option.help == help_of(name) + (
        "" if default in (None, "") else f" [default: {default}]"
    )
    assert name in PANELS[option.rich_help_panel].split()


def test_the_help_of_train_has_headings_and_shows_its_recipe():
    lines = charloom_("train --help").stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Options:", *(f"{panel}:" for panel in PANELS)]
    defaults = {
        command: " ".join(charloom_(f"{command} --help").stdout.split())
        for command in ("train", "reproduce")
    }
    quick = RECIPES["quick"].config
    assert f"the recurrent cell [default: {quick.cell}]" in defaults["train"]
    minutes = "instead of --epochs or --updates [default: 1 with the recipe quick]"
    assert minutes in defaults["train"]
    assert "--epochs or --updates --" in defaults["reproduce"]
    assert "the recurrent cell [default: rnn]" in defaults["reproduce"]
    assert "passes over the training text --" in defaults["train"]
    assert "passes over the training text [default: 10]" in defaults["reproduce"]


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_training_commands_take_every_setting(command):
    shown = charloom_(command, "--help").stdout
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')} " in shown
    for option in ("--run", "--minutes", "--json"):
        assert option in shown


def test_python_and_the_command_line_have_the_same_defaults():
    shown = " ".join(charloom_("sample", "--help").stdout.partition("Options:")[2].split())
    for name, parameter in inspect.signature(api.Model.sample).parameters.items():
        if name not in ("self", "prompt", "stop", "replacement", "number"):
            option = shown.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
            assert f"[default: {parameter.default}]" in option


def test_the_command_check_names_all_commands_that_check():
    done = charloom_("check", "numbers.json")
    assert done.exit_code == 2
    for command in ("gradcheck", "doctor", "trace --check"):
        assert command in done.stderr
