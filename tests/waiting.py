"""Wait until something holds, for tests."""

import time


def until(holds, seconds=30.0):
    """Wait until something holds; what it was then."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)
    return found
