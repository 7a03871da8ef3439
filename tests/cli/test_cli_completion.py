"""A shell completes commands, options, choices, and the names of runs, models and texts."""

import os
import shutil
import subprocess
import sys

import pytest
import typer

from charloom.cli import app, completion
from charloom.config import BUILTIN_NAMES
from charloom.text import BUILTIN_TEXTS
from command_line import charloom_

PROGRAM = "import sys; sys.argv[0] = 'charloom'; from charloom.__main__ import main; main()"
STRANGE = ["two words", "it's", "$HOME", "a;b", "naïve", "back`tick", "(1)", "a&b"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder, with two runs, a directory for a hub and some files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("_CHARLOOM_COMPLETE", raising=False)
    for path in (
        "runs/book-1",
        "runs/deep/book-2",
        "elsewhere/run",
        "runs/.hidden",
        "runs/a/b/c/d",
    ):
        make_run(path)
    make_run("runs/hub").joinpath("model.safetensors").touch()
    for name in ("book.txt", "kjv.txt", "model.safetensors", "book.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "kjv-letters").mkdir()
    return tmp_path


def make_run(path):
    """Make a directory that the completion takes for a run."""
    from pathlib import Path

    Path(path).mkdir(parents=True)
    (Path(path) / "config.json").touch()
    return Path(path)


def asked(shell, typed, **more):
    """Return what charloom prints when a shell asks it to complete `typed`."""
    words = typed.split(" ")
    variables = {
        "_CHARLOOM_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | variables | more,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return list(filter(None, done.stdout.splitlines()))


RUNS = ["runs/book-1", "runs/deep/book-2"]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("charloom tr", ["trace", "train"]),
        ("charloom runs r", ["rm", "rename"]),
        ("charloom train --recipe c", ["char-rnn", "classic", "course-2026"]),
        ("charloom train --cell ", ["gru", "lstm", "rnn"]),
        ("charloom train --hidden", ["--hidden-size"]),
        ("charloom export x --to ", ["html", "hub", "onnx", "torch"]),
        ("charloom sample x --which ", ["best", "latest"]),
        ("charloom control runs/book-1 ", ["pause", "run", "stop"]),
        ("charloom runs --sort s", ["size", "state"]),
        ("charloom report ", RUNS),
        ("charloom runs rm runs/book-1 runs/d", ["runs/deep/book-2"]),
        ("charloom resume elsewhere/", ["elsewhere/run"]),
        ("charloom sample runs/", [*RUNS, "runs/a/", "runs/hub"]),
        ("charloom sample ./runs/b", ["./runs/book-1"]),
        ("charloom train --from runs/h", ["runs/hub"]),
        ("charloom train kj", ["kjv", "kjv-letters/", "kjv-nt", "kjv.txt"]),
        ("charloom evaluate x py", ["python-docs"]),
        # The shell completes a path itself, if nothing else fits.
        ("charloom train boo", []),
        ("charloom sample model", []),
        ("charloom runs elsew", []),
    ],
)
def test_a_word_is_completed(folder, typed, wanted):
    assert sorted(asked("bash", typed)) == sorted(wanted)


def test_model_files_are_offered_beside_runs(folder):
    found = asked("bash", "charloom sample ")
    assert set(found) == {*RUNS, "runs/hub", "book.safetensors", "model.safetensors", "elsewhere/", "kjv-letters/"}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_bash_inserts_a_strange_name_as_one_word(tmp_path, monkeypatch, name):
    """Runs the script that bash loads, completes the first character, and lets bash read the result."""
    monkeypatch.chdir(tmp_path)
    make_run(f"runs/{name}")
    program = tmp_path / "charloom"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}"\n')
    program.chmod(0o755)
    start = name[0] if name[0].isalpha() else "\\" + name[0]  # as a user types it
    script = f"""
        . ./source
        COMP_WORDS=(charloom report 'runs/{start}') COMP_CWORD=2
        _charloom_completion charloom
        eval "set -- ${{COMPREPLY[@]}}"
        printf '%s\\n' "$#" "$1"
    """
    ask = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    source = subprocess.run(
        [program], env=ask | {"_CHARLOOM_COMPLETE": "source_bash"}, capture_output=True, check=True
    )
    (tmp_path / "source").write_bytes(source.stdout)
    done = subprocess.run(
        ["bash", "-c", script], env=ask, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout.splitlines() == ["1", f"runs/{name}"], done.stderr


def test_each_shell_gets_the_words_in_its_form(folder):
    make_run("runs/it's 2")
    assert asked("bash", "charloom report runs/i") == [r"runs/it\'s\ 2"]
    assert asked("fish", "charloom report runs/i") == ["runs/it's 2"]
    assert asked("zsh", "charloom report runs/b") == ["""_arguments '*: :(("runs/book-1"))'"""]
    (row,) = asked("powershell", "charloom report runs/i")
    assert row.partition(":::")[0] == "'runs/it''s 2'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell", "pwsh"])
