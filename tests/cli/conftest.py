"""A text, a finished run and commands as processes, for the tests of the command line."""

import contextlib

import pytest

from command_line import SMALL, TEXT, charloom_, started


@pytest.fixture
def book(tmp_path):
    """Write a small text to a file, and return its path."""
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run. Tests only read it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    done = charloom_("train", folder / "book.txt", "--run", folder / "run", SMALL)
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.fixture
def start():
    """Start a command as a process; those that still run when the test ends are killed."""
    with contextlib.ExitStack() as processes:
        yield lambda *words, **options: processes.enter_context(started(*words, **options))
