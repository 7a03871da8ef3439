"""The benchmark of studies fails if a promise is broken."""

import pytest

from benchmarks.study import broken_promises

KILLS = {"runs": 10_000, "kills": 50, "lost": 0, "trained_twice": 0}
ALONE = {"drawn": 50, "equal": 50}
FAST = {
    "runs": 10_000,
    "share_of_all_cores": 0.96,
    "bookkeeping": 0.009,
    "table_seconds": 1.5,
}


@pytest.mark.parametrize("figures", [KILLS, ALONE, FAST])
def test_kept_promises_are_not_broken(figures):
    assert broken_promises(figures) == []


@pytest.mark.parametrize(
    ("figures", "name", "value"),
    [
        (KILLS, "lost", 1),
        (KILLS, "trained_twice", 1),
        (ALONE, "equal", 49),
        (FAST, "share_of_all_cores", 0.94),
        (FAST, "bookkeeping", 0.02),
        (FAST, "table_seconds", 2.1),
    ],
)
def test_each_broken_promise_is_named(figures, name, value):
    assert broken_promises({**figures, name: value}) == [name]


def test_promises_of_speed_are_for_many_runs():
    assert broken_promises({**FAST, "runs": 100, "share_of_all_cores": 0.1}) == []
