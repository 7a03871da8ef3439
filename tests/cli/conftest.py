"""A text, a finished run and commands as processes, for the tests of the command line."""

import contextlib

import pytest

from book_text import TEXT
from command_line import SMALL, charloom_, started


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
    """Start a command as a process. Processes that are left at the end of the test are killed."""
    with contextlib.ExitStack() as processes:
        yield lambda *words, **options: processes.enter_context(started(*words, **options))
