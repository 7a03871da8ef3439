"""The commands of an installed charloom, as `python -m charloom`, from the text to the report.

Each test starts several processes, whose imports take most of its time.
"""

import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

TEXT = 40 * "The cat sat on the mat, and the dog ran round the log; then the cat sat still.\n"
SMALL = (
    "--recipe",
    "classic",
    "--hidden-size",
    "20",
    "--report-every",
    "50",
    "--passage-length",
    "40",
)


def charloom(*words, folder, code=0):
    """Run a command in `folder`, check its exit code, and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "charloom", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )
    assert ended.returncode == code, f"{words}: exit code {ended.returncode}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a text and a finished run of two epochs."""
    place = tmp_path_factory.mktemp("installed")
    (place / "book.txt").write_text(TEXT, encoding="utf-8", newline="\n")
    charloom("train", "book.txt", "--run", "run", "--epochs", "2", *SMALL, folder=place)
    return place


def test_info_has_the_version_of_the_metadata(folder):
    info = json.loads(charloom("info", "--json", folder=folder))
    assert info["version"] == metadata.version("charloom")


def test_the_gradients_are_right(folder):
    shown = charloom("gradcheck", "--hidden-size", "5", "--seq-length", "3", folder=folder)
    assert "The gradient is right" in shown


def test_a_run_is_evaluated_and_writes_the_same_text_with_the_same_seed(folder):
    texts = [
        charloom("sample", "run", "--length", "50", "--seed", "3", folder=folder) for _ in range(2)
    ]
    assert texts[0] == texts[1]
    loss = json.loads(charloom("evaluate", "run", "book.txt", "--json", folder=folder))
    assert 0 < loss["bits"] < 4  # 26 characters without any knowledge: 4.7 bits


def test_a_run_is_trained_further_and_has_its_report(folder):
    charloom("resume", "run", "--epochs", "3", folder=folder)
    charloom("report", "run", folder=folder)
    report = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "Generated long text passage" in report


def test_a_run_is_exported(folder):
    charloom("export", "run", "--to", "html", "--output", "model.html", folder=folder)
    charloom("export", "run", "--to", "torch", "--output", "model.safetensors", folder=folder)
    assert (folder / "model.html").stat().st_size > 10_000


def test_the_doctor_checks_a_users_function(folder):
    charloom("doctor", "--template", "numpy", folder=folder)
    source = (folder / "my_rnn.py").read_text(encoding="utf-8")
    assert verdict("my_rnn.py", folder) == "right"
    line = next(line for line in source.splitlines() if "dh_next = " in line and "W" in line)
    planted = source.replace(line, line.partition("=")[0] + "= 0 * dh_next")
    (folder / "planted.py").write_text(planted, encoding="utf-8")
    assert verdict("planted.py", folder, code=1) == "wrong"


def verdict(file, folder, code=0):
    """Return what the doctor says about the function in `file`."""
    shown = charloom("doctor", f"{file}:loss_and_gradients", "--json", folder=folder, code=code)
    return json.loads(shown)["verdict"]


def test_a_run_whose_process_was_killed_is_resumed(folder):
    words = ["train", "book.txt", "--run", "killed", "--epochs", "100000", "--save-seconds", "0.1"]
    with subprocess.Popen(
        [sys.executable, "-m", "charloom", *words, *SMALL],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while latest(folder / "killed") < 100 and process.poll() is None:
            time.sleep(0.05)
        process.kill()
    before = latest(folder / "killed")
    assert before >= 100
    charloom("resume", "killed", "--updates", str(before + 50), folder=folder)
    assert latest(folder / "killed") == before + 50


def latest(run: Path) -> int:
    """Return the update of the latest checkpoint of a run; -1 if there is none yet."""
    try:
        return int((run / "checkpoints" / "latest").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return -1
