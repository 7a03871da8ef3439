"""Tests of `charloom sample` and `charloom evaluate`."""

import io
import json
import sys

import pytest

import charloom.cli
from book_text import TEXT
from charloom.cli import terminal
from charloom.formatting import excerpt, harmless
from command_line import charloom_


def test_sample_writes_the_prompt_and_the_text(run):
    model = charloom.load(run)
    done = charloom_("sample", run, "--prompt 'the ' --length 60 --temperature 0.7 --seed 4")
    assert done.stdout == "the " + model.sample("the ", 60, 0.7, 4) + "\n"


def test_a_sample_that_is_piped_says_on_stderr_which_model_wrote_it(run):
    done = charloom_("sample", run, "--length 5")
    assert done.stderr == f"charloom: {run}, {charloom.load(run).stage}, writes:\n"
    assert "update" in done.stderr
    assert "writes:" not in done.stdout


def test_sample_as_json_separates_the_text(run):
    result = json.loads(charloom_("sample", run, "--prompt 'the ' --length 60 --json").stdout)
    assert result["prompt"] == "the "
    (sample,) = result["samples"]
    assert sample["text"] == charloom.load(run).sample("the ", 60)
    assert (result["seed"], result["temperature"]) == (0, 1.0)


def test_sample_takes_a_checkpoint_and_a_file(run):
    checkpoint = run / "checkpoints" / "40"
    results = {
        charloom_("sample", path).stdout for path in (checkpoint, checkpoint / "model.safetensors")
    }
    assert len(results) == 1


def test_control_characters_do_not_reach_a_terminal(capsys):
    harmed = "a\x1b[31mb\r\n\tc\x9bd\u202ee\ud800"
    assert harmless(harmed) == "a␛[31mb␍\n\tc[U+009B]d[U+202E]e�"
    terminal.show(harmed)
    assert capsys.readouterr().out == harmless(harmed) + "\n"
    assert excerpt("one\n  two\x07", 20) == "one two␇"
    assert excerpt("word " * 50, 20) == "word word word word…"


@pytest.mark.parametrize(
    ("encoding", "readable"), [("utf-8", "é東😀"), ("cp1252", "é"), ("ascii", "")]
)
def test_json_is_json_whatever_stdout_can_hold(encoding, readable, monkeypatch):
    for text in ("é", "東", "😀", "\ud800", "\x9b[31m", "\x7f", "\u202e"):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")
        monkeypatch.setattr(sys, "stdout", stdout)
        terminal.show_json({"text": text})
        stdout.flush()
        written = stdout.buffer.getvalue().decode(encoding)
        assert json.loads(written) == {"text": text}
        assert harmless(written) == written
        assert (text in written) == (text in readable)


def test_evaluate_shows_nats_and_bits(run, book):
    done = charloom_("evaluate", run, book)
    found = charloom.load(run).evaluate(book)
    assert f"nats:       {found.nats:.4f} per character" in done.stdout
    assert f"bits:       {found.bits:.4f} per character" in done.stdout
    result = json.loads(charloom_("evaluate", run, book, "--json").stdout)
    assert result["nats"] == found.nats
    assert result["characters"] == len(TEXT) - 1


@pytest.mark.parametrize("command", ["sample --length 2", "score --text 'the cat'", "evaluate"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--replacement e", "--replacement has no effect: --unknown is refuse, not replace."),
        (
            "--replacement e --unknown skip",
            "--replacement has no effect: --unknown is skip, not replace.",
        ),
        ("--replacement e --unknown replace", None),
    ],
)
def test_a_replacement_that_has_no_effect_is_reported(command, options, message, run):
    name, *others = command.split(" ", 1)
    done = charloom_(name, run, *others, options)
    assert done.exit_code == 0
    if message is None:
        assert "has no effect" not in done.stderr
    else:
        assert done.stderr.startswith(f"charloom: {message}\n")
