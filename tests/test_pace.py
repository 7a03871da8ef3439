"""How fast a training is: what it did before, and what is no learning, is no part of the rate."""

import pytest

from charloom.cli.progress_rate import SpeedEstimate
from charloom.training import Progress, Record, Sample, Saved


def paced(*steps):
    """A pace after some steps: an update, or other items, and the seconds that each took."""
    pace, now = SpeedEstimate(), 1_000.0
    for what, seconds in steps:
        now += seconds
        pace.take(progress(what) if isinstance(what, int) else what, now)
    return pace


def progress(update, state="training"):
    return Progress(update, 1_000, state, smooth_loss=1.0)


def judged(update):
    """A record of a judgement."""
    figures = (update, 0.1, update, 1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0)
    return Record(*figures, validation_nats=1.0)


def test_there_is_no_rate_before_one_was_measured():
    for steps in ((), ((0, 60.0),), ((0, 60.0), (1, 0.5))):
        assert paced(*steps).updates_per_second is None
        assert paced(*steps).seconds_left(100) is None


def test_it_counts_from_the_first_update():
    """An hour of gradient checks and the first call of the engine count for nothing."""
    pace = paced((Sample(0, "x"), 3_600.0), (0, 1.0), (1, 30.0), (11, 1.0), (21, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(10)


def test_a_resumed_run_counts_its_own_updates():
    assert paced((5_001, 2.0), (5_011, 1.0)).updates_per_second == pytest.approx(10)


def test_a_pause_spoils_nothing():
    pauses = [(progress(11, "paused"), 0.1), (progress(11, "paused"), 9_999.0), (21, 500.0)]
    pace = paced((1, 1.0), (11, 1.0), *pauses, (31, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(10)


@pytest.mark.parametrize("between", [judged(11), Sample(11, "x"), Saved(11, None, None)])
def test_what_is_done_between_updates_takes_time_and_changes_no_rate(between):
    pace = paced((1, 1.0), (11, 1.0), (between, 3.0), (21, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(100 * 5 / 20)


def test_a_way_back_after_a_divergence_counts_for_nothing():
    assert paced((1, 1.0), (11, 1.0), (6, 70.0), (16, 1.0)).updates_per_second == pytest.approx(10)


def test_a_clock_that_stands_still_is_no_rate():
    assert paced((1, 0.0), (11, 0.0)).updates_per_second is None
