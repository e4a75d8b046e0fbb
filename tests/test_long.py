"""Promise: the long checks behind the figures in the README can be run; here each is run for a few seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LONG = Path(__file__).parent / "long"


def run(script, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(LONG.parents[1]), *sys.path]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(LONG / script), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_runs_go_on_as_if_they_had_not_been():
    last = run("kills.py", "--kills", "3", "--only", "epochs")
    assert last.startswith("3 of 3 kills were resumed to a run equal to the unbroken one") and "0 unreadable" in last


def test_mutated_files_are_refused_in_the_documented_way():
    assert run("mutations.py", "--files", "150", "--seed", "1").startswith("0 of 1050 calls failed")
