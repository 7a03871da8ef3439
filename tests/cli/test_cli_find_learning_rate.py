"""`charloom train --find-learning-rate` shows the search, trains with the rate, and refuses wrong combinations."""

import contextlib
import json
import os
import re
import signal

import pytest

import charloom.api
from charloom.api import learning_rate as api_learning_rate
from charloom.cli.search_output import ProgressLines
from charloom.errors import DivergedError
from charloom.messages import SEARCHING
from charloom.report import learning_rate_plot
from charloom.run_file_names import LEARNING_RATES, LEARNING_RATES_SVG
from charloom.training import learning_rate_search
from charloom.training.learning_rate_search import LEAST_UPDATES
from command_line import charloom_

OPTIONS = (
    "--recipe classic --hidden-size 4 --seq-length 5 --engine reference --sigma 0.1 --updates 20"
)


def rate_in(path):
    """Return the learning rate in a JSON file of a run."""
    values = json.loads(path.read_bytes())
    return values.get("config", values)["learning_rate"]


def test_the_command_prints_the_losses_and_the_rate_and_trains_with_it(book, tmp_path, monkeypatch):
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)
    run = tmp_path / "run"
    done = charloom_("train", book, "--run", run, OPTIONS, "--find-learning-rate --tokens bytes")
    assert done.exit_code == 0
    assert "the loss of the trials in nats per byte, by their learning rate" in done.stderr
    assert "    rate         3         6        12\n" in done.stderr
    assert re.search(r"charloom: +0\.01 +\d\.\d{3} ", done.stderr)
    assert (
        f"the learning rate is {rate_in(run / LEARNING_RATES):g}, which has the lowest loss"
        in done.stderr
    )
    assert (
        f"a picture of the search for the learning rate: {run / LEARNING_RATES_SVG}" in done.stderr
    )
    assert rate_in(run / "config.json") == rate_in(run / LEARNING_RATES)


def test_the_json_has_the_chosen_rate_and_the_losses(book, tmp_path, monkeypatch):
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)
    run = tmp_path / "run"
    done = charloom_("train", book, "--run", run, OPTIONS, "--find-learning-rate --json")
    result = json.loads(done.stdout)
    assert result["learning_rate"] == rate_in(run / "config.json")
    stored = json.loads((run / LEARNING_RATES).read_bytes())
    assert {"format": stored["format"], **result["search"]} == stored


def test_the_command_refuses_a_given_rate_before_it_reads_the_text(tmp_path):
    done = charloom_("train", "no-such-text", "--find-learning-rate --learning-rate 0.1")
    assert done.exit_code == 2
    assert done.stderr == (
        "charloom: --find-learning-rate and --learning-rate both set the learning rate; give only one of them.\n"
    )


def test_resume_explains_that_it_does_not_search(tmp_path):
    done = charloom_("resume", tmp_path / "run", "--find-learning-rate")
    assert done.exit_code == 2
    assert "a run that is continued keeps its learning rate" in done.stderr
    assert f"charloom control {tmp_path / 'run'} run --learning-rate-factor 0.5" in done.stderr
    assert "--find-learning-rate" not in charloom_("resume", "--help").stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SIGINT", "interrupted; no run was made."),
        ("SIGTERM", "interrupted by SIGTERM; no run was made."),
        ("SIGHUP", "interrupted by SIGHUP; no run was made."),
    ],
)
def test_a_signal_during_the_search_makes_no_run(name, message, book, tmp_path, start):
    number = getattr(signal, name)
    process = start(
        "train", book, "--run", tmp_path / "run", "--recipe", "classic", "--engine", "reference",
        "--epochs", 1_000_000, "--find-learning-rate",
    )  # fmt: skip
    assert process.stderr.readline() == f"charloom: {SEARCHING} …\n"
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (out, errors.splitlines()[-1]) == ("", f"charloom: {message}")
    assert "Traceback" not in errors
    assert process.returncode == 128 + number
    assert not (tmp_path / "run").exists()


@contextlib.contextmanager
def ignored(number):
    """Let the tests ignore a signal that a command does not handle."""
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("module", "step"),
    [(learning_rate_search, "apply_updates"), (charloom.api, "plan_training")],
)
def test_a_signal_whose_exception_is_lost_ends_the_command_all_the_same(
    name, module, step, book, tmp_path, monkeypatch
):
    """Python ignores exceptions in some callbacks, and some libraries do."""
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)
    number, original, calls = getattr(signal, name), getattr(module, step), []

    def lose_signal(*args, **options):
        calls.append(step)
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
        return original(*args, **options)

    monkeypatch.setattr(module, step, lose_signal)
    with ignored(number):
        done = charloom_("train", book, "--run", tmp_path / "run", OPTIONS, "--find-learning-rate")
    assert done.exit_code == 128 + number
    assert done.stderr.splitlines()[-1].endswith("; no run was made.")
    assert len(calls) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_the_run_is_created_leaves_a_run_to_resume(
    name, book, tmp_path, monkeypatch
):
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)
    draw, number = learning_rate_plot.save_search_pictures, getattr(signal, name)

    def signal_first(*args):
        signal.raise_signal(number)
        draw(*args)

    monkeypatch.setattr(learning_rate_plot, "save_search_pictures", signal_first)
    run = tmp_path / "run"
    with ignored(number):
        done = charloom_("train", book, "--run", run, OPTIONS, "--find-learning-rate")
    assert done.exit_code == 128 + number
    assert (
        f"interrupted by {name} at update 0 of 20; saved. To continue: charloom resume {run}"
        in done.stderr
    )
    resumed = json.loads(charloom_("resume", run, "--json").stdout)
    assert (resumed["state"], resumed["update"]) == ("finished", 20)
    assert resumed["learning_rate"] == rate_in(run / LEARNING_RATES)


def test_the_command_says_that_all_trials_diverged(book, tmp_path, monkeypatch):
    def diverge(*args):
        raise DivergedError("planted")

    monkeypatch.setattr(learning_rate_search, "apply_updates", diverge)
    done = charloom_("train", book, "--run", tmp_path / "run", OPTIONS, "--find-learning-rate")
    assert done.exit_code == 2
    assert (
        "Check the other settings, such as --clip and --sigma, or give --learning-rate."
        in done.stderr
    )


def test_without_a_terminal_a_line_shows_the_progress_at_the_start_and_every_few_seconds(
    monkeypatch, capsys
):
    now = 100.0
    monkeypatch.setattr("charloom.cli.search_output.time.monotonic", lambda: now)
    lines = ProgressLines()
    for now in (104.9, 105.0, 109.9, 110.0):
        lines(int(now), 400)
    assert capsys.readouterr().err == (
        "charloom: searching for the learning rate …\n"
        "charloom: searching for the learning rate: 105 of at most 400 updates\n"
        "charloom: searching for the learning rate: 110 of at most 400 updates\n"
    )
