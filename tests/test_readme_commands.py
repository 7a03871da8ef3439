"""The README's commands succeed if a user types them one after another, and then its Python examples.

Training runs are cut to a few updates with the size of the recipe classic. Commands that need a server,
another process, a network or minutes are left out by name.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import small_runs
from charloom.cli import app
from charloom.errors import RunExistsError
from test_docs import run_blocks

README = Path(__file__).parent.parent / "README.md"
LEFT_OUT = ("serve", "push", "control", "bench", "corpora", "gradcheck")
TRAINING = ("train", "resume", "reproduce")
ENDS = ("--minutes", "--epochs", "--updates")
# With every character of the README's prompts.
TEXT = 30 * ("Dear Ada. The question, To be, or not to be, is old.\n" + small_runs.TEXT)
TEXTS = ("book.txt", "other.txt", "chapter1.txt", "chapter2.txt", "diary.txt", "letters/a.txt")


def commands(markdown):
    """Return the charloom commands of the shell blocks in order: the input that is piped in, and the words."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            piped = ""
            if words[:1] == ["echo"] and "|" in words:
                piped, words = words[1] + "\n", words[words.index("|") + 1 :]
            if words[:1] == ["charloom"]:
                found.append((piped, words[1:]))
    return found


def shortened(words, updates):
    """Return a training command that ends after `updates` updates. Return other commands unchanged."""
    if words[0] not in TRAINING:
        return words
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in ENDS and before not in ENDS
    ]
    return [*kept, "--updates", str(updates)]


def refused(markdown, folder):
    """Run the commands in a folder. Return those that failed, each with its output."""
    for name in TEXTS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(TEXT, encoding="utf-8")
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text(TEXT, encoding="utf-8")
    wrong = []
    for updates, (piped, words) in enumerate(commands(markdown), start=2):
        if words[0] in LEFT_OUT:
            continue
        if words[0] == "import":  # a file from elsewhere
            shutil.copy("book.torch.safetensors", words[1])
        done = CliRunner().invoke(app, shortened(words, updates), input=piped, prog_name="charloom")
        if done.exit_code:
            wrong.append((shlex.join(words), done.stderr))
    return wrong


def test_the_commands_of_the_readme_and_then_its_python_examples_work(tmp_path, monkeypatch):
    """Takes half a minute: some thirty commands, with training runs and the whole experiment."""
    monkeypatch.chdir(tmp_path)
    markdown = README.read_text(encoding="utf-8")
    assert len(commands(markdown)) > 25
    assert refused(markdown, tmp_path) == []
    run_blocks("README.md", markdown, tmp_path)


def test_a_planted_python_example_that_uses_the_run_of_a_command_is_caught(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = "```sh\ncharloom train book.txt --recipe classic --run runs/book\n```\n"
    python = "```python\nimport charloom\ncharloom.train('book.txt', run='runs/book')\n```\n"
    assert refused(shell, tmp_path) == []
    with pytest.raises(RunExistsError):
        run_blocks("planted", shell + python, tmp_path)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("charloom train book.txt --recipe classic --run runs/book", "already contains a run"),
        ("charloom doctor my_rnn.py:no_such_function", "no_such_function"),
    ],
)
def test_a_planted_command_that_is_refused_is_caught(second, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = (
        "charloom train book.txt --recipe classic --run runs/book\ncharloom doctor --template numpy"
    )
    ((words, output),) = refused(f"```sh\n{first}\n{second}\n```\n", tmp_path)
    assert f"charloom {words}" == second
    assert message in output
