"""Every message begins on a line of its own, and a command that reads a terminal says so."""

import io
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from charloom import sampling
from charloom.cli import app, info_commands
from charloom.cli.error_exit import fail
from charloom.errors import DivergedError


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


READERS = [
    "train - --run new",
    "reproduce - --run new",
    "gradcheck -",
    "resume run --text - --updates 1000000",
    "evaluate run -",
    "neurons run -",
    "score run -",
    "sample run --prompt -",
    "import missing --vocabulary - --output m",
]


@pytest.mark.parametrize("words", READERS)
@pytest.mark.parametrize(("is_terminal", "times"), [(True, 1), (False, 0)])
def test_a_command_that_reads_a_text_from_a_terminal_says_so(
    run, monkeypatch, capsys, words, is_terminal, times
):
    monkeypatch.chdir(run.parent)
    typed = SimpleNamespace(buffer=io.BytesIO(b"\xff"), isatty=lambda: is_terminal)
    monkeypatch.setattr(sys, "stdin", typed)  # not text, so that every command ends at once
    with pytest.raises(SystemExit) as ended:
        app(words.split())
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert (
        output.count("reading the text from the terminal: type it, and end it with Ctrl-") == times
    )


def test_a_text_that_an_error_ends_has_a_whole_last_line(run, monkeypatch, capsys):
    def write(*_given, number):
        text = iter(["the ", "cat"])

        class Broken:
            unknowns = SimpleNamespace(total=0)

            def __iter__(self):
                yield from text
                raise DivergedError("the logits are not finite.")

        return Broken()

    monkeypatch.setattr(sampling, "Writing", write)
    with pytest.raises(SystemExit):
        app(["sample", str(run)])
    printed = capsys.readouterr()
    assert printed.out == "the cat\n"
    assert printed.err.endswith("charloom: the logits are not finite.\n")


@pytest.mark.parametrize(("kind", "cleared"), [("xterm", "\r\x1b[2K"), ("dumb", "")])
def test_an_error_clears_a_progress_line_before_it(monkeypatch, kind, cleared):
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys, "stderr", Terminal())
    sys.stderr.write("12 / 100")
    with pytest.raises(Exception) as ended:
        fail("it failed.")
    assert ended.value.exit_code == 2
    assert sys.stderr.getvalue() == f"12 / 100{cleared}charloom: it failed.\n"


def test_an_error_without_a_terminal_has_no_control_codes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(Exception):  # noqa: B017 - typer's exit, which is private
        fail("it failed.")
    assert sys.stderr.getvalue() == "charloom: it failed.\n"


def test_an_interruption_clears_the_sign_of_the_key_before_it(monkeypatch):
    def interrupted():
        sys.stderr.write("^C")
        raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(info_commands, "gather", interrupted)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit) as ended:
        app(["info"])
    assert ended.value.code == 130
    assert sys.stderr.getvalue() == "^C\r\x1b[2Kcharloom: interrupted.\n"


@pytest.mark.parametrize(
    ("option", "wanted"), [("--length", "a whole number"), ("--temperature", "a number")]
)
def test_a_word_instead_of_a_number_is_named_with_what_is_wanted(option, wanted):
    done = CliRunner().invoke(app, ["sample", "model", option, "abc"])
    assert done.exit_code == 2
    assert f"charloom: {option} is 'abc'; it must be {wanted}." in done.stderr
