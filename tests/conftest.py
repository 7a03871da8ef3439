"""What holds for all tests: NumPy keeps to one thread, no test is judged by the clock unasked, and
the checkers of reliability/, which fork and look at /proc, are left out where there is neither.

The matrices are small: where several tests or processes run at once, NumPy's threads would wait for
one another many times as long as they compute.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from hypothesis import settings  # noqa: E402

from checkers_skipped import skip_where_a_process_cannot_be_copied  # noqa: E402

settings.register_profile("charloom", deadline=None)
settings.load_profile("charloom")


def pytest_collection_modifyitems(items):
    """Mark what cannot run here as skipped, with the reason."""
    skip_where_a_process_cannot_be_copied(items)
