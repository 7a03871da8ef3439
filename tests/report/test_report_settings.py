"""A report names the text, versions, settings and command of a run, and the events during training."""

from pathlib import Path
from typing import Any

import pytest

from charloom.gradient_check import GradientCheck
from charloom.recipes import RECIPES
from pages import Page
from report_runs import K, make_run, report


def test_the_settings_tell_text_versions_engine_seconds_and_command(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks, seed=7, engine="native (v4)"))
    for words in (
        "ab" * 32,
        "0.0.9",
        "native (v4)",
        "Python 3.14.0",
        "1.2 for 1,200 of 1,200 updates",
        "matplotlib",
    ):
        assert words in page.words
    assert page.samples[-1] == (
        "charloom reproduce 'my book.txt' --run new-run --hidden-size 10 --epochs 3 --seed 7"
    )


def test_what_happened_on_the_way_is_told(tmp_path: Path) -> None:
    events = [
        {"event": "resumed", "update": 300, "engine": "native (v3)", "numpy": "2.9.0"},
        {"event": "learning_rate_factor", "update": 400, "learning_rate_factor": 0.5},
        {"event": "end_changed", "update": 500, "updates": 1_234, "epochs": 3},
        {"event": "end_changed", "update": 600, "updates": None, "epochs": 7},
        {"event": "end_changed", "update": 700, "updates": "many", "epochs": 3},
    ]
    _, page = report(make_run(tmp_path / "run", events=events))
    for words in (
        "native (v3)",
        "NumPy 2.9.0",
        "from update 300",
        "× 0.5 from update 400",
        "after 1,234 updates, set at update 500; after 7 epochs, set at update 600",
    ):
        assert words in page.words
    assert "set at update 700" not in page.words


def test_without_gradient_check_the_command_is_train(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run"))
    assert page.samples[-1].startswith("charloom train ")


def test_a_text_without_a_file_is_taken_from_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", text={"sources": []})
    _, page = report(run)
    assert "charloom train run/text.txt " in page.samples[-1]
    assert str(tmp_path) not in page.samples[-1]


def test_every_setting_that_was_changed_is_in_the_command(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run", clip=1.0))
    assert page.samples[-1] == (
        "charloom train 'my book.txt' --run new-run --recipe classic "
        "--hidden-size 10 --epochs 3 --clip 1.0 --seed 0"
    )


@pytest.mark.parametrize("settings", [{"updates": 500}, {"updates": None, "epochs": 10}], ids=str)
def test_the_command_of_a_recipe_that_trains_for_minutes_says_how_long(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Then it trains for the same number of updates on another machine."""
    config = {**RECIPES["quick"].config.to_dict(), "threads": 2, **settings}
    _, page = report(make_run(tmp_path / "run", **config))
    end = "--updates 500" if settings["updates"] else "--epochs 10"
    assert page.samples[-1].endswith(f"--run new-run {end} --seed 0 --threads 2")


def test_a_network_of_any_kind_is_named(tmp_path: Path) -> None:
    settings = {"cell": "lstm", "layers": 2, "batch_size": 7}
    _, page = report(make_run(tmp_path / "run", **settings))
    assert "An LSTM with two layers of 10 hidden units learns" in page.words
    assert "with windows of 25 characters in 7 streams." in page.words


def test_the_n_grams_of_a_run_and_its_parameters_are_named(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run", cell="gru", ngram_order=8))
    assert "A GRU with 10 hidden units and n-grams of up to 8 characters learns to" in page.words
    H = 10
    number = 3 * H * K + 3 * H * H + 3 * H + H + K * H + K + H + 1
    assert row_of(page, "parameters").startswith(f"{number:,}the numbers that training changes")
    assert row_of(page, "ngram_order").startswith("8")


def row_of(page: Page, name: str) -> str:
    """Return the text after the name of a setting."""
    return page.words.partition(f"\n{name}")[2][:80]


def test_the_end_that_was_asked_for_and_the_one_that_was_reached_are_listed(tmp_path: Path) -> None:
    whole = report(make_run(tmp_path / "epochs"))[1]
    assert "update 1,200, after 3 epochs; the goal is 3 epochs" in whole.words
    assert row_of(whole, "epochs").startswith("3")
    fixed = report(make_run(tmp_path / "updates", updates=1, epochs=10))[1]
    assert "after 3 epochs; the goal is 1 update" in fixed.words
    assert row_of(fixed, "epochs").startswith("none")
    assert "It is trained for 1 update with windows of" in fixed.words
