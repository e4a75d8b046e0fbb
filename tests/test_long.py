"""Promise: the long checks behind the figures in the README can be run; here each is run for a few seconds."""

import sys

import pytest
from helpers import ROOT, python

pytestmark = pytest.mark.slow


def last_line(script, *arguments):
    return python(ROOT / "tests" / "long" / script, *arguments, OPENBLAS_NUM_THREADS="1").splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_runs_go_on_as_if_they_had_not_been():
    last = last_line("kills.py", "--kills", "3", "--only", "epochs")
    assert last.startswith("3 of 3 kills were resumed to a run equal to the unbroken one") and "0 unreadable" in last


def test_mutated_files_are_refused_in_the_documented_way():
    assert last_line("mutations.py", "--files", "150", "--seed", "1").startswith("0 of 1050 calls failed")
