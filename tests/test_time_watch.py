"""The time limit of a submission counts its processor time, and the time in which it only waits."""

import os
import subprocess
import sys

import pytest

from charloom.diagnosis.sandbox import START_SECONDS, Ended, backstop, result_of
from charloom.diagnosis.time_watch import LONGEST_LOOK, TimeWatch, Use, status_of, use_of
from charloom.errors import DoctorError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
RUNS, WAITS = True, False


def excess(limit, *looks):
    """Return what a watch says at the last of `looks`: the time and the fields of a `Use`."""
    times = iter([0.0, *(time for time, *_ in looks)])
    watch = TimeWatch(limit, clock=lambda: next(times))
    return [watch.excess(Use(*use)) for _, *use in looks][-1]


def test_only_processor_time_counts():
    assert excess(20.0, (5000.0, 19.0, RUNS)) == ""
    assert excess(20.0, (1.0, 20.5, RUNS)) == "did not end within 20 s of processor time"


def test_a_process_that_waits_for_a_processor_is_not_idle():
    looks = [(float(second), 0.0, RUNS) for second in range(1, 1000)]
    assert excess(20.0, *looks) == ""


def test_a_process_that_only_waits_is_ended():
    looks = [(float(second), 0.5, WAITS) for second in range(1, 23)]
    assert excess(20.0, *looks[:20]) == ""
    assert "it only waited for 20 s" in excess(20.0, *looks)


def test_each_activity_begins_the_wait_again():
    looks = [(float(second), second / 100, WAITS) for second in range(1, 1000)]
    assert excess(20.0, *looks) == ""
    # A short activity is less than the unit in which the system counts processor time.
    looks = [(float(second), 0.5, WAITS, second // 10) for second in range(1, 1000)]
    assert excess(20.0, *looks) == ""


def test_a_computer_that_slept_is_no_wait_of_the_submission():
    assert LONGEST_LOOK < 20.0
    assert excess(20.0, (100_000.0, 0.0, WAITS)) == ""


@linux_only
def test_the_processor_time_of_a_process_is_measured():
    used = sum(os.times()[:4])
    own = status_of(os.getpid())
    assert own.seconds >= used - 0.1
    assert own.active
    assert status_of(2**31 - 2) is None
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert use_of([os.getpid(), waiting.pid]).seconds >= own.seconds
    finally:
        waiting.communicate(b"\n")


@linux_only
def test_a_name_with_brackets_hides_no_time(tmp_path):
    path = tmp_path / "a) R 1 1 (b"
    path.symlink_to(sys.executable)
    process = subprocess.Popen([path, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert status_of(process.pid).seconds < 60.0
    finally:
        process.communicate(b"\n")


def test_the_wall_clock_is_only_a_backstop():
    assert backstop(20.0) >= START_SECONDS + 20.0
    if sys.platform != "win32":
        assert backstop(20.0) == 150.0


class NoOutput:
    """The output of a process that printed nothing."""

    count = 0

    def summary(self):
        return ""


@pytest.mark.parametrize("code", [None, -24])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such signals")
def test_without_a_message_the_time_is_named_too(code):
    with pytest.raises(DoctorError, match=r"the function did not end within .* s; the step"):
        result_of(Ended(code, [], NoOutput()), None, False, 20.0)
