"""Promise: what examples/README.md says of the published numbers and ours is what the CSV files hold; the estimators agree."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_from_scratch import VAE

EXAMPLES = Path(__file__).parents[1] / "examples"
README = (EXAMPLES / "README.md").read_text("utf-8")


@pytest.fixture
def example(monkeypatch):
    """Import an example by name, with the runner beside it."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def rows(example):
    """The rows of a CSV file in examples/results that have these values."""

    def find(name, **values):
        return example("runner").Results(EXAMPLES / "results" / f"{name}.csv", ()).where(**values)

    return find


def table(heading):
    """The rows of the first table below a heading, without its head: lists of cells."""
    lines = README.split(f"\n{heading}\n", 1)[1].split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : end]]


def numbers(cell):
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*", cell)]
