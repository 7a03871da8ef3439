"""Tests of `charloom resume`."""

import json

import pytest
from typer.testing import CliRunner

import charloom.cli
from charloom.api import training_plan
from charloom.api.time_estimates import Costs
from charloom.cli import app
from charloom.config import MACHINE_SETTINGS, Config
from charloom.engines import native_problem
from charloom.store import load_model
from command_line import SMALL, charloom_


def test_resume_of_a_finished_run_says_so(run):
    done = charloom_("resume", run)
    assert done.exit_code == 0
    assert "is finished at update 40; there is nothing to do" in done.stderr
    assert json.loads(charloom_("resume", run, "--json").stdout)["state"] == "finished"


def test_resume_saves_as_often_as_it_is_told_and_the_run_keeps_its_setting(book, tmp_path):
    run = tmp_path / "run"
    charloom_("train", book, "--run", run, SMALL)
    wrong = charloom_("resume", run, "--updates 80 --save-seconds 0")
    assert (wrong.exit_code, "--save-seconds is 0" in wrong.stderr) == (2, True)
    done = charloom_("resume", run, "--updates 80 --save-seconds 0.000001 --json")
    assert (done.exit_code, json.loads(done.stdout)["update"]) == (0, 80)
    assert charloom.load(run).config.save_seconds == Config().save_seconds
    for name in MACHINE_SETTINGS:
        assert f"--{name.replace('_', '-')} " in charloom_("resume --help").stdout


def test_resume_extends_and_finds_a_moved_text(book, tmp_path):
    charloom_("train", book, "--run", tmp_path / "run", SMALL)
    moved = book.rename(tmp_path / "moved.txt")
    lost = charloom_("resume", tmp_path / "run", "--updates 60")
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "--text" in lost.stderr
    done = charloom_("resume", tmp_path / "run", "--updates 60 --text", moved, "--json")
    assert json.loads(done.stdout)["update"] == 60


def test_resume_with_minutes_reads_its_text_only_once(book, monkeypatch, tmp_path):
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    charloom_("train", book, "--run", tmp_path / "run", SMALL)
    text = book.read_text()
    book.unlink()
    lost = charloom_("resume", tmp_path / "run", "--minutes 0.1 --epochs 9 --text -")
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "--epochs and --minutes each set the end of training" in lost.stderr
    before = load_model(tmp_path / "run").update
    done = CliRunner().invoke(
        app, ["resume", str(tmp_path / "run"), "--minutes", "0.1", "--text", "-", "--json"],
        input=text,
    )  # fmt: skip
    assert (done.exit_code, json.loads(done.stdout)["update"]) == (0, before + 60)


COSINE = "--schedule cosine --learning-rate 0.02 --updates 40"


@pytest.mark.parametrize(
    ("option", "end", "rate"),
    [
        ("--updates 80", 80, "0.01"),
        ("--minutes 0.1", 100, "0.0131"),
        ("--updates 50", 50, "0.00191"),
    ],
)
def test_resume_says_that_a_new_end_changes_the_cosine(
    option, end, rate, book, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    run = tmp_path / "run"
    charloom_("train", book, "--run", run, SMALL, COSINE)
    done = charloom_("resume", run, option)
    assert (
        f"the learning rate now follows its cosine to update {end} (before: update 40), so it continues "
        f"with {rate} instead of 0.\n"
    ) in done.stderr
    assert "cosine" not in charloom_("resume", run).stderr


def test_resume_says_nothing_of_a_cosine_that_does_not_change(book, tmp_path):
    charloom_("train", book, "--run", tmp_path / "constant", SMALL)
    assert "cosine" not in charloom_("resume", tmp_path / "constant", "--updates 80").stderr
    assert "follows the cosine to the new end" in " ".join(
        charloom_("resume --help").stdout.split()
    )


def test_resume_says_from_where_and_takes_other_threads(book, tmp_path):
    charloom_("train", book, "--run", tmp_path / "run", SMALL, "--batch-size 2")
    words = ("resume", tmp_path / "run", "--updates 60 --threads")
    assert "threads is -1" in charloom_(*words, "-1").stderr
    done = charloom_(*words, 2)
    assert "update 40 of 60 updates; " in done.stderr
    if not native_problem():
        assert "2 threads" in done.stderr
        assert "its numbers may differ" in done.stderr


def test_resume_says_at_its_start_that_a_command_changed_the_learning_rate(book, tmp_path):
    run = tmp_path / "run"
    charloom_("train", book, "--run", run, SMALL)
    assert "of the settings" not in charloom_("resume", run, "--updates 45").stderr
    event = {
        "event": "learning_rate_factor",
        "learning_rate_factor": 0.1,
        "time": 1.0,
        "update": 45,
    }
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    shown = charloom_("resume", run, "--updates 50").stderr
    assert "the learning rate is 0.1 × that of the settings, because of an earlier command" in shown
    assert f"charloom control {run} run --learning-rate-factor 1" in shown


def test_control_without_a_command_shows_the_state_of_the_run(book, tmp_path):
    run = tmp_path / "run"
    charloom_("train", book, "--run", run, SMALL)
    assert charloom_("control", run).stdout == f"{run}: finished at update 40 of 40\n"
    assert json.loads(charloom_("control", run, "--json").stdout)["state"] == "finished"
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "training", "update": 30}))
    assert f"{run}: interrupted at update 30 of 40" in charloom_("control", run).stdout
    refused = charloom_("control", run, "--learning-rate-factor 0.5")
    assert (refused.exit_code, "needs a command" in refused.stderr) == (2, True)


def test_an_empty_text_is_called_empty(run, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    assert (
        "the text is empty, but scoring needs at least two"
        in charloom_("score", run, tmp_path / "empty.txt").stderr
    )
