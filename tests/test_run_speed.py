"""The speed of a run: earlier processes and work other than updates do not count."""

import pytest

from charloom.training import Progress, Record, Sample, Saved
from charloom.training.progress_rate import SpeedEstimate


def paced(*steps):
    """Return the speed after some items, each with its seconds. An update is given by its number."""
    pace, now = SpeedEstimate(), 1_000.0
    for what, seconds in steps:
        now += seconds
        pace.take(progress(what) if isinstance(what, int) else what, now)
    return pace


def progress(update, state="training"):
    return Progress(update, 1_000, state, smooth_loss=1.0)


def judged(update):
    """Return a record with a validation loss."""
    figures = (update, 0.1, update, 1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0)
    return Record(*figures, validation_nats=1.0)


def test_there_is_no_speed_before_the_first_measurement():
    for steps in ((), ((0, 60.0),), ((0, 60.0), (1, 0.5))):
        assert paced(*steps).updates_per_second is None
        assert paced(*steps).seconds_left(100) is None


def test_the_speed_counts_from_the_first_update():
    """An hour of gradient checks and the first engine call do not count."""
    pace = paced((Sample(0, "x"), 3_600.0), (0, 1.0), (1, 30.0), (11, 1.0), (21, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(10)


def test_the_speed_of_a_resumed_run_counts_only_its_new_updates():
    assert paced((5_001, 2.0), (5_011, 1.0)).updates_per_second == pytest.approx(10)


def test_a_pause_does_not_change_the_speed():
    pauses = [(progress(11, "paused"), 0.1), (progress(11, "paused"), 9_999.0), (21, 500.0)]
    pace = paced((1, 1.0), (11, 1.0), *pauses, (31, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(10)


@pytest.mark.parametrize("between", [judged(11), Sample(11, "x"), Saved(11, None, None)])
def test_work_between_updates_counts_in_the_time_left_but_not_in_the_speed(between):
    pace = paced((1, 1.0), (11, 1.0), (between, 3.0), (21, 1.0))
    assert pace.updates_per_second == pytest.approx(10)
    assert pace.seconds_left(100) == pytest.approx(100 * 5 / 20)


def test_a_rollback_does_not_change_the_speed():
    assert paced((1, 1.0), (11, 1.0), (6, 70.0), (16, 1.0)).updates_per_second == pytest.approx(10)


def test_there_is_no_speed_if_the_clock_does_not_advance():
    assert paced((1, 0.0), (11, 0.0)).updates_per_second is None
