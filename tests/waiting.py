"""Waits until a condition is true, for tests."""

import time


def until(holds, seconds=30.0):
    """Wait until `holds()` returns a true value, and return the value; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.02)
    return found
