"""Runs charloom's commands in this process or as another one, for tests."""

import shlex
import subprocess
import sys
from contextlib import contextmanager

from typer.testing import CliRunner

from charloom.cli import app

SMALL = "--recipe classic --hidden-size 8 --seq-length 5 --updates 40 --report-every 10"


def charloom_(*words):
    """Run a command in this process. Words are split as in a shell."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(app, args, prog_name="charloom")


@contextmanager
def started(*words, **options):
    """Start a command as a process, and kill it if it still runs at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
