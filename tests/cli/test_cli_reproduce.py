"""Tests of `charloom reproduce` and `charloom report`."""

import json
import re

import pytest

from book_text import TEXT
from charloom import api
from charloom.cli.report_output import ReadingProgress
from charloom.formatting import duration
from charloom.training.stop_signals import Halt
from command_line import SMALL, charloom_

pytestmark = pytest.mark.usefixtures("kept_plots")


def test_reproduce_ends_with_the_headlines_and_the_report(book, tmp_path):
    """Takes one or two seconds, because it draws the report."""
    done = charloom_("reproduce", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "The first loss still has a weight of" in lines.pop(2)
    heads = [line.split(":")[0] for line in lines]
    assert heads == ["gradients", "smooth loss", "it writes", "time", "report"]
    assert done.stdout.splitlines()[-1].endswith("run/report.html")
    assert (tmp_path / "run" / "report.html").exists()


def test_reproduce_gives_the_seconds_and_the_largest_error_that_its_files_have(book, tmp_path):
    """Takes two seconds, because it checks the gradients and draws the report."""
    run = tmp_path / "run"
    done = charloom_("reproduce", book, "--run", run, SMALL)
    assert done.exit_code == 0, done.output
    last = json.loads((run / "metrics.jsonl").read_bytes().splitlines()[-1])
    taken = re.search(r"^time: +(.*) of training", done.stdout, re.MULTILINE)
    assert taken is not None
    assert taken[1] == duration(last["seconds"])
    checks = json.loads((run / "gradcheck.json").read_bytes())["checks"]
    errors = [
        row["norm_relative"]
        for check in checks
        if check["settings"]["dtype"] == "float64"
        for row in check["rows"]
    ]
    assert f"largest norm-relative error in float64: {max(errors):.1e}," in done.stdout


def test_reproduce_fails_on_a_wrong_gradient(book, monkeypatch, tmp_path):
    from charloom.engines.reference.cells import RnnCell

    honest = RnnCell.backward

    def forget_the_future(self, *args):
        dx, carried = honest(self, *args)
        return dx, {name: 0 * array for name, array in carried.items()}

    monkeypatch.setattr(RnnCell, "backward", forget_the_future)
    done = charloom_(
        "reproduce", book, "--run", tmp_path / "run", SMALL, "--sigma 0.3 --engine reference --json"
    )
    assert done.exit_code == 1
    assert "The gradient is WRONG" in done.stderr
    result = json.loads(done.stdout)
    assert result["gradients_right"] is False
    assert result["report"] is not None


def test_reproduce_and_resume_say_what_their_report_left_out(book, monkeypatch, tmp_path):
    """Takes two seconds, because it writes two reports."""
    run, items = tmp_path / "run", api.Training.items

    def broken_at_its_end(training, *args):
        yield from items(training, *args)
        with (run / "samples.jsonl").open("a", encoding="utf-8") as file:
            file.write("[1]\n")

    monkeypatch.setattr(api.Training, "items", broken_at_its_end)
    done = charloom_("reproduce", book, "--run", run, SMALL, "--json")
    damage = json.loads(done.stdout)["damage"]
    assert len(damage) == 1
    assert damage[0].startswith(f"{run / 'samples.jsonl'} is damaged: 1 of ")
    sentence = f"charloom: the report leaves out a damaged or missing part: {damage[0]}"
    assert done.stderr.splitlines().count(sentence) == 1
    monkeypatch.undo()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"Damaged: {damage[0]}" in page
    again = charloom_("report", run, "--json")
    assert json.loads(again.stdout)["damage"] == damage
    assert again.stderr.splitlines() == [sentence]
    (run / "events.jsonl").write_bytes((run / "events.jsonl").read_bytes() + b"[2]\n")
    done = charloom_("resume", run, "--epochs 4 --allow-older")
    assert done.exit_code == 0, done.output
    assert (
        "the report leaves out a damaged or missing part" not in done.stderr
    )  # resuming has mended it


def test_python_is_told_what_the_report_left_out(monkeypatch, tmp_path):
    """Takes two seconds: eight gradient checks and a report."""
    items = api.Training.items

    def without_samples(training, *args):
        yield from items(training, *args)
        (tmp_path / "run" / "samples.jsonl").unlink()

    monkeypatch.setattr(api.Training, "items", without_samples)
    done = api.reproduce(
        string=TEXT, run=tmp_path / "run", hidden_size=3, seq_length=4, updates=3,
    )  # fmt: skip
    (damage,) = done.damage
    assert damage.startswith(f"{tmp_path / 'run' / 'samples.jsonl'} is missing, and had ")
    assert done.report is not None


def test_only_a_long_reading_shows_its_progress(capsys, tmp_path):
    now = iter([0.0, 1.9, 2.1, 3.0, 7.2, 100.0, 101.0])
    progress = ReadingProgress(clock=lambda: next(now))
    metrics, samples = tmp_path / "metrics.jsonl", tmp_path / "samples.jsonl"
    for done in (0, 10, 20, 30, 90):
        progress(metrics, done * 1_000_000, 100_000_000)
    progress(samples, 0, 5)
    progress(samples, 5, 5)
    assert capsys.readouterr().err.splitlines() == [
        f"charloom: reading {metrics}: 20% of 100 MB",
        f"charloom: reading {metrics}: 90% of 100 MB",
    ]


def test_an_interrupted_reproduction_is_resumed_to_its_report(book, monkeypatch, tmp_path):
    looks = iter([None] * 8)  # four after gradient checks, the others during training

    def look(halt):
        return next(looks, "SIGINT")

    with monkeypatch.context() as patch:
        patch.setattr(Halt, "__call__", look)
        done = charloom_("reproduce", book, "--run", tmp_path / "run", SMALL, "--engine reference")
    assert "interrupted by SIGINT" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    done = charloom_("resume", tmp_path / "run")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("report: ")
    assert (tmp_path / "run" / "report.html").exists()


def test_report_says_where_it_is(run):
    """Takes a second, because it draws."""
    done = charloom_("report", run)
    assert done.stdout == f"{run / 'report.html'}\n"
    assert json.loads(charloom_("report", run, "--json").stdout) == {
        "report": str(run / "report.html"),
        "damage": [],
    }
