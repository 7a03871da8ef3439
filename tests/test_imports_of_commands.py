"""No command and no Python function imports PyTorch or another heavy package unless the user asks for it."""

import subprocess
import sys

import pytest

# Runs commands in one interpreter, and prints the heavy packages that were loaded after each.
WALK = """
import json, shlex, sys
from charloom.cli import app
for line in sys.stdin:
    try:
        app(shlex.split(line), prog_name="charloom", standalone_mode=False)
    except SystemExit as done:
        assert not done.code, (line, done.code)
    found = sorted({"torch", "jax", "tensorflow", "pandas"} & set(sys.modules))
    print(json.dumps([line.strip(), found]), file=sys.stderr)
    if found:
        break
"""
SMALL = "--hidden-size 4 --batch-size 2 --seq-length 5 --sample-length 5 --passage-length 5 --ngram-order 2"
COMMANDS = f"""\
train text.txt --run one {SMALL} --updates 3
train text.txt --run two {SMALL} --updates 20 --find-learning-rate
train text.txt --run one {SMALL} --updates 6 --exist resume
resume one --updates 9
sample one --length 5
evaluate one
runs list .
compare one two
report one
recipes
corpora
info
bench --list
gradcheck
export one --to torch --output one.torch.safetensors --network-alone
export one --to html --output one.html
control --help
serve --help
doctor --help
"""


def run_all(commands, folder):
    """Run commands in a new interpreter; return the lines that it prints."""
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    done = subprocess.run(
        [sys.executable, "-c", WALK],
        input=commands, capture_output=True, text=True, cwd=folder, timeout=250, check=False,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert done.returncode == 0, done.stderr[-2000:]
    return lines


def test_the_common_commands_import_no_framework(tmp_path):
    """Takes more than two seconds, because it trains and makes a report."""
    lines = run_all(COMMANDS, tmp_path)
    assert len(lines) == len(COMMANDS.splitlines())
    assert [line for line in lines if not line.endswith("[]]")] == []


def test_the_walk_sees_a_command_that_imports_pytorch(tmp_path):
    pytest.importorskip("torch")
    lines = run_all(f"recipes\ntrain text.txt --engine torch {SMALL} --updates 2\n", tmp_path)
    assert lines[0].endswith("[]]")
    assert '"torch"' in lines[1].rpartition("[")[2]
