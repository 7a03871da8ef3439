"""Names the environment variables that limit the threads of NumPy's linear algebra."""

from typing import Final

# NumPy's libraries read these when they are loaded. The matrices are small: several threads make
# NumPy slower, many times slower on a busy machine.
THREAD_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
