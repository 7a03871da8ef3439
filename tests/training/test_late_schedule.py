"""A run that ends before its warm-up or before the first step of its learning rate says so, on every face."""

import subprocess
import sys
import warnings

import pytest

import charloom
import small_runs
from charloom.messages import for_command_line
from charloom.model.schedule import Schedule
from charloom.report import write_report
from charloom.training.schedule_message import late_schedule
from small_runs import small_config, small_corpus


def message(**settings):
    """Return the message about a run with these settings as the terminal shows it; "" if there is none."""
    schedule = Schedule.of(small_config(**settings), len(small_corpus()))
    found = late_schedule(schedule)
    return "" if found is None else for_command_line(found)


def test_a_step_after_the_end_says_that_the_learning_rate_stays():
    step = {"schedule": "step", "learning_rate": 0.1, "updates": 50}
    assert message(**step, step_after_updates=49) == ""
    found = message(**step, step_after_updates=50)
    assert "the run ends after 50 updates" in found
    assert "first step of its learning rate is after 50 updates" in found
    assert "stays 0.1" in found
    assert "--step-after-updates" in found
    assert "--step-after," in message(**step, step_after=10)
    # Without the schedule, the setting has no effect.
    assert message(schedule="constant", updates=50, step_after_updates=50) == ""


def test_a_warm_up_after_the_end_says_what_the_learning_rate_reaches():
    assert message(warmup=50, updates=50) == ""
    found = message(warmup=100, updates=50, learning_rate=0.1)
    assert "rises to 0.05 and never reaches 0.1. Give a shorter --warmup," in found
    assert "schedule begins" not in found
    found = message(warmup_epochs=50.0, epochs=1, schedule="cosine")
    assert "The schedule begins only after the warm-up" in found
    assert "--warmup-epochs" in found


def test_the_stated_learning_rates_are_those_of_the_run():
    config = small_config(warmup=100, updates=50, learning_rate=0.1)
    schedule = Schedule.of(config, len(small_corpus()))
    assert max(schedule.learning_rates(0, 50)) == pytest.approx(0.05)
    config = small_config(schedule="step", step_after_updates=50, updates=50, learning_rate=0.1)
    assert set(Schedule.of(config, len(small_corpus())).learning_rates(0, 50)) == {0.1}


def test_python_warns_and_the_report_has_the_sentence(tmp_path):
    text = small_runs.TEXT
    with pytest.warns(UserWarning, match="never reaches 0.01"):
        charloom.train(
            string=text,
            run=tmp_path / "run",
            recipe="classic",
            updates=20,
            warmup=100,
            learning_rate=0.01,
        )
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "never reaches 0.01" in page
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        charloom.train(string=text, recipe="classic", updates=20, warmup=10)
        # A warm-up that only the recipe has is no mistake of the user. The terminal and the page tell it all the same.
        charloom.train(string=20 * text, recipe="quick", updates=2, hidden_size=4)
    assert "never reaches" in message(recipe="quick", warmup=100, updates=2)


def test_the_command_says_it_before_training(tmp_path):
    (tmp_path / "text.txt").write_text(small_runs.TEXT)
    words = "train text.txt --recipe classic --updates 20 --schedule step --step-after-updates 500 --run run"
    done = subprocess.run(
        [sys.executable, "-m", "charloom", *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "learning rate stays 0.1. Give a smaller --step-after-updates, or a later end."
        in done.stderr
    )