def test_each_shell_has_a_script(shell, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ask = os.environ | {"_CHARLOOM_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=ask, capture_output=True, text=True, check=True
    )
    assert "_CHARLOOM_COMPLETE" in done.stdout
    if shutil.which(shell):
        read = "-n" if shell != "pwsh" else "-NoProfile"
        subprocess.run([shell, read, "/dev/stdin"], input=done.stdout, text=True, check=True)


def test_the_installation_changes_only_the_files_of_the_shell(tmp_path):
    """Installs into an empty home directory."""
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--install-completion", "bash"],
        env=os.environ | home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert written == [".bash_completions/charloom.sh", ".bashrc"]
    assert "charloom.sh" in (tmp_path / ".bashrc").read_text()


def parameters():
    """Yield each parameter of each command, with the words of the command."""
    for name, command in typer.main.get_command(app).commands.items():
        for inner in [command, *getattr(command, "commands", {}).values()]:
            yield from ((f"{name} {inner.name}", inner, parameter) for parameter in inner.params)


def completed(command, parameter, incomplete=""):
    """Return the words to which a parameter of a command completes `incomplete`."""
    context = command.context_class(command, info_name=command.name)
    return [item.value for item in parameter.shell_complete(context, incomplete)]


def test_every_choice_every_run_every_model_and_every_text_is_completed(folder):
    seen = {"choice": 0, "RUN": 0, "MODEL": 0, "TEXT": 0}
    for words, command, parameter in parameters():
        metavar = parameter.metavar or ""
        if "|" in metavar:
            choices = sorted(metavar.strip("[]").split("|"))
            assert completed(command, parameter) == choices, (words, parameter.name)
            seen["choice"] += 1
        elif metavar in ("RUN", "MODEL") and parameter.name != "output":
            assert "runs/book-1" in completed(command, parameter), (words, parameter.name)
            seen[metavar] += 1
        elif metavar == "TEXT" and parameter.name not in ("vocabulary", "text_file", "file"):
            assert "kjv" in completed(command, parameter, "k"), (words, parameter.name)
            seen[metavar] += 1
    assert min(seen.values()) >= 4, seen
    assert seen["choice"] >= 30


def test_the_names_of_the_built_in_texts_are_those_that_can_be_read():
    assert tuple(BUILTIN_TEXTS) == BUILTIN_NAMES


def test_a_folder_that_cannot_be_read_is_passed_over(folder, monkeypatch):
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("deep"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert completion.run_names("") == ["runs/book-1"]


def test_few_folders_are_read_so_that_the_user_does_not_wait(folder, monkeypatch):
    for n in range(300):
        make_run(f"many/{n}/deep/run")
    make_run("many/near")
    read, entries_of = [], completion.entries_of
    monkeypatch.setattr(
        completion, "entries_of", lambda path: (read.append(path), entries_of(path))[1]
    )
    assert "many/near" in completion.run_names("many/")
    assert len([path for path in read if path.startswith("many")]) == completion.MOST_FOLDERS
    read.clear()
    assert completion.run_names("many/7") == [
        f"many/{n}/deep/run" for n in sorted(map(str, range(300))) if n.startswith("7")
    ]
    assert len([path for path in read if path.startswith("many")]) == 1 + 2 * 11


def test_links_in_a_circle_end(folder):
    (folder / "runs/loop").symlink_to(folder / "runs")
    (folder / "runs/itself").symlink_to("itself")
    assert set(RUNS) < set(completion.run_names(""))


def test_the_help_names_the_completion():
    assert "--install-completion" in charloom_("--help").stdout
