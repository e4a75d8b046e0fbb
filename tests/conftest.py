"""Settings for all tests: one BLAS thread, the same examples of Hypothesis every time, Ctrl-C as Python has it."""

import os
import signal
import sys

import pytest
from hypothesis import settings

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):  # read when NumPy is imported
    os.environ.setdefault(name, "1")  # the matrices are small: a second thread is mostly waited for, at full speed

pytest.register_assert_rewrite("helpers")

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored


def pytest_configure(config):
    if sys.platform == "darwin":  # Accelerate sets floating-point flags in products in which nothing went wrong
        words = "(divide by zero|overflow|invalid value) encountered in (matmul|dot)"
        config.addinivalue_line("filterwarnings", f"ignore:{words}:RuntimeWarning")
