"""How many processors this process may use, and the environment that keeps NumPy to one thread."""

import os
from typing import Final

# The matrices are small: several threads make NumPy slower, many times slower on a busy machine.
# NumPy's libraries read these variables when NumPy is imported, so they must be set before.
ONE_THREAD: Final = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def keep_numpy_to_one_thread() -> None:
    """Set the variables of `ONE_THREAD` for this process, except those that the user has set."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
