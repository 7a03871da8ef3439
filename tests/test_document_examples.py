"""The examples of the documents and of the help work when a user runs them in their order."""

import re
import sys
from pathlib import Path

import pytest

from charloom.cell_table import CELL_NAMES
from charloom.errors import RunExistsError
from charloom.registered_cells import CELL_FILES, cell_names, remove_cell
from document_examples import OTHER_PROGRAMS, blocks, commands, run_examples

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs_reference  # noqa: E402

COMMANDS = docs_reference.commands()
# These are made by programs, without examples.
MADE = (
    "docs/LOG.md",
    "docs/RESULTS.md",
    "docs/DOCTOR.md",
    "docs/RELIABILITY.md",
    "docs/modules.md",
)
DOCUMENTS = [
    name
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if (name := path.relative_to(ROOT).as_posix()) not in MADE
]


def text_of(name):
    """Return the text of a document."""
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if blocks(text_of(name))])
def test_the_examples_of_a_document_work(name, tmp_path, monkeypatch):
    """The longest documents take some ten seconds, with training runs, the whole experiment and a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CELL_FILES, "")
    if name == "docs/guides/cells.md":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    try:
        assert run_examples(name, text_of(name)) == []
    finally:
        for cell in set(cell_names()) - set(CELL_NAMES):
            remove_cell(cell)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"bench"}))  # docs/guides/study.md runs it
def test_the_examples_of_the_help_work(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^ *(charloom .*)$", COMMANDS[name].help, re.MULTILINE)
    script = "\n".join(examples)
    assert run_examples(f"charloom {name} --help", f"```sh\n{script}\n```\n") == []


def test_the_documents_have_many_examples_and_name_every_command():
    found = [
        words
        for name in DOCUMENTS
        for language, _, code in blocks(text_of(name))
        if language == "sh"
        for _, words in commands(code)
    ]
    assert len(found) > 70
    used = {words[1] for words in found if words[0] == "charloom"}
    assert {name.split()[0] for name in COMMANDS} - used == set()
    assert {words[0] for words in found} - {"charloom", *OTHER_PROGRAMS} == set()


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (
            "```python\nfrom pathlib import Path\nassert Path('book.txt').read_text() == ''\n```",
            AssertionError,
        ),
        ("```python\nimport charloom\ncharloom.trian('book.txt')\n```", AttributeError),
        ("```python sketch\ndef broken(:\n```", SyntaxError),
        ("```python scetch\n1\n```", AssertionError),
        ("```sh\nwget book.txt\n```", AssertionError),
        (
            "```sh\ncharloom train book.txt --recipe classic --run runs/book\n```\n"
            "```python\nimport charloom\ncharloom.train('book.txt', run='runs/book')\n```",
            RunExistsError,
        ),
    ],
)
def test_a_planted_example_that_fails_is_caught(block, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        run_examples("planted", f"# Title\n\n{block}\n")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("charloom train book.txt --recipe classic --run runs/book", "already contains a run"),
        ("charloom doctor my_rnn.py:no_such_function", "no_such_function"),
    ],
)
def test_a_planted_command_that_is_refused_is_caught(second, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = "charloom train book.txt --recipe classic --run runs/book"
    ((words, output),) = run_examples("planted", f"```sh\n{first}\n{second}\n```\n")
    assert f"charloom {words}" == second
    assert message in output


def test_python_and_commands_run_in_the_order_of_the_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = "```python\nfrom pathlib import Path\nPath('made.txt').write_text('to be ' * 99)\n```\n"
    second = "```sh\ncharloom train made.txt --recipe classic --run runs/made\n```\n"
    assert run_examples("planted", first + second) == []
    (tmp_path / "made.txt").unlink()
    third = second.replace("runs/made", "runs/other")
    ((_, output),) = run_examples("planted", third + first)
    assert "made.txt" in output
