"""Messages show the given value shortened, with its bounds and a value that works."""

import dataclasses
import inspect
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.config import Config
from charloom.errors import CharloomError, ConfigError, TextError
from charloom.formatting import shortened
from charloom.text.windows import Windows

COMMANDS = typer.main.get_command(app).commands
LONG = "x" * 70_000
MOST = 900  # characters of a message: some list every setting
PROSE = "It was the best of times, it was the worst of times.\n" * 2_000


def run_command(*words):
    """Run a command in this process. Words are split as in a shell."""
    arguments = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(app, arguments, prog_name="charloom")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a text and a run of it."""
    path = tmp_path_factory.mktemp("given")
    (path / "book.txt").write_text(small_runs.TEXT)
    small_runs.train(path / "run")
    return path


def test_a_short_value_is_written_as_it_is():
    assert shortened("book") == "'book'"
    assert shortened(Path("my book")) == "my book"
    assert shortened(3) == "3"


def test_the_middle_of_a_long_value_is_left_out():
    assert shortened("a" * 500 + "b" * 500, 11) == "'aaaa…bbbb'"
    assert len(shortened(Path(LONG))) <= 120
    assert len(shortened([LONG, LONG])) <= 120


def test_a_value_is_shown_on_one_line_without_control_characters():
    assert shortened(Path("a\nb\x1b")) == "a b␛"


class Unspeakable:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("value", [10**5_000, Unspeakable()], ids=["digits", "object"])
def test_a_value_without_a_working_repr_is_shown_by_its_type(value):
    assert type(value).__name__ in shortened(value)


IN_PYTHON = {
    "a long text": lambda: charloom.train(PROSE),
    "a long name": lambda: charloom.train(LONG),
    "a pattern": lambda: charloom.train(LONG + "*"),
    "one of several": lambda: charloom.train(["book.txt", LONG]),
    "a run": lambda: charloom.train("book.txt", LONG),
    "another run": lambda: charloom.resume(LONG),
    "a run to steer": lambda: charloom.control(LONG, "pause"),
    "a command": lambda: charloom.control("run", LONG),
    "a model": lambda: charloom.load(LONG),
    "which": lambda: charloom.load("run", which=LONG),
    "an engine": lambda: charloom.load("run", engine=LONG),
    "a place": lambda: charloom.load("run").save(LONG),
    "a split": lambda: charloom.load("run").evaluate(split=LONG),
    "a text to judge": lambda: charloom.load("run").evaluate(LONG),
    "a recipe": lambda: charloom.train("book.txt", recipe=LONG),
    "a setting": lambda: charloom.train("book.txt", **{LONG: 1}),
    "a number": lambda: charloom.train("book.txt", hidden_size=LONG),
    "a huge number": lambda: charloom.train("book.txt", hidden_size=10**5_000),
    "a list": lambda: charloom.train("book.txt", learning_rate=[1.0] * 50_000),
    "a choice": lambda: charloom.train("book.txt", cell=LONG),
    "a replacement": lambda: charloom.load("run").score("a", unknown="replace", replacement=LONG),
    "a property": lambda: charloom.neurons("run", properties=[LONG]),
    "an expression": lambda: charloom.neurons("run", pattern="(" + LONG),
    "a value of units": lambda: charloom.neurons("run", what=LONG),
    "a stop": lambda: charloom.load("run").sample(stop=[0, LONG]),
    "a function": lambda: charloom.doctor(LONG),
    "a function of a file": lambda: charloom.doctor(f"{LONG}.py:{LONG}"),
    "a form": lambda: charloom.doctor("a.py:f", form=LONG),
    "gates": lambda: charloom.doctor("a.py:f", gates=LONG),
}


@pytest.mark.parametrize("name", IN_PYTHON)
def test_a_message_in_python_shortens_a_long_value(name, place, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(CharloomError) as caught:
        IN_PYTHON[name]()
    assert len(str(caught.value)) < MOST
    assert "\n" not in str(caught.value)


AT_A_TERMINAL = [
    "train @", "train book.txt --run @", "train book.txt --from @", "train book.txt --cell @",
    "train book.txt --recipe @", "train book.txt --updates @", "train book.txt --learning-rate @",
    "reproduce @", "resume @", "resume run --text @", "report @", "report run --output @/@",
    "control @ pause", "control run @", "sample @", "sample run --which @", "sample run --prompt-file @",
    "sample run --stop '' --prompt a", "evaluate @", "evaluate run @", "evaluate run --split @", "score @ book.txt",
    "score run @", "neurons @", "neurons run @", "neurons run --property @", "neurons run --pattern '(@'",
    "neurons run --png @", "neurons run --png @.png", "export @", "export run --to @", "export run --output @",
    "import @ --output m", "import book.txt --output @", "gradcheck @", "gradcheck --picture @",
    "gradcheck --state @", "bench --workload @", "doctor @", "doctor @.py:f", "doctor a.py:f --names @",
    "trace @", "trace --model @", "trace --cell @", "trace --state @", "trace --check @", "trace --check @.json",
    "trace --text a --html @", "doctor --template @", "doctor --template numpy --output @", "serve @", "serve run --host @",
]  # fmt: skip


@pytest.mark.parametrize("words", AT_A_TERMINAL)
def test_a_message_in_a_terminal_shortens_a_long_value(words, place, monkeypatch):
    monkeypatch.chdir(place)
    done = run_command(words.replace("@", LONG))
    assert done.exit_code == 2, done.output[:500]
    assert len(done.stderr) < 2 * MOST, done.stderr[:500]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "two lines\nof a text",
        "a line? [or *]\n",
        "word " * 100,
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was",
    ],
)
def test_the_error_for_a_text_given_as_a_path_names_the_argument_for_texts(
    text, place, monkeypatch
):
    monkeypatch.chdir(place)
    with pytest.raises(TextError, match="the text itself, pass it as string=… instead of text"):
        charloom.train(text)
    done = CliRunner().invoke(app, ["train", text], prog_name="charloom")
    assert "pipe it in and give - for TEXT" in done.stderr
    assert "string" not in done.stderr


def test_a_missing_file_name_is_not_taken_for_a_text(place, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(TextError, match="no such file; give the path of a text, or a built-in"):
        charloom.train("bok.txt")


# What a text that is too short is told to take does work on it.

TOO_SHORT = {
    "streams": ("abcdefgh " * 50, ""),
    "steps": ("abcdefg", "--recipe classic"),
    "held out": ("abc abc abc", ""),
    "a little held out": ("abc " * 15, "--recipe classic --validation 0.01"),
    "of each stream": ("abcdefgh " * 30, "--recipe char-rnn --test 0.1 --epochs 1"),
    "two characters": ("ab", "--recipe classic"),
}
BRIEF = "--updates 3 --hidden-size 4 --passage-length 5"


@pytest.mark.parametrize("name", TOO_SHORT)
def test_the_error_for_a_short_text_names_settings_that_work(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, words = TOO_SHORT[name]
    (tmp_path / "short.txt").write_text(text)
    ends = BRIEF if "--epochs" not in words else BRIEF.replace("--updates 3", "")
    command = f"train short.txt --run run {words} {ends}"
    refused = run_command(command)
    assert refused.exit_code == 2
    advice = re.search(r"Give a longer text, or use (.*), which fits this one", refused.stderr)
    assert advice, refused.stderr
    done = run_command(command, advice[1])
    assert done.exit_code == 0, done.stderr


def test_the_error_for_a_text_that_no_settings_fit_suggests_none():
    with pytest.raises(TextError, match=r"Give a longer text\.$"):
        Windows.of(Config(validation=0.4, patience=2), 1)


def test_the_settings_that_the_error_suggests_leave_out_patience():
    settings = {"recipe": "classic", "validation": 0.4, "patience": 2, "updates": 1}
    fits = "use seq_length=1, validation=0, which fits this one"
    with pytest.raises(TextError, match=fits):
        charloom.train(string="ab", **settings)
    charloom.train(string="ab", **settings | {"seq_length": 1, "validation": 0, "patience": 0})


def test_a_text_that_is_too_short_to_divide_can_be_evaluated_as_a_whole(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "brief.txt").write_text("the cat")
    refused = run_command("evaluate run brief.txt --split train")
    assert refused.exit_code == 2
    advice = re.search(
        r"Give a longer text, or evaluate on the whole text: (.*)\.$", refused.stderr.strip()
    )
    assert advice, refused.stderr
    done = run_command("evaluate run brief.txt", advice[1])
    assert done.exit_code == 0, done.stderr


# Bounds

NUMBERS = {
    name: kind
    for name, kind in ((field.name, field.type) for field in dataclasses.fields(Config))
    if kind in (int, float, "int", "float", "int | None", int | None)
}
# Of these a larger number is as good as any: only what is not finite is refused.
UNBOUNDED = {"learning_rate", "epsilon", "step_factor", "save_seconds", "clip", "weight_decay"}


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_setting_names_both_its_bounds(name):
    below, above = (-1e300, 1e300) if "float" in str(NUMBERS[name]) else (-(10**12), 10**30)
    if name in UNBOUNDED:
        above = float("inf")
    messages = []
    for value in (below, above):
        with pytest.raises(ConfigError) as caught:
            Config(**{name: value})
        messages.append(str(caught.value).partition("; ")[2])
    assert messages[0] == messages[1]
    assert re.search(
        r"from \S+ to \S+|(at least|above) \S+( and (below|at most) \S+)?$", messages[0][:-1]
    )
    if name not in UNBOUNDED:
        numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", messages[0])
        assert len(numbers) == 2, messages[0]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_setting_accepts_the_bounds_that_it_names(name):
    with pytest.raises(ConfigError) as caught:
        Config(**{name: float("nan")})
    message = str(caught.value)
    for word, bound in re.findall(
        r"(from|to|at least|at most) (-?[\d,]+(?:\.\d+)?(?:e[+-]?\d+)?)", message
    ):
        value = float(bound.replace(",", ""))
        value = int(bound.replace(",", "")) if word in ("from", "to") else value
        held_out = {"validation": 0.1} if name == "patience" else {}
        Config(**{name: value, **held_out})


OF_COMMANDS = {
    "sample run --length": "from 1 to 2,147,483,647",
    "sample run --top-k": "from 0 to 2,147,483,647",
    "sample run --top-p": "above 0 and at most 1",
    "sample run --min-p": "at least 0 and at most 1",
    "sample run --temperature": "at least 0 and at most 1e+06",
    "sample run --repetition-penalty": "at least 0.001 and below 1e+06",
    "sample run --repetition-window": "from 1 to 2,147,483,647",
    "sample run --samples": "from 1 to 2,147,483,647",
    "sample run --max-length": "from 1 to 2,147,483,647",
    "sample run --seed": "from 0 to 18,446,744,073,709,551,615",
    "evaluate run --streams": "from 1 to 2,147,483,647",
    "evaluate run --dynamic --dynamic-rate": "above 0 and below 1e+06",
    "classify run other --text ab --unknown-bits": "at least 0 and at most 1000",
    "memorized run --samples": "from 1 to 2,147,483,647",
    "memorized run --length": "from 1 to 2,147,483,647",
    "memorized run --temperature": "at least 0 and at most 1e+06",
    "memorized run --top-k": "from 0 to 2,147,483,647",
    "memorized run --top-p": "above 0 and at most 1",
    "memorized run --min-p": "at least 0 and at most 1",
    "neurons run --top": "from 1 to 2,147,483,647",
    "neurons run --limit": "from 1 to 2,147,483,647",
    "neurons run --show": "from 1 to 2,147,483,647",
    "neurons run --layer": "only layer 0",
    "neurons run --unit": "units 0 to 7",
    "neurons run --ablate zero --characters": "from 1 to 2,147,483,647",
    "fixed-points run --starts": "from 1 to 2,147,483,647",
    "gradcheck --entries": "from 1 to 2,147,483,647",
    "gradcheck --vocabulary-size": "from 2 to 1,114,111",
    "trace --hidden-size": "from 1 to 2,147,483,647",
    "trace --layers": "from 1 to 2,147,483,647",
    "trace --seq-length": "from 1 to 2,147,483,647",
    "trace --vocabulary-size": "from 2 to 2,147,483,647",
    "trace --seed": "from 0 to 18,446,744,073,709,551,615",
    "trace --check a.json --tolerance": "above 0 and below 1e+06",
    "bench --rounds": "from 1 to 2,147,483,647",
    "bench --vocabulary-size": "from 2 to 103",
    "reproduce book.txt --minutes": "above 0 and below 1e+09",
    "train book.txt --minutes": "above 0 and below 1e+09",
    "train book.txt --warmup-epochs": "at least 0 and below 2.14748e+09",
    "reproduce book.txt --warmup-epochs": "at least 0 and below 2.14748e+09",
    "train book.txt --processes": "from 1 to 1,024",
    "reproduce book.txt --processes": "from 1 to 1,024",
    "resume run --processes": "from 1 to 1,024",
    "resume run --minutes": "above 0 and below 1e+09",
    "resume run --updates": "from 1 to 2,147,483,647",
    "resume run --epochs": "from 1 to 2,147,483,647",
    "resume run --threads": "from 0 to 2,147,483,647",
    "control run run --learning-rate-factor": "above 0 and below 1e+06",
    "doctor a.py:f --seed": "from 0 to 18,446,744,073,709,551,615",
    "doctor a.py:f --time-limit": "above 0 and below 1e+09",
    "doctor . --jobs": "from 1 to 2,147,483,647",
    "doctor . --memory": "from 100 to 2,147,483,647",
    "serve . --port": "from 0 to 65,535",
}


@pytest.mark.parametrize("value", ["-1000000000000", "1" + 30 * "0"])
@pytest.mark.parametrize("words", OF_COMMANDS)
def test_every_number_option_names_both_its_bounds(words, value, place, monkeypatch):
    monkeypatch.chdir(place)
    done = run_command(words, value)
    assert done.exit_code == 2, done.output
    assert OF_COMMANDS[words] in done.stderr


def number_options():
    """Yield each command with its options that take a number, except settings."""
    for about in app.registered_commands:
        options = {parameter.name: parameter.opts for parameter in COMMANDS[about.name].params}
        for name, parameter in inspect.signature(about.callback).parameters.items():
            kinds = (
                get_args(get_args(parameter.annotation)[0]) or get_args(parameter.annotation)[:1]
            )
            if {int, float} & set(kinds) and name not in NUMBERS:
                yield about.name, max(options[name], key=len)


def test_the_number_options_tested_here_are_complete():
    tried = {(words.split()[0], words.split()[-1]) for words in OF_COMMANDS}
    found = set(number_options())
    assert len(found) > 20
    assert found - tried == set()
