"""What holds for all tests: NumPy keeps to one thread, no test is judged by the clock unasked, and
the checkers of reliability/, which fork and look at /proc, are left out where there is neither.

The matrices are small: where several tests or processes run at once, NumPy's threads would wait for
one another many times as long as they compute.
"""

import os
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("charloom", deadline=None)
settings.load_profile("charloom")


def pytest_collection_modifyitems(items):
    """Mark what cannot run here as skipped, with the reason."""
    if hasattr(os, "fork") and Path("/proc/self/status").exists():
        return
    for item in items:
        if item.path.name.startswith("test_reliability_"):
            item.add_marker(pytest.mark.skip(reason="the checkers need fork and /proc"))
