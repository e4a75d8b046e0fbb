"""Settings for all tests: Hypothesis without a deadline, the same examples every time in CI; Ctrl-C as Python has it."""

import os
import signal

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("helpers")

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
