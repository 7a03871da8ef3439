"""Messages that name arguments or commands: each face reads its own spelling."""

import shlex

import pytest

from charloom.errors import CharloomError
from charloom.messages import (
    Placeholder,
    argument,
    command,
    for_command_line,
    for_page,
    for_python,
    quoted,
)
from charloom.web.mistakes import mistake_of

MESSAGE = f"give {argument('unknown', 'skip')} or a lower {argument('learning_rate')}."


def test_each_face_spells_an_argument_in_its_own_way():
    assert for_python(MESSAGE) == 'give unknown="skip" or a lower learning_rate.'
    assert for_command_line(MESSAGE) == "give --unknown skip or a lower --learning-rate."
    assert for_page(MESSAGE) == "give “unknown” skip or a lower “learning rate”."


def test_each_face_spells_a_command_in_its_own_way():
    message = command("resume", "runs/my book", allow_older=True, text=Placeholder("TEXT"))
    assert for_python(message) == 'charloom.resume("runs/my book", allow_older=True, text=TEXT)'
    assert for_command_line(message) == "charloom resume 'runs/my book' --allow-older --text TEXT"
    assert for_page(message) == for_command_line(message)


def test_options_that_have_another_name_than_the_argument_are_spelled_so():
    assert for_command_line(argument("from_model", "runs/a")) == "--from runs/a"


def test_an_error_shows_python_the_python_names_and_keeps_the_mark_for_others():
    error = CharloomError(MESSAGE)
    assert str(error) == for_python(MESSAGE)
    assert for_command_line(error.message) == for_command_line(MESSAGE)
    assert repr(error) == f"CharloomError({for_python(MESSAGE)!r})"
    assert str(CharloomError()) == ""


def test_the_page_gets_its_fields():
    _, body = mistake_of(CharloomError(MESSAGE))
    assert body["error"]["message"] == for_page(MESSAGE)


@pytest.mark.parametrize("value", ["book", "my book", "it's", "$HOME", "-", "a;b", "*"])
def test_a_quoted_value_is_one_word_for_a_shell(value):
    assert shlex.split(quoted(value)) == [value]


def test_a_path_that_begins_with_a_dash_is_never_an_option():
    assert quoted("-rf") == "./-rf"


def test_what_a_terminal_would_obey_is_written_as_its_code():
    assert quoted("-we ird\n") == "$'./-we ird\\n'"
    assert quoted("a\x1b'\\") == "$'a\\x1b\\'\\\\'"
