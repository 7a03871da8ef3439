"""Messages that name arguments or commands are spelled for each interface."""

import ast
import os
import shlex
import shutil
import subprocess

import pytest

from charloom.errors import CharloomError
from charloom.messages import (
    CLOSE,
    OPEN,
    Placeholder,
    argument,
    command,
    for_command_line,
    for_file,
    for_page,
    for_python,
    quoted,
    spelled_for,
    terminal_command,
)
from charloom.web.error_responses import status_and_body

MESSAGE = f"give {argument('unknown', 'skip')} or a lower {argument('learning_rate')}."


def test_each_face_spells_an_argument_in_its_own_way():
    assert for_python(MESSAGE) == 'give unknown="skip" or a lower learning_rate.'
    assert for_command_line(MESSAGE) == "give --unknown skip or a lower --learning-rate."
    assert for_page(MESSAGE) == "give “unknown” skip or a lower “learning rate”."
    assert for_file(MESSAGE) == 'give unknown = "skip" or a lower learning_rate.'
    assert for_file(argument("ngrams", True)) == "ngrams = true"


def test_each_face_spells_a_command_in_its_own_way():
    message = command("resume", "runs/my book", allow_older=True, text=Placeholder("TEXT"))
    assert for_python(message) == 'charloom.resume("runs/my book", allow_older=True, text=TEXT)'
    assert for_command_line(message) == "charloom resume 'runs/my book' --allow-older --text TEXT"
    assert for_page(message) == for_command_line(message)


def test_options_named_differently_from_their_argument_are_spelled_correctly():
    assert for_command_line(argument("from_model", "runs/a")) == "--from runs/a"


def test_an_error_shows_python_the_python_names_and_keeps_the_mark_for_others():
    error = CharloomError(MESSAGE)
    assert str(error) == for_python(MESSAGE)
    assert for_command_line(error.message) == for_command_line(MESSAGE)
    assert repr(error) == f"CharloomError({for_python(MESSAGE)!r})"
    assert str(CharloomError()) == ""


def test_errors_of_the_server_name_the_fields_of_the_page():
    _, body = status_and_body(CharloomError(MESSAGE))
    assert body["error"]["message"] == for_page(MESSAGE)


@pytest.mark.parametrize("value", ["book", "my book", "it's", "$HOME", "-", "a;b", "*"])
def test_a_quoted_value_is_one_word_in_a_shell(value):
    assert shlex.split(quoted(value)) == [value]


def test_a_path_that_begins_with_a_dash_is_never_an_option():
    assert quoted("-rf") == "./-rf"


def test_control_characters_are_written_as_escape_codes():
    assert quoted("-we ird\n") == "$'./-we ird\\n'"
    assert quoted("a\x1b'\\") == "$'a\\033\\'\\\\'"


def test_lists_and_dicts_are_written_as_each_face_accepts_them():
    order, names = argument("arguments", ["x", "h0"]), argument("names", {"U": "Wxh", "W": "Whh"})
    assert for_python(f"{order} {names}") == 'arguments=["x", "h0"] names={"U": "Wxh", "W": "Whh"}'
    assert for_command_line(f"{order} {names}") == "--arguments x,h0 --names U=Wxh,W=Whh"


def test_a_command_without_a_python_function_is_for_a_terminal_on_every_face():
    message = terminal_command("doctor", template="numpy")
    assert for_python(message) == for_command_line(message) == "charloom doctor --template numpy"


def test_a_negative_number_is_not_taken_for_a_path():
    assert for_command_line(argument("forget_bias", -1.0)) == "--forget-bias -1.0"


def test_python_reads_back_a_value_written_for_python():
    for value in ("a\nb", "it's", 'say "no"', "\x1b\u202e", "ß😀", "\udc80"):
        assert ast.literal_eval(for_python(argument("text", value)).partition("=")[2]) == value


@pytest.mark.parametrize(
    "name", ["-we ird\n", "a\x1b[31m5", "ß\x7f7", "tab\there", os.fsdecode(b"\xff1")]
)
def test_bash_reads_back_a_name_with_control_characters(name, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / name).mkdir()
    done = subprocess.run([bash, "-c", f"cd -- {quoted(name)}"], cwd=tmp_path, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["book", "my book", "it's", "$HOME", "a;b", "*", "~", "-rf", "ß"])
def test_any_shell_reads_back_a_name_without_control_characters(name, tmp_path):
    (tmp_path / name).mkdir()
    done = subprocess.run(["/bin/sh", "-c", f"cd {quoted(name)}"], cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_every_string_in_plain_data_is_spelled():
    data = {"a": [argument("seed"), 1, None], "b": {"c": MESSAGE}}
    assert spelled_for(data, for_command_line) == {
        "a": ["--seed", 1, None],
        "b": {"c": for_command_line(MESSAGE)},
    }


@pytest.mark.parametrize(
    "inner", ["", "abc", "[]", "{}", "1", '{"argument": 1}', '{"command": "a"}']
)
def test_text_that_only_looks_like_a_mark_is_not_changed(inner):
    text = f"a {OPEN}{inner}{CLOSE} b"
    assert for_python(text) == for_command_line(text) == for_page(text) == text
