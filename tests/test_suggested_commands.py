"""Suggested commands can be pasted into a shell, with any name of a run or a file.

The tests take them from charloom's output. A shell runs them with this Python's charloom. Each test takes
seconds, because a process starts and trains. tests/test_messages.py tests more names without a process.
"""

import contextlib
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.messages import for_command_line
from charloom.report import write_report

SMALL = "--recipe classic --hidden-size 4 --seq-length 5 --updates 20 --passage-length 5"
SHELL = shutil.which("sh")
BASH = shutil.which("bash")  # sh may be one that does not know $'…' yet, such as dash
CASES = {"sh": (SHELL, "-my run's; $HOME *"), "bash": (BASH, "-we ird\n\x1b7ß")}
pytestmark = pytest.mark.skipif(SHELL is None or BASH is None, reason="there is no sh and bash")


@pytest.fixture(params=CASES)
def place(request, tmp_path, monkeypatch):
    """Prepare a folder with a text and a command `charloom`. Return a shell and the name of the text."""
    shell, name = CASES[request.param]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / name).write_text(small_runs.TEXT)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "charloom"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m charloom "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return shell, name


def pasted(shell, command):
    """Return the result of a printed command that is run in a shell."""
    assert "\n" not in command
    assert command.startswith("charloom ")
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def trained(name, *words):
    """Train a small run of that name with the command line, in this process."""
    arguments = ["train", f"texts/{name}", "--run", name, *SMALL.split(), *words]
    return CliRunner().invoke(app, arguments, prog_name="charloom")


def test_the_commands_printed_after_training_can_be_pasted(place):
    shell, name = place
    done = trained(name)
    assert done.exit_code == 0, done.output
    report, sample = re.search(
        r"to write a report: (.*); to write text: (.*)", done.stderr
    ).groups()
    pasted(shell, report)
    assert Path(name, "report.html").is_file()
    assert pasted(shell, sample).stdout


def test_the_command_of_an_error_can_be_pasted(place):
    shell, name = place
    trained(name)
    with pytest.raises(charloom.CharloomError) as caught:
        charloom.train(f"texts/{name}", name, recipe="classic")
    text = for_command_line(caught.value.message)
    text = re.search(r"continue it with (.*), or give another", text)[1]
    assert "is finished" in pasted(shell, text).stderr


def test_the_commands_of_a_report_can_be_pasted(place):
    shell, name = place
    small_runs.train(name, halt=small_runs.after(3))
    page = html.unescape(write_report(name).read_text(encoding="utf-8"))
    again = re.search(r"continues\s+it\. (charloom report .*?) writes this report", page)[1]
    pasted(shell, again)


def test_the_command_that_repeats_a_run_can_be_pasted(place):
    shell, name = place
    trained(name)
    page = html.unescape(write_report(name).read_text(encoding="utf-8"))
    page = re.sub(r"</?span>", "", page)
    whole = re.search(r"(charloom train [^\n<]*--run new-run[^\n<]*)", page)[1]
    with contextlib.chdir("texts"):  # the command names no folder
        pasted(shell, whole)
    assert Path("texts", "new-run", "config.json").is_file()
