"""If the best checkpoint is lost, every sentence names the checkpoint that is used instead."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import small_runs
from charloom import training
from charloom.cli import app
from charloom.messages import for_command_line, terminal_command
from charloom.report import write_report
from charloom.training import Overfitting
from charloom.training.overfitting_message import overfitting_sentence
from pages import Page

FOUND = Overfitting(140, 0.35, 0.12)


def charloom_(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(map(str, words)), prog_name="charloom")


def best_of(run):
    """Return the update that the pointer `best` names."""
    return int((run / "checkpoints" / "best").read_text().split()[0])


@pytest.mark.parametrize(
    ("kept", "hint"),
    [
        (140, "charloom sample runs/book uses the best checkpoint."),
        (295, "uses that of update 295, the best one that is left."),
        (None, "uses the last one."),
    ],
)
def test_the_hint_names_the_model_that_sample_uses(kept, hint):
    sentence = for_command_line(
        overfitting_sentence(FOUND, kept, terminal_command("sample", Path("runs/book")))
    )
    assert hint in sentence
    assert ("The checkpoint of that update is lost" in sentence) == (kept != 140)


@pytest.fixture
def run(tmp_path):
    """Return a run whose lowest validation loss is at an update without a checkpoint.

    That happens if the best checkpoint is lost and training is resumed without it.
    """
    path = tmp_path / "run"
    small_runs.train(path, validation=0.2)
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    judged = next(n for n, line in enumerate(lines) if json.loads(line).get("validation_nats"))
    # Lower than anything that follows, and no byte longer.
    lines[judged] = re.sub(r'("validation_nats":)\d', r"\g<1>0", lines[judged])
    (path / "metrics.jsonl").write_text("".join(lines))
    return SimpleNamespace(path=path, lost=json.loads(lines[judged])["update"])


def test_the_hint_the_report_and_sample_agree(run, monkeypatch):
    kept = best_of(run.path)
    assert kept > run.lost
    monkeypatch.setattr(training, "overfitting", lambda _: Overfitting(run.lost, 0.35, 0.12))
    output = charloom_("resume", run.path).stderr
    assert f"uses that of update {kept:,}, the best one that is left" in output
    sample = charloom_("sample", run.path, "--length", "5", "--json").stdout
    assert json.loads(sample)["update"] == kept
    words = Page(write_report(run.path).read_text(encoding="utf-8")).words
    assert f"It is lowest after update {run.lost}:" in words
    assert f"the best remaining checkpoint is that of update {kept}." in words
