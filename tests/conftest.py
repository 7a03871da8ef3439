"""What holds for all tests: NumPy keeps to one thread, and no test is judged by the clock unasked.

The matrices are small: where several tests or processes run at once, NumPy's threads would wait for
one another many times as long as they compute.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from hypothesis import settings  # noqa: E402

settings.register_profile("charloom", deadline=None)
settings.load_profile("charloom")
