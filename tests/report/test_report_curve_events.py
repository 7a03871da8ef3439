"""The report tells what happened in the loss curve: jumps, rollbacks, changes and a pattern of the epochs."""

import math
from pathlib import Path
from typing import Any

import pytest

from charloom.report.curve_events import event_marks, event_story, jumps
from charloom.report.records import Record, gather
from report_runs import PER_EPOCH, make_run, records, report


def gathered(lines: list[dict[str, Any]]) -> Any:
    """Return the records as the report has them."""
    return gather(map(Record.of, lines))


def with_jump(at: int, height: float, length: int, updates: int = 20_000) -> list[dict[str, Any]]:
    """Return records whose smooth loss rises by `height` at update `at` and stays there for `length` updates."""
    found = records(updates)
    for record in found:
        if at < record["update"] <= at + length:
            record["smooth_loss"] += height
    return found


def test_a_planted_jump_is_found_with_its_place_height_and_end() -> None:
    (jump,) = jumps(gathered(with_jump(9_000, 12.5, 2_000)))
    assert 8_000 <= jump.start <= 9_000 < jump.end <= 11_000
    assert jump.after - jump.before == pytest.approx(12.5, abs=1e-3)
    assert jump.recovered == 11_050


def test_a_smooth_curve_has_no_jump_even_if_it_is_uneven() -> None:
    lines = records(20_000)
    assert jumps(gathered(lines)) == []
    for record in lines:
        record["smooth_loss"] += 3 * math.sin(record["update"] / 150)
    assert jumps(gathered(lines)) == []
    assert event_story(gathered(lines), []) == []


def test_a_small_step_is_no_jump() -> None:
    assert jumps(gathered(with_jump(9_000, 2.0, 2_000))) == []


def test_the_report_tells_a_jump_and_where_the_loss_is_back(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run", metrics=with_jump(9_000, 12.5, 2_000)))
    assert "The smooth loss jumps from 40.00 at update" in page.words
    assert " to 52.50 at update " in page.words
    assert "It falls to this level again at update 11,050." in page.words


def test_a_jump_that_stays_and_the_largest_of_several_are_told() -> None:
    lines = with_jump(6_000, 8.0, 1_500)
    for record in lines:
        record["smooth_loss"] += 20.0 if record["update"] > 15_000 else 0.0
    (paragraph,) = event_story(gathered(lines), [])
    assert "The smooth loss jumps 2 times. In the largest jump, it jumps from 40.00" in paragraph
    assert "it does not fall to this level again" in paragraph


def test_rollbacks_and_changes_of_the_learning_rate_are_told(tmp_path: Path) -> None:
    rolled = {"event": "rolled_back", "learning_rate_factor": 0.5, "rollbacks": 1, "reason": "x"}
    events = [
        {**rolled, "update": 500},
        {**rolled, "update": 1_000, "learning_rate_factor": 0.25, "rollbacks": 2},
        {"event": "learning_rate_factor", "update": 1_100, "learning_rate_factor": 0.1},
        {"event": "learning_rate_factor", "update": 1_150, "learning_rate_factor": "fast"},
    ]
    _, page = report(make_run(tmp_path / "run", events=events))
    assert (
        "Training was rolled back 2 times, because a number was not finite: it went back to update 500 and 1,000 "
        "and continued with half the learning rate each time."
    ) in page.words
    assert "The planned learning rate was multiplied by 0.1 from update 1,100 on." in page.words
    _, page = report(make_run(tmp_path / "one", events=events[:1]))
    assert "Training was rolled back once, because a number was not finite" in page.words
    assert "each time" not in page.words


def wave(updates: int, length: int) -> list[dict[str, Any]]:
    """Return records whose loss goes up and down by 4 nats, once in `length` updates."""
    found = records(updates, every=5)
    for record in found:
        record["smooth_loss"] += 2 * math.sin(2 * math.pi * record["update"] / length)
    return found


def test_a_pattern_that_repeats_in_each_epoch_is_told() -> None:
    (paragraph,) = event_story(gathered(wave(5 * PER_EPOCH, PER_EPOCH)), [])
    assert paragraph.startswith(
        "In each epoch the loss goes up and down in much the same way, by 3.9"
    )


def test_a_wave_with_another_length_is_no_pattern_of_the_epochs() -> None:
    assert event_story(gathered(wave(5 * PER_EPOCH, round(0.66 * PER_EPOCH))), []) == []


def test_the_plot_marks_the_events_and_explains_the_lines(tmp_path: Path) -> None:
    events = [
        {"event": "rolled_back", "update": 12_000, "learning_rate_factor": 0.5, "rollbacks": 1},
        {"event": "learning_rate_factor", "update": 15_000, "learning_rate_factor": 0.3},
    ]
    run = make_run(tmp_path / "run", metrics=with_jump(9_000, 12.5, 2_000), events=events)
    _, page = report(run)
    (jump,) = jumps(gathered(with_jump(9_000, 12.5, 2_000)))
    svg = (run / "loss.svg").read_text(encoding="utf-8")
    for mark in (f"jump-{jump.end}", "rollback-12000", "new-rate-15000"):
        assert svg.count(f'id="{mark}"') == 1
        assert f'id="zoom-{mark}"' in svg
    for name in ("jump", "rollback", "new rate"):
        assert name in page.words
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any("vertical lines mark events: jump, rollback, new rate" in label for label in labels)


def test_a_run_without_events_has_no_marks_and_many_events_are_thinned() -> None:
    assert event_marks(gathered(records(20_000)), []) == {}
    many = [{"event": "rolled_back", "update": update} for update in range(100)]
    (found,) = event_marks(gathered(records(20_000)), many).values()
    assert len(found) <= 12
    assert found[-1] == 99
