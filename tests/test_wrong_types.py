"""A value of a wrong type or an empty path is refused with a message that names the argument."""

import shlex

import pytest
import typer
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.errors import CharloomError, ConfigError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a text and a run of it."""
    path = tmp_path_factory.mktemp("given")
    (path / "book.txt").write_text(small_runs.TEXT)
    small_runs.train(path / "run")
    return path


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    """Run every test in that folder."""
    monkeypatch.chdir(place)


# An empty path would be the current directory, which nobody asked for.

EMPTY_IN_PYTHON = {
    "a text": lambda: charloom.train(""),
    "one of several texts": lambda: charloom.train(["book.txt", ""]),
    "a new run": lambda: charloom.train("book.txt", run=""),
    "a model to train further": lambda: charloom.train("book.txt", from_model=""),
    "a classic run": lambda: charloom.reproduce("book.txt", run=""),
    "a run to resume": lambda: charloom.resume(""),
    "a run to steer": lambda: charloom.control("", "pause"),
    "a model": lambda: charloom.load(""),
    "a model to look into": lambda: charloom.neurons(""),
    "a model to export": lambda: charloom.export("", "file"),
    "a file to export to": lambda: charloom.export("run", ""),
    "a file to import": lambda: charloom.import_model(""),
    "a vocabulary": lambda: charloom.import_model("book.txt", vocabulary=""),
    "a file to save to": lambda: charloom.load("run").save(""),
    "a text to judge": lambda: charloom.load("run").evaluate(""),
    "a function": lambda: charloom.doctor(""),
}


@pytest.mark.parametrize("name", EMPTY_IN_PYTHON)
def test_an_empty_path_is_refused_in_python(name):
    with pytest.raises(CharloomError, match=r"an empty|is empty"):
        EMPTY_IN_PYTHON[name]()


EMPTY_TEXTS = [
    "train ''", "reproduce ''", "evaluate run ''", "neurons run ''", "gradcheck ''", "score run ''",
    "import book.txt --output m --vocabulary ''", "doctor ''",
]  # fmt: skip


@pytest.mark.parametrize("words", EMPTY_TEXTS)
def test_an_empty_path_of_a_text_is_refused_at_a_terminal(words):
    done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
    assert done.exit_code == 2, done.output
    assert "empty" in done.stderr


def path_parameters():
    """Yield each command with an empty path for one of its path parameters, and the arguments before it."""
    commands = typer.main.get_command(app).commands
    for about in app.registered_commands:
        command, before = commands[about.name], 0
        for parameter in command.params:
            hint = about.callback.__annotations__.get(parameter.name)
            is_option = parameter.param_type_name == "option"
            if hint is not None and "pathlib.Path" in str(hint).replace("Path | None", "Path"):
                words = [max(parameter.opts, key=len), ""] if is_option else ["x"] * before + [""]
                yield pytest.param([about.name, *words], id=f"{about.name} {parameter.name}")
            before += not is_option


@pytest.mark.parametrize("words", list(path_parameters()))
def test_no_command_accepts_an_empty_path(words):
    done = CliRunner().invoke(app, words, prog_name="charloom")
    assert done.exit_code == 2, done.output
    assert "the path is empty; give a path (. is the current directory)" in done.stderr


def test_every_path_of_a_command_is_tried():
    tried = {parameter.id for parameter in path_parameters()}
    assert len(tried) >= 20
    assert {"train run", "train from_model", "export output", "sample model", "serve runs"} <= tried


# Values of another type than a path.

WRONG_PATHS = {
    "text": lambda value: charloom.train(value),
    "run": lambda value: charloom.train("book.txt", run=value),
    "from_model": lambda value: charloom.train("book.txt", from_model=value),
    "path": lambda value: charloom.load(value),
    "model": lambda value: charloom.neurons(value),
    "file": lambda value: charloom.import_model(value),
}


@pytest.mark.parametrize("value", [5, b"book.txt", 1.5, [None]], ids=repr)
@pytest.mark.parametrize("name", WRONG_PATHS)
def test_a_path_of_a_wrong_type_is_refused_by_the_name_of_its_argument(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is .*; it must be a path") as caught:
        WRONG_PATHS[name](value)
    assert repr(value) in str(caught.value)


def test_none_is_refused_as_a_path():
    with pytest.raises(ConfigError, match="path is None; it must be a path"):
        charloom.load(None)
    with pytest.raises(ConfigError, match="run is None; it must be a path"):
        charloom.resume(None)


WRONG_STRINGS = {
    "prompt": lambda value: charloom.load("run").sample(value),
    "text": lambda value: charloom.load("run").score(value),
    "stop": lambda value: charloom.load("run").sample(stop=value),
}


@pytest.mark.parametrize("value", [5, None, 1.5], ids=repr)
@pytest.mark.parametrize("name", WRONG_STRINGS)
def test_a_text_of_a_wrong_type_is_refused_by_the_name_of_its_argument(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is {value!r}; it must be a str"):
        WRONG_STRINGS[name](value)


STRINGS = {
    "to train": lambda value: charloom.train(string=value),
    "to reproduce": lambda value: charloom.reproduce(string=value),
    "to evaluate": lambda value: charloom.load("run").evaluate(string=value),
    "to search": lambda value: charloom.neurons("run", string=value),
}


@pytest.mark.parametrize("name", STRINGS)
def test_a_string_argument_of_a_wrong_type_is_refused(name):
    with pytest.raises(
        ConfigError, match=r"^string is b'abc'; it must be a str, the text itself\.$"
    ):
        STRINGS[name](b"abc")


def test_every_empty_path_is_refused_in_the_same_words():
    rule = "is empty; give a path (. is the current directory)."
    for name in ("a text", "a new run", "a run to steer", "a file to save to"):
        with pytest.raises(CharloomError) as caught:
            EMPTY_IN_PYTHON[name]()
        assert str(caught.value).endswith(rule), name
    for words in ("train ''", "report ''", "score run ''", "sample run --prompt-file ''"):
        done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
        assert rule in done.stderr, words
