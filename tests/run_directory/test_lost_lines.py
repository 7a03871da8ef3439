"""Tests of messages about lost records: they name the updates whose lines are really lost."""

import pytest

import small_runs
from charloom.model.schedule import Schedule
from charloom.report import write_report
from charloom.store import read_run
from charloom.store.journal_lines import is_record
from charloom.store.journal_objects import sound_objects
from charloom.store.lost_lines import LostLines
from small_runs import resume

GARBAGE = b"garbage\n"


@pytest.fixture
def run(tmp_path):
    """Return a finished run with records at updates 1, 10, 20, …, 60."""
    small_runs.train(tmp_path / "run", updates=60, report_every=10)
    return tmp_path / "run"


def spoil(run, *places):
    """Replace records by garbage; return the updates of all records before that."""
    updates = [record["update"] for record in read_run(run).metrics]
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    for place in places:
        lines[place] = GARBAGE
    (run / "metrics.jsonl").write_bytes(b"".join(lines))
    return updates


def places_of(updates, bad):
    """Return the words for the updates whose records a bad line loses. `bad` is the index of the line."""
    if bad == 0:
        return f"before update {updates[1]}"
    if bad in (-1, len(updates) - 1):
        return f"after update {updates[-2]} and up to update {updates[-1]}"
    return f"between updates {updates[bad - 1]} and {updates[bad + 1]}"


@pytest.mark.parametrize("bad", [0, 2, -1])
def test_the_report_names_the_records_that_a_bad_line_lost(run, bad):
    updates = spoil(run, bad)
    sentences = []
    write_report(run, on_message=sentences.append)
    assert f"its records {places_of(updates, bad)} are lost." in " ".join(sentences)


@pytest.mark.parametrize("bad", [0, 2, -1])
def test_resuming_names_the_records_that_a_bad_line_lost(run, bad):
    updates = spoil(run, bad)
    first, *_ = resume(run, allow_older=True, updates=70)
    assert f"The records {places_of(updates, bad)} are lost." in first.message
    kept = [record["update"] for record in read_run_records(run)]
    wanted = [u for u in updates if u != updates[bad]]
    assert kept[: len(wanted)] == wanted


def read_run_records(run):
    """Return the readable records of a run."""
    return list(sound_objects(run / "metrics.jsonl", is_record, []))


def test_a_bad_line_and_a_lost_end_are_both_named(run):
    updates = spoil(run, 2)
    data = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(data[:-1]))
    sentences = []
    write_report(run, on_message=sentences.append)
    both = f"{places_of(updates, 2)} and {places_of(updates, -1)}"
    assert f"its records {both} are lost." in " ".join(sentences)


def test_a_line_that_was_removed_from_the_middle_does_not_lose_the_end(run):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))
    sentences = []
    write_report(run, on_message=sentences.append)
    assert "some of its records are lost." in " ".join(sentences)


def test_many_gaps_are_counted():
    lines = LostLines()
    for update in range(20):
        lines.add(None if update % 2 else update)
    assert lines.places(18, 18) == (
        "between updates 0 and 2, between updates 2 and 4, between updates 4 and 6 and at 6 other places"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"report_every": 7, "sample_every": 11, "sample_first": 5},
        {"report_every": 100, "judge_every": 9, "validation": 0.2, "sample_until": 30},
        {"report_every": 3, "sample_first": 50, "sample_every": 4},
    ],
)
def test_the_last_due_update_agrees_with_the_schedule(settings):
    config = small_runs.small_config(**{"updates": 61, **settings})
    schedule = Schedule.of(config, 1_000)
    for update in range(1, 62):
        records = [n for n in range(1, update + 1) if schedule.record_due(n)]
        samples = [n for n in range(update + 1) if schedule.sample_due(n)]
        assert schedule.last_record(update) == max(records)
        assert schedule.last_sample(update) == max(samples)
