"""Settings for all tests: Hypothesis without a deadline, the same examples every time in CI; Ctrl-C as Python has it."""

import os
import signal
import sys

from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored


def pytest_configure(config):
    if sys.platform == "darwin":  # Accelerate sets floating-point flags in products in which nothing went wrong
        words = "(divide by zero|overflow|invalid value) encountered in (matmul|dot)"
        config.addinivalue_line("filterwarnings", f"ignore:{words}:RuntimeWarning")
