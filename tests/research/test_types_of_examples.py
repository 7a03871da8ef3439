"""mypy and pyright accept the research examples in their strict modes, and reject a misspelt setting and name."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import charloom

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = [
    "own_schedule", "frozen_recurrence", "weight_noise", "own_initial_weights", "gradients_as_arrays"
]  # fmt: skip
WRONG = """\
import charloom
from charloom.research import Config, Corpus, TrainingLoop
charloom.train("a.txt", hiden_size=4)
loop = TrainingLoop(Corpus.open(["a.txt"]), Config(hiden_size=4))
loop.step(learning_rat=0.1)
loop.learner.parameter
"""
WRONG_LINES = [3, 4, 5, 6]
PYRIGHT = shutil.which("pyright", path=Path(sys.executable).parent) or shutil.which("pyright")


@pytest.fixture
def programs(tmp_path):
    """Return a folder with the examples and a program with mistakes."""
    for name in EXAMPLES:
        shutil.copy(ROOT / "examples" / f"{name}.py", tmp_path)
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    return tmp_path


def wrong_lines(mistakes):
    """Return the lines of the mistakes in wrong.py, after asserting that the other programs have none."""
    assert {Path(path).name for path, _ in mistakes} == {"wrong.py"}
    return sorted({line for _, line in mistakes})


def test_mypy_accepts_the_examples_and_rejects_misspelt_names(programs):
    # mypy reads the types of the package, which takes seconds.
    files = sorted(programs.glob("*.py"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            f"--cache-dir={programs / 'cache'}",
            *files,
        ],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    rows = [line.split(":") for line in done.stdout.splitlines() if ": error:" in line]
    assert wrong_lines([(path, int(line)) for path, line, *_ in rows]) == WRONG_LINES


@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed")
def test_pyright_accepts_the_examples_and_rejects_misspelt_names(programs):
    source = Path(charloom.__file__).parent.parent
    config = {"include": ["."], "extraPaths": [str(source)], "typeCheckingMode": "strict"}
    (programs / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [PYRIGHT, "--outputjson", "--pythonpath", sys.executable, "--project", programs],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    lines = [(one["file"], one["range"]["start"]["line"] + 1) for one in errors]
    assert wrong_lines(lines) == WRONG_LINES
