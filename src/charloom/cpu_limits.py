"""How many processors this process may use, and the variables that keep NumPy to one thread."""

import os
from typing import Final

# The matrices are small, so several threads make NumPy slower, and much slower on a busy machine.
# NumPy's libraries read these environment variables when NumPy is imported. So the variables must
# be set before the import.
ONE_THREAD: Final = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def keep_numpy_to_one_thread() -> None:
    """Set the environment variables of `ONE_THREAD`, except those that the user has already set."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
