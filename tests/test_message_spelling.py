"""Each interface spells messages in its own way: Python shows no option, and no message shows a mark.

The source below `cli/` is read with `ast`. Names in messages must be parameters of the Python functions and
options of the commands.
"""

import ast
import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.config import CHOICES, Config
from charloom.errors import DamagedError
from charloom.messages import CLOSE, OPEN, for_command_line, for_page, option
from charloom.pytorch_format import read_torch_file
from charloom.store.model_file import parse_config
from charloom.web.error_responses import status_and_body

PACKAGE = Path(charloom.__file__).parent
BELOW = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "cli" not in path.relative_to(PACKAGE).parts and path.name != "messages.py"
]
COMMANDS = typer.main.get_command(app).commands
OPTION = re.compile(r"(?<![\w-])(?<!var\()--[a-z]")
COMMAND = re.compile(rf"\bcharloom ({'|'.join(COMMANDS)})\b(?!:)")
# Custom properties of CSS begin with -- as well, and their names are put in.
STYLES = {"report/html_page.py", "report/plot_files.py"}


def strings_of(tree):
    """Yield the line and the text of every string constant, and whether it is a docstring.

    An f-string yields each of its parts. A part before a value ends with {.
    """
    docs = {id(node.body[0].value) for node in ast.walk(tree) if has_docstring(node)}
    before = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part, following in zip(node.values, node.values[1:], strict=False)
        if isinstance(following, ast.FormattedValue)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value + ("{" if id(node) in before else "")
            yield node.lineno, text, id(node) in docs


def has_docstring(node):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node) is not None


def spelled_for_terminals(source, styles=False):
    """Return the lines of a module whose strings contain options or, outside docstrings, commands."""
    found = []
    for line, text, doc in strings_of(ast.parse(source)):
        made = text.endswith("--{") and not styles
        if OPTION.search(text) or made or (COMMAND.search(text) and not doc):
            found.append((line, text))
    return found


