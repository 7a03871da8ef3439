"""Commands with --cell-file, the option that names a file of the user's cells."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from charloom.registered_cells import CELL_FILES, remove_cell
from command_line import charloom_
from registered_test_cells import EXAMPLE
from small_runs import TEXT

NETWORK = "--cell mingru --layers 2 --hidden-size 8 --recipe classic --updates 20"


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Return a copy of the example's file that registers nothing yet; forget its cell at the end."""
    monkeypatch.setenv(CELL_FILES, "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT * 3, encoding="utf-8")
    yield shutil.copy(EXAMPLE, tmp_path / "mingru.py")
    remove_cell("mingru")


@pytest.fixture
def own_run(cells, tmp_path):
    """Return a run with the cell of the file."""
    done = charloom_("train book.txt --run own", NETWORK, "--cell-file mingru.py --validation 0.1")
    assert done.exit_code == 0, done.output
    return tmp_path / "own"


def forget(monkeypatch):
    """Let this process be as one that was not given the file."""
    remove_cell("mingru")
    monkeypatch.setenv(CELL_FILES, "")


@pytest.mark.parametrize(
    "words",
    [
        "sample own --length 5",
        "evaluate own",
        "score own --text cat",
        "neurons own",
        "resume own --updates 30",
        "export own --to hub --output own-hub",
    ],
)
def test_a_command_without_the_file_names_the_cell_and_with_it_works(
    own_run, monkeypatch, tmp_path, words
):
    forget(monkeypatch)
    done = charloom_(words)
    assert done.exit_code == 2
    assert 'the model names the cell "mingru", which is not registered. Give' in done.stderr
    assert (
        "with --cell-file FILE.py or in the environment variable CHARLOOM_CELL_FILE" in done.stderr
    )
    shutil.copy(EXAMPLE, tmp_path / "again.py")
    done = charloom_(words, "--cell-file again.py")
    assert done.exit_code == 0, done.output


def test_the_environment_variable_reaches_every_command_and_child(own_run):
    env = {**os.environ, CELL_FILES: str(EXAMPLE)}
    for words in ("sample own --length 5", "runs list ."):
        done = subprocess.run(
            [sys.executable, "-m", "charloom", *words.split()],
            capture_output=True,
            encoding="utf-8",
            env=env,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "mingru" in done.stdout


def test_two_processes_train_a_registered_cell_with_the_file(cells, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "charloom",
            "train",
            "book.txt",
            "--run",
            "both",
            *NETWORK.split(),
            "--cell-file",
            "mingru.py",
            "--engine",
            "torch",
            "--processes",
            "2",
            "--batch-size",
            "4",
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "both" / "config.json").is_file()


def test_another_engine_is_refused_without_a_run_directory(cells, tmp_path):
    done = charloom_(
        "train book.txt --run own --engine reference", NETWORK, "--cell-file mingru.py"
    )
    assert done.exit_code == 2
    assert done.stderr == (
        "charloom: --engine is reference, but the registered cell mingru runs only on the engine torch. Use --engine "
        "torch.\n"
    )
    assert not (tmp_path / "own").exists()


def test_a_file_that_is_not_there_is_refused_before_the_text_is_opened(cells):
    done = charloom_("train missing.txt --cell-file nowhere.py", NETWORK)
    assert done.exit_code == 2
    assert (
        "nowhere.py is not a Python file; give a file that exists and ends in .py." in done.stderr
    )


def test_help_of_a_command_does_not_run_the_file(cells, tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n", encoding="utf-8")
    done = charloom_("train --cell-file bad.py --help")
    assert done.exit_code == 0
    assert "--cell-file FILE.py" in done.stdout