@pytest.mark.parametrize("path", BELOW, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_below_the_command_line_has_options_or_commands_of_its_own(path):
    styles = str(path.relative_to(PACKAGE)) in STYLES
    assert spelled_for_terminals(path.read_text(encoding="utf-8"), styles) == []


@pytest.mark.parametrize(
    "source",
    [
        'raise ValueError("give a lower --learning-rate.")',
        'raise ValueError(f"{path}: give --run another.")',
        'raise ValueError(f"leave out --{name}.")',
        'note = f"go on by charloom resume {path}"',
        'def f():\n    """Plain data, for --json."""',
    ],
)
def test_a_planted_option_or_command_is_found(source):
    assert len(spelled_for_terminals(source)) == 1


def test_words_that_only_look_like_options_are_not_reported():
    assert (
        spelled_for_terminals('a = "var(--ink)"\nb = "a -- b"\nc = "charloom doctor: right"') == []
    )
    assert spelled_for_terminals('a = f"--{name}: red"', styles=True) == []


def python_names():
    """Return the names of the parameters of everything that users call from Python."""
    from charloom.web.server import serve

    public = [getattr(charloom, name) for name in charloom.__all__ if name != "__version__"]
    methods = [m for _, m in inspect.getmembers(charloom.Model, inspect.isfunction)]
    functions = [f for f in public if inspect.isfunction(f)]
    names = set(Config.__dataclass_fields__)
    for function in (*functions, *methods, read_torch_file, serve):
        names |= set(inspect.signature(function).parameters)
    return names


def options_of(command):
    group = getattr(COMMANDS[command], "commands", {})
    parameters = [p for inner in (COMMANDS[command], *group.values()) for p in inner.params]
    return {word for parameter in parameters for word in parameter.opts}


OPTIONS = set().union(*map(options_of, COMMANDS))
# The command import has them; in Python the characters come as a list, the names as one argument.
OF_IMPORT = {"vocabulary", "recurrent", "head"}
ONLY_OPTIONS = {"cell_file"}  # Python users call charloom.register_cell instead
PYTHON_COMMANDS = {"command", "marked_command"}
MARKERS = {"argument", "terminal_command", *PYTHON_COMMANDS}


@cache
def marked_in(path):
    """Return each call of a marker with a constant name in a module: the marker, the name and the keywords."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = node.args[0] if node.func.id in MARKERS and node.args else None
            if isinstance(given, ast.Constant):
                keywords = [keyword.arg for keyword in node.keywords if keyword.arg]
                found.append((node.func.id, given.value, keywords))
    return found


@cache
def marked_everywhere():
    """Return the marked names of all modules."""
    return [marked for path in PACKAGE.rglob("*.py") for marked in marked_in(path)]


@cache
def marked_below():
    """Return the marked names of the modules below the command line."""
    return [marked for path in BELOW for marked in marked_in(path)]


def test_arguments_that_messages_name_exist_in_python_and_as_options():
    names = {name for kind, name, _ in marked_everywhere() if kind == "argument"}
    assert len(names) > 20
    assert names - python_names() - OF_IMPORT - ONLY_OPTIONS == set()
    assert {option(name) for name in names | OF_IMPORT} - OPTIONS == set()


def test_commands_that_messages_name_exist_and_accept_their_arguments():
    marked = [
        (name, given) for kind, name, given in marked_everywhere() if kind.endswith("command")
    ]
    assert len(marked) > 10
    for name, given in marked:
        assert {option(keyword) for keyword in given} <= options_of(name), name


def test_commands_shown_in_python_are_functions_that_accept_their_arguments():
    marked = [(name, given) for kind, name, given in marked_below() if kind in PYTHON_COMMANDS]
    assert len(marked) > 5
    for name, given in marked:
        assert name in charloom.__all__, name
        parameters = inspect.signature(getattr(charloom, name)).parameters
        assert set(given) <= set(parameters) | set(Config.__dataclass_fields__), name


def test_an_option_with_another_name_than_its_argument_is_spelled_on_both_sides():
    assert "from_model" in inspect.signature(charloom.train).parameters
    assert option("from_model") in options_of("train")
    assert "string" in inspect.signature(charloom.neurons).parameters
    assert option("string") in options_of("neurons")


# The same mistake made in Python and at the command line, and what each reads of it.
TYPICAL = {
    "short": (
        lambda: charloom.train(string="to be", seq_length=50),
        "train short.txt --seq-length 50",
        "Give a longer text, or use seq_length=3, batch_size=1, validation=0, which fits this one.",
        "or use --seq-length 3 --batch-size 1 --validation 0, which fits this one.",
        "or use “seq length” 3, “batch size” 1 and “validation” 0, which fits this one.",
    ),
    "patience": (
        lambda: charloom.train("book.txt", validation=0.0, patience=3),
        "train book.txt --validation 0 --patience 3",
        "set validation to a fraction",
        "set --validation to a fraction",
        "set “validation” to a fraction",
    ),
    "replacement": (
        lambda: charloom.train("book.txt", unknown="replace"),
        "train book.txt --unknown replace",
        "set replacement to one known character",
        "set --replacement to one known character",
        "set “replacement” to one known character",
    ),
    "unknown": (
        lambda: charloom.load("run").score("Ω"),
        "score run --text Ω",
        'read the text anyway, use unknown="skip", or unknown="replace" with a replacement',
        "--unknown skip, or --unknown replace with a --replacement",
        "“unknown” skip, or “unknown” replace with a “replacement”",
    ),
    "exists": (
        lambda: charloom.train("book.txt", "run", recipe="classic"),
        "train book.txt --run run --recipe classic",
        'continue it with charloom.resume("run"), or give another run.',
        "continue it with charloom resume run, or give another --run.",
        "continue it with charloom resume run, or give another “run”.",
    ),
    "finished": (
        lambda: charloom.control("run", "pause"),
        "control run pause",
        'To train it further: charloom.resume("run", minutes=5).',
        "To train it further: charloom resume run --minutes 5.",
        "To train it further: charloom resume run --minutes 5.",
    ),
    "baselines": (
        lambda: charloom.load("run").baselines(split="train"),
        "evaluate run --baselines --split train",
        'or split="validation" with a model that was trained with validation=0.1.',
        "or --split validation with a model that was trained with --validation 0.1.",
        "or “split” validation with a model that was trained with “validation” 0.1.",
    ),
    "binary": (
        lambda: charloom.train("picture.png"),
        "train picture.png",
        'To train on any bytes, use tokens="bytes".',
        "To train on any bytes, use --tokens bytes.",
        "To train on any bytes, use “tokens” bytes.",
    ),
}


def wrong_values():
    """Yield each option of `train` with a minimum or a list of choices, and a value that it refuses."""
    for parameter in COMMANDS["train"].params:
        name = parameter.name
        if name in CHOICES:
            yield parameter.opts[0], "none-such"
        elif isinstance(getattr(Config(), name, None), int | float) and name != "forget_bias":
            yield parameter.opts[0], "-1"


@pytest.mark.parametrize(("given", "value"), list(wrong_values()))
def test_the_error_for_a_refused_value_names_its_option(given, value, place, monkeypatch):
    monkeypatch.chdir(place)
    done = CliRunner().invoke(app, ["train", "book.txt", given, value], prog_name="charloom")
    assert done.exit_code == 2
    assert f"charloom: {given} is " in done.stderr


def test_the_error_for_a_damaged_file_has_the_names_of_its_fields():
    with pytest.raises(DamagedError) as caught:
        parse_config({"hidden_size": 0}, "model.safetensors")
    assert "hidden_size is 0" in for_command_line(caught.value.message)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a text, a run of it and files that are not texts."""
    path = tmp_path_factory.mktemp("faces")
    (path / "book.txt").write_text(small_runs.TEXT)
    (path / "short.txt").write_text("to be")
    (path / "picture.png").write_bytes(b"\x89PNG\0\0")
    small_runs.train(path / "run")
    return path


@pytest.mark.parametrize("name", TYPICAL)
def test_a_typical_error_reads_well_on_every_face(name, place, monkeypatch):
    monkeypatch.chdir(place)
    call, words, in_python, at_a_terminal, on_the_page = TYPICAL[name]
    with pytest.raises(charloom.CharloomError) as caught:
        call()
    assert in_python in str(caught.value)
    assert "--" not in str(caught.value)
    done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
    assert done.exit_code == 2
    assert at_a_terminal in done.stderr
    assert on_the_page in status_and_body(caught.value)[1]["error"]["message"]
    assert_no_marks(str(caught.value), done.stdout, done.stderr, str(status_and_body(caught.value)))


def assert_no_marks(*texts):
    """Assert that no mark is left, not even escaped as in JSON or HTML."""
    for text in texts:
        for mark in (OPEN, CLOSE):
            escapes = (mark, f"\\u{ord(mark):04x}", f"&#{ord(mark)};", f"&#x{ord(mark):x};")
            assert not any(escape in text.lower() for escape in escapes), text


def test_the_files_of_a_run_that_warned_contain_no_marks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(small_runs.TEXT)
    small = "--recipe classic --hidden-size 4 --seq-length 5 --report-every 5"
    diverges = f"train book.txt --run run {small} --updates 60 --learning-rate 1e30 --clip 0"
    first = CliRunner().invoke(app, shlex.split(diverges), prog_name="charloom")
    assert "--learning-rate" in first.stderr
    (tmp_path / "run" / "metrics.jsonl").unlink()
    for words in ("resume run --allow-older", "report run", "report run --json"):
        done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
        assert_no_marks(done.stdout, done.stderr)
    assert_no_marks(first.stdout, first.stderr)
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any(path.name == "events.jsonl" for path in written)
    assert_no_marks(*(path.read_text(errors="replace") for path in written))


def test_help_and_json_contain_no_marks(place, monkeypatch):
    monkeypatch.chdir(place)
    helps = [f"{name} --help" for name in COMMANDS]
    listed = ["doctor --list --json", "recipes --json", "corpora --json", "neurons run --json"]
    for words in (*helps, *listed):
        done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
        assert_no_marks(done.stdout, done.stderr)


def test_responses_of_the_server_contain_no_marks(place):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    small_runs.train(place / "shelf" / "run")
    damaged = place / "shelf" / "damaged"
    small_runs.train(damaged)
    (damaged / "config.json").write_text("{")
    with TestClient(make_app(app_state(place / "shelf")), base_url=HERE) as client:
        answers = [
            client.get("/openapi.json"),
            client.get("/api/about"),
            client.get("/api/runs"),
            client.get("/api/runs/damaged"),
            client.post("/api/runs/run/control", json={"command": "pause"}),
            client.post("/api/runs", json={"text": "none"}),
            client.post("/v1/completions", json={"model": "run", "prompt": "Ω"}),
        ]
        assert "charloom resume" in answers[4].json()["error"]["message"]
        assert_no_marks(*(answer.text for answer in answers))


def test_a_text_with_the_code_points_of_marks_is_not_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = f'{OPEN}{{"command": 1}}{CLOSE} {OPEN}{CLOSE} {OPEN}[]{CLOSE} {OPEN} abc '
    (tmp_path / "book.txt").write_text(hostile * 20, encoding="utf-8")
    small = "--recipe classic --hidden-size 4 --seq-length 5 --updates 20 --sample-first 5"
    done = CliRunner().invoke(app, shlex.split(f"train book.txt --run run {small}"))
    assert done.exit_code == 0, done.output
    assert "Traceback" not in done.output
    assert OPEN not in done.stderr  # its control picture stands there instead
    assert for_page(hostile) == hostile
